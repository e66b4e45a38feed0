"""Whole runs of recipes in several processes, for the tests of spread training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from pixelword.errors import PixelWordError
from pixelword.recipe import Recipe
from pixelword.train.run import run_recipe


class Watch(TrainerCallback):
    """Counts what is not spread, and lets a process die at the beginning of a step."""

    def __init__(self, dying: int | None = None, step: int = 0) -> None:
        self.dying, self.step = dying, step
        self.whole: set[str] = set()
        self.learning = 0

    def on_step_begin(self, args, state, control, model=None, optimizer=None, **_: Any) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.learning = len(named)
        self.whole |= {name for name, parameter in named if not isinstance(parameter, DTensor)}
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.whole |= {"of the optimiser" for parameter in held if not isinstance(parameter, DTensor)}
        if self.dying == dist.get_rank() and state.global_step + 1 == self.step:
            os._exit(1)


def watched(recipe: Recipe, run: Path) -> tuple[int, list[str]]:
    """How many tensors learn, and the names of those that are not spread."""
    watch = Watch()
    run_recipe(recipe, run, callbacks=[watch])
    return watch.learning, sorted(watch.whole)


def with_a_death(recipe: Recipe, run: Path, step: int) -> str:
    """The second process dies; what the others say."""
    try:
        run_recipe(recipe, run, callbacks=[Watch(dying=1, step=step)])
    except PixelWordError as error:
        return f"{type(error).__name__}: {error}"
    return "finished"
