"""A run in miniature, once whole and once stopped and resumed, through the trainer itself."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pixelword.recipe import Recipe
from pixelword.train.run import run_recipe

STEPS = 2
"""Steps before the stop, and after it."""

Trial = Callable[[Path], tuple[Path, Path]]


class KeepTheHalf(TrainerCallback):
    """Copies the checkpoint of the stop into the folder of the run that is going to be resumed."""

    def __init__(self, whole: Path, resumed: Path) -> None:
        self.whole, self.resumed = whole, resumed

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if state.global_step == STEPS:
            name = f"checkpoint-{STEPS}"
            shutil.copytree(self.whole / name, self.resumed / name)
            shutil.copy(self.whole / "recipe.yaml", self.resumed)


def trial_of(recipe: Recipe) -> Trial:
    """Runs 2 + 2 steps of a recipe in a folder.

    Returns:
        A function of an empty folder that gives the last checkpoints of the whole run and of the resumed one.
    """
    short = recipe.model_copy(
        update={
            "steps": 2 * STEPS,
            "save_every": STEPS,
            "log_every": 1,
            "keep": 2,
            "report_to": (),
            "retention": None,
            "compile": False,
            "rows_per_step": math.lcm(recipe.data.lanes, recipe.rows_per_batch),
            "optimizer": recipe.optimizer.model_copy(update={"warmup_steps": min(recipe.optimizer.warmup_steps, 1)}),
        }
    )

    def run(folder: Path) -> tuple[Path, Path]:
        whole, resumed = folder / "whole", folder / "resumed"
        resumed.mkdir()
        run_recipe(short, whole, callbacks=[KeepTheHalf(whole, resumed)])
        run_recipe(short, resumed)
        last = f"checkpoint-{2 * STEPS}"
        return whole / last, resumed / last

    return run
