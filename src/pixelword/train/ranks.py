"""What the ranks tell each other; alone, a process talks to itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from pixelword.train.parallel import gathered
from pixelword.train.placement import Placement


def summed(values: Sequence[float], placement: Placement) -> list[float]:
    """The sums of numbers over all ranks, in float64."""
    if placement.ranks == 1:
        return list(values)
    total = torch.tensor(list(values), dtype=torch.float64, device=placement.device)
    dist.all_reduce(total)
    return total.tolist()


def everyone(thing: Any, placement: Placement) -> list[Any]:
    """What every rank says, in order of ranks, as plain data; also a point that all must reach."""
    return gathered(thing) if placement.ranks > 1 else [thing]
