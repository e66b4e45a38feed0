"""One run of post-training, from a recipe to a folder; stopped half way, the same call continues.

The folder holds
    recipe.yaml        the resolved recipe, defaults included; fingerprint.txt names it
    checkpoint-N/      while it runs, each whole once it holds the file `complete`
    log.json           reward, loss, entropy, lengths, level, flat groups, step by step
    health.json        the monitor's verdict and findings (GRPO)
    held_out.json      exact rate and right places of held-out puzzles, with intervals
    samples.txt        how many puzzles were made, what was refused and why
    screened.json      what screening found, picture by picture: no restart and no epoch screens again
    model/             the result with its processor, written whole
    done.json          the last file written
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from pixelword.errors import CheckpointError, MissingExtra
from pixelword.locks import alone_in
from pixelword.posttrain.callbacks import SAMPLES, SCREENED, HeldOut, KeepSamples, WholeLog
from pixelword.posttrain.models import check_engine, load_start, lora_config
from pixelword.posttrain.settings import PosttrainRecipe, levels
from pixelword.posttrain.stream import held_out_puzzles, open_stream
from pixelword.recipe.loading import differences, fingerprint, resolved
from pixelword.train import checkpoints
from pixelword.train.stages import load_weights, write_json, write_whole

logger = logging.getLogger(__name__)


def posttrain(
    recipe: PosttrainRecipe,
    out: Path,
    *,
    model: PreTrainedModel | None = None,
    processor: Any = None,
    cpu: bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Run a recipe, continue it, or only report when it is finished.

    Args:
        out: folder of this run alone.
        model, processor: start from these instead of the recipe's checkpoint; the model is changed in place, also
            when the run is finished: its result is loaded then.
        cpu: train on the CPU; None where there is no GPU.
        callbacks: told about every step.

    Returns:
        What `done.json` holds: the fingerprint, the verdict, and the first and last held-out results.

    Raises:
        BackendError: another run is writing into the folder.
        CheckpointError: the folder holds a run of another recipe.
        MissingExtra: TRL is not installed.
    """
    first = os.environ.get("RANK", "0") == "0"
    with alone_in(out) if first else nullcontext():
        return go_on(recipe, out, model, processor, cpu, callbacks)


def go_on(
    recipe: PosttrainRecipe,
    out: Path,
    model: PreTrainedModel | None,
    processor: Any,
    cpu: bool | None,
    callbacks: Sequence[TrainerCallback],
) -> dict[str, Any]:
    """Run from the newest whole checkpoint, or from the start, alone in the folder."""
    out.mkdir(parents=True, exist_ok=True)
    claim(recipe, out)
    if (out / "done.json").exists():
        finished: dict[str, Any] = json.loads((out / "done.json").read_text(encoding="utf-8"))
        if model is not None and recipe.lora is None:
            load_weights(model, out / "model")
        return finished
    if model is None or processor is None:
        model, processor = load_start(recipe.model, thinks=recipe.thinks)
    check_engine(recipe, model)
    stream, held_out = open_stream(recipe, out / SCREENED)
    asked = held_out_puzzles(held_out, levels(recipe), recipe.held_out.puzzles, recipe.wording)
    with warnings.catch_warnings():
        # TRL asks transformers for a name that transformers has given up.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
        trainer = make_trainer(
            recipe, model, processor, stream, out, cpu=not torch.cuda.is_available() if cpu is None else cpu
        )
        marked = checkpoints.newest(out)
        before = None if marked is None else marked.folder
        results = restored(trainer, before, out)
        if before is not None and (before / SAMPLES).exists():
            stream.restore(json.loads((before / SAMPLES).read_text(encoding="utf-8")))
        trainer.add_callback(
            HeldOut(recipe.held_out, asked, processor, recipe.grpo.max_tokens, results, out / "held_out.json")
        )
        monitor = getattr(trainer, "monitor", None)
        trainer.add_callback(KeepSamples(stream, out))
        trainer.add_callback(WholeLog(out, None if monitor is None else monitor.as_json))
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=str(before) if before else None)
    return finish(recipe, trainer, processor, results, str(stream.ledger), out)


