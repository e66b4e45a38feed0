"""How much every token of a sample counts, and what a step divides by.

| weighting | weight of a supervised token | weight of a whole sample |
|---|---|---|
| token | 1 | m |
| sample | 1 / m | 1 |
| square | 1 / sqrt(m) | sqrt(m) |

m counts the supervised tokens of the sample. A step's loss is the sum of weighted losses over the sum of weights,
both over all micro-batches and all ranks. The Trainer would count labels instead, and a mean of means would give a
micro-batch with few labels the say of one with many.

Source: the released training code, whose default is "square"; it normalises each micro-batch by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pixelword.errors import ConfigError, nearest
from pixelword.model.loss import IGNORED

Weighting: TypeAlias = Literal["token", "sample", "square"]

SMALLEST = 1e-5
"""`next_token_loss` never divides by less."""


def token_weight(supervised: int, weighting: Weighting) -> float:
    """Weight of each supervised token of a sample that has so many of them; 0 if it has none.

    Raises:
        ConfigError: an unknown weighting.
    """
    formulas = {"token": 1.0, "sample": 1 / max(supervised, 1), "square": 1 / math.sqrt(max(supervised, 1))}
    if weighting not in formulas:
        raise ConfigError("unknown weighting of the loss", got=repr(weighting), fix=nearest(str(weighting), formulas))
    return formulas[weighting] if supervised else 0.0


def weight_sum(labels_BN: Tensor, loss_weights_BN: Tensor) -> float:
    """What `next_token_loss` divides by: the weights of all labels that are somebody's next token."""
    counts = labels_BN[:, 1:] != IGNORED
    return float(loss_weights_BN[:, 1:][counts].double().sum())


def step_weight(sums: Iterable[float], device: torch.device | str = "cpu") -> float:
    """The sum of weights of a whole step: all micro-batches of this rank, and of all others if there are any.

    Args:
        sums: `weight_sum` of each micro-batch of this rank.
        device: where the ranks talk to each other: "cpu" for gloo, the rank's GPU for NCCL.
    """
    total = torch.tensor(math.fsum(sums), dtype=torch.float64, device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return float(total)


def step_share(micro_batch: float, step: float, ranks: int = 1) -> float:
    """Factor for the loss of one micro-batch, so that the sum over micro-batches is the loss of the step.

    Args:
        micro_batch: its `weight_sum`.
        step: `step_weight` of the step.
        ranks: how many ranks the gradients are averaged over; 1 where they are added.
    """
    return max(micro_batch, SMALLEST) / max(step, SMALLEST) * ranks
