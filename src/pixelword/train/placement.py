"""Where the model lies: whole in one process here, spread over many in `parallel_placement`.

Everything that depends on it goes through a placement: wrapping, the precision of products, norms of gradients, and
the tensors of a checkpoint, which any placement reads from any other (`parallel_checkpoint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pixelword.train.parallel_checkpoint import load_tensors, save_tensors


@dataclass
class Placement:
    """The model whole in the only process.

    Args:
        rank, ranks: which of how many processes.
        device: of this process.
    """

    rank: int
    ranks: int
    device: torch.device

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called; `model` itself stays the owner of the parameters. Before the optimiser is made."""
        return model.to(self.device)

    def micro_batch(self, wrapped: nn.Module, *, last: bool) -> None:
        """Told before each micro-batch, and whether it is the last of its step."""

    def precision(self, dtype: torch.dtype) -> AbstractContextManager[Any]:
        """Around forward and loss: products in `dtype`, whatever the weights are kept in."""
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """(tensors,) float32: the norm of each whole tensor, the same on every rank."""
        return torch.stack([norm.float() for norm in torch._foreach_norm(list(tensors))])

    def save(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write weights and optimiser into an existing folder. Every rank calls it.

        Raises:
            CheckpointError: on every rank, when one of them could not write.
        """
        save_tensors(folder, model, optimizer)

    def load(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a checkpoint's weights and optimiser back, after `wrap`. Every rank calls it.

        Raises:
            CheckpointError: it is of another model or optimiser, or not as it was written.
        """
        load_tensors(folder, model, optimizer)

    def gather(self, model: nn.Module) -> bool:
        """Bring the whole model together for saving its result; returns whether this rank has it. Ends training."""
        return self.rank == 0