def claim(recipe: PosttrainRecipe, out: Path) -> None:
    """Write the recipe into a new folder, or check that the folder is its.

    A folder in which nothing was learnt yet, as after a mistyped checkpoint, is new.

    Raises:
        CheckpointError: it is another's.
    """
    file = out / "recipe.yaml"
    begun = any((out / name).exists() for name in ("log.json", "done.json")) or any(out.glob("checkpoint-*"))
    if not file.exists() or not begun:
        write_whole(file, resolved(recipe))
        write_whole(out / "fingerprint.txt", fingerprint(recipe) + "\n")
        return
    from pixelword.recipe.loading import read_recipe

    ran = read_recipe(PosttrainRecipe, file)
    if fingerprint(ran) != fingerprint(recipe):
        raise CheckpointError(
            f"{out} holds a run of another recipe",
            got="; ".join(differences(ran, recipe)),
            fix="choose another folder, or remove this one",
        )


def make_trainer(
    recipe: PosttrainRecipe, model: PreTrainedModel, processor: Any, stream: Any, out: Path, *, cpu: bool
) -> Any:
    """The trainer of a recipe's kind."""
    try:
        from accelerate import PartialState

        from pixelword.posttrain.arguments import grpo_arguments, sft_arguments
        from pixelword.posttrain.sft import AnswerTrainer
        from pixelword.posttrain.trainer import PuzzleTrainer
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "pixelword"):
            raise
        raise MissingExtra(library, "rl") from error
    ranks = PartialState(cpu=cpu).num_processes
    if recipe.kind == "sft":
        adapted: Any = model
        if recipe.lora is not None:
            from peft import get_peft_model

            adapted = get_peft_model(model, lora_config(recipe.lora))
        return AnswerTrainer(recipe, adapted, processor, stream, sft_arguments(recipe, out, cpu=cpu, ranks=ranks))
    peft = None if recipe.lora is None else lora_config(recipe.lora)
    return PuzzleTrainer(
        recipe, model, processor, stream, grpo_arguments(recipe, out, cpu=cpu, ranks=ranks), peft_config=peft
    )


def restored(trainer: Any, before: Path | None, out: Path) -> list[dict[str, Any]]:
    """The held-out results so far; the trainer takes up what belongs to a checkpoint."""
    results: list[dict[str, Any]] = []
    if before is not None and hasattr(trainer, "restore"):
        trainer.restore(before)
    if before is not None and (out / "held_out.json").exists():
        step = int(before.name.rpartition("-")[2])
        found = json.loads((out / "held_out.json").read_text(encoding="utf-8"))
        results = [result for result in found if result["step"] <= step]
    return results


def finish(
    recipe: PosttrainRecipe, trainer: Any, processor: Any, results: list[dict[str, Any]], samples: str, out: Path
) -> dict[str, Any]:
    """Write the result, whole."""
    done: dict[str, Any] = {
        "fingerprint": fingerprint(recipe),
        "kind": recipe.kind,
        "steps": trainer.state.global_step,
        "before": results[0] if results else None,
        "after": results[-1] if results else None,
    }
    if hasattr(trainer, "monitor"):
        done |= {"verdict": trainer.monitor.verdict, "gate": trainer.passed and trainer.passed.as_json()}
    beside = out / "model.partial"
    shutil.rmtree(beside, ignore_errors=True)
    for config in (trainer.model.config, trainer.model.generation_config):
        config.use_cache = True  # switched off for training; a saved "no" would slow every answer down
    trainer.save_model(str(beside))
    if trainer.is_world_process_zero():
        processor.save_pretrained(beside)
        shutil.rmtree(out / "model", ignore_errors=True)
        beside.replace(out / "model")
        write_whole(out / "samples.txt", samples + "\n")
        write_json(out / "done.json", done)
    return done
