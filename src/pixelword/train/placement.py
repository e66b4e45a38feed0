"""Where the model lies: whole in one process here, spread over many in `parallel_placement` and `deepspeed_placement`.

Everything that depends on it goes through a placement: wrapping, the precision of products, the backward pass, what
is known of the gradients, and the tensors of a checkpoint, which any placement reads from any other
(`parallel_checkpoint`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def start(
        self, model: nn.Module, build: Callable[[], torch.optim.Optimizer]
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model as it is called, and its optimiser.

        Args:
            model: whole, the same on every rank.
            build: makes the optimiser over the model's parameters.
        """
        return self.wrap(model), build()

    def micro_batch(self, wrapped: nn.Module, *, last: bool) -> None:
        """Told before each micro-batch, and whether it is the last of its step."""

    def precision(self, dtype: torch.dtype) -> AbstractContextManager[Any]:
        """Around forward and loss: products in `dtype`, whatever the weights are kept in."""
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def backward(self, loss: Tensor) -> None:
        """Add this micro-batch's gradients; those of a step are means over the ranks."""
        loss.backward()

    def gradients(self, model: nn.Module) -> dict[str, Tensor]:
        """After the last micro-batch: what this rank holds of each parameter's gradient."""
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    def clip(self, gradients: Sequence[Tensor], share: float) -> None:
        """Make all gradients this many times as large, in place."""
        torch._foreach_mul_(list(gradients), share)

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """(tensors,) float32: the norm of each whole tensor, of which every rank gives what it holds."""
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
