"""A run in miniature, once whole and once stopped and resumed, through the trainer itself."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pixelword.convert import save_released
from pixelword.model import NeoForConditionalGeneration, NeoProcessor, neo_tiny
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


def small_recipe(recipe: Recipe, model: NeoForConditionalGeneration, processor: NeoProcessor, folder: Path) -> Recipe:
    """The recipe with a tiny model of the same vocabulary and patches in place of its own, for a trial in little time.

    Args:
        recipe: whose data, packing, optimiser and schedule stay.
        model, processor: of the recipe.
        folder: where the tiny model is written.
    """
    text, vision = model.config.llm_config, model.config.vision_config
    config = neo_tiny(
        vocab_size=text.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        extra_num_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        patch_size=vision.patch_size,
        vision_hidden_size=16,
        img_context_token_id=model.config.img_context_token_id,
        img_start_token_id=model.config.img_start_token_id,
        eos_token_id=text.eos_token_id,
        template=model.config.template,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        save_released(NeoForConditionalGeneration(config), processor, folder)
    start = recipe.model.model_copy(update={"preset": None, "language_model": None, "checkpoint": str(folder)})
    return recipe.model_copy(
        update={
            "model": start,
            "learns": (".*",),
            "lora": None,
            "data": recipe.data.model_copy(update={"lanes": 1}),
            "rows_per_batch": 1,
            "rows_per_step": 1,
        }
    )
