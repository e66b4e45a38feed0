"""The model spread over all processes, for the trainer: see `parallel_model`, `parallel_checkpoint`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pixelword.train.muon import own_part
from pixelword.train.parallel_model import Over, gather_model, mesh_of, shard
from pixelword.train.placement import Placement


@dataclass
class Spread(Placement):
    """A part of the model in every process (torch's FSDP2).

    Args:
        per_node: processes of this machine.
        products: precision of the matrix products.
        over: "all" processes, or those of one "node" with a copy on every node.
    """

    per_node: int = 1
    products: torch.dtype = torch.float32
    over: Over = "all"

    def wrap(self, model: nn.Module) -> nn.Module:
        self._mesh = mesh_of(self.device, self.ranks, self.per_node, self.over)
        return shard(model, self._mesh, products=self.products)

    def precision(self, dtype: torch.dtype) -> AbstractContextManager[Any]:
        """Nothing: the parts come together in the precision of the products."""
        return nullcontext()

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        own = torch._foreach_norm([own_part(tensor) for tensor in tensors])
        squares = torch.stack([norm.double().square() for norm in own])
        dist.all_reduce(squares, group=self._mesh["shard"].get_group())
        return squares.sqrt().float()

    def gather(self, model: nn.Module) -> bool:
        return gather_model(model)
