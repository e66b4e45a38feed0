"""A run of a recipe in a folder: begun, continued where it stopped, or found finished.

The folder of a run holds
    recipe.yaml               the whole recipe, defaults included
    run.json                  its fingerprint, versions, and how many processes
    learns.txt, learns.json   what trains, what is frozen, how many parameters, and with which rate
    log.jsonl                 numbers and events, only ever appended to
    tensorboard/              the same numbers, if tensorboard is installed
    checkpoint-N/             see `checkpoints`
    model/                    the result, written whole; adapters are merged into it
    adapters/                 with `lora`: the adapters alone, as peft saves them
    done.json                 the last file written
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainerCallback, TrainingArguments

import pixelword
from pixelword.convert import save_released
from pixelword.errors import CheckpointError, ConfigError
from pixelword.locks import alone_in
from pixelword.model.generation import out_of_memory_explained
from pixelword.recipe import Recipe, differences, fingerprint, load_recipe, resolved
from pixelword.train import checkpoints, learns
from pixelword.train.board import has_tensorboard, tensorboard_callback
from pixelword.train.deepspeed_placement import Zero
from pixelword.train.deepspeed_settings import fitted, plain_processes
from pixelword.train.lengths import early_end
from pixelword.train.packed import PackedTrainer
from pixelword.train.parallel import lost_worker_explained, refuse_other_sharding
from pixelword.train.parallel_placement import Spread
from pixelword.train.placement import Placement
from pixelword.train.ranks import everyone
from pixelword.train.setting_up import Prepared, prepare
from pixelword.train.stages import write_json, write_whole
from pixelword.train.stopping import StopSignal

logger = logging.getLogger(__name__)

FREE = ("rows_per_batch", "checkpointing", "compile", "attention", "retention", "log_every", "save_every", "keep")
FREE_DATA = ("data.threads", "report_to", "spread")
"""Keys that change how a run is computed or told, not what it is."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: of the run.
        step: steps that are done.
        finished: whether `model/` is there.
        stopped: name of the signal that ended it, or "".
        ended: the step after which the data ended, if it did.
        bad_rows: that were left out, by source and reason.
    """

    folder: Path
    step: int
    finished: bool
    stopped: str = ""
    ended: int | None = None
    bad_rows: dict[str, dict[str, int]] = field(default_factory=dict)


def run_recipe(
    recipe: Recipe, run: Path, *, accept_changes: bool = False, callbacks: list[TrainerCallback] | None = None
) -> Outcome:
    """Train a stage, or go on with it; started by itself or by torchrun.

    Args:
        recipe: what to do.
        run: folder of the run; an existing one is continued.
        accept_changes: go on although the recipe is not the one that the folder was begun with.
        callbacks: told about every step.

    Raises:
        BackendError: another process of the run is gone, another run is in the folder, or memory is out.
        ConfigError: accelerate was told to shard the model by its FSDP, or by a DeepSpeed that contradicts the recipe.
        CheckpointError: the folder belongs to another recipe, or a checkpoint to another architecture.
        DataError: the data is not what it was.
        TrainingError: the loss is no number, or a checkpoint cannot be written.
        PixelWordError: the recipe asks for something that is not there.
    """
    refuse_other_sharding()
    with plain_processes() as deepspeed:
        arguments = training_arguments(recipe, run)
        placement = place(recipe, arguments, deepspeed)
        if (run / "done.json").exists():
            return finished(recipe, run)
        with alone_in(run) if placement.rank == 0 else nullcontext():
            return go_on(recipe, run, arguments, placement, accept_changes, callbacks)


def go_on(
    recipe: Recipe,
    run: Path,
    arguments: TrainingArguments,
    placement: Placement,
    accept_changes: bool,
    callbacks: list[TrainerCallback] | None,
) -> Outcome:
    """Train from the newest whole checkpoint, or from the start."""
    marked = checkpoints.newest(run)
    changes = changed(recipe, run, accept_changes)
    prepared = prepare(recipe, rank=placement.rank, ranks=placement.ranks)
    compile_blocks(prepared)

    def ready() -> None:
        begin(trainer, marked, changes)

    with StopSignal() as stop, lost_worker_explained(lambda: to_go_on_from(run)), memory_explained(recipe):
        trainer = PackedTrainer(prepared, placement, arguments, run, stop, callbacks, ready)
        try:
            if marked is not None and marked.step >= recipe.steps:
                trainer.only_load(marked.folder)
            else:
                trainer.train(resume_from_checkpoint=str(marked.folder) if marked else None)
        finally:
            trainer.batches.close()
    step = trainer.state.global_step
    if trainer.stopped:
        trainer.journal.event("stopped", step=step, by=trainer.stopped)
        return Outcome(run, step, False, trainer.stopped, bad_rows=trainer.bad_rows)
    finish(trainer, run)
    return Outcome(run, step, True, ended=trainer.ended, bad_rows=trainer.bad_rows)


def memory_explained(recipe: Recipe) -> AbstractContextManager[None]:
    """Around training steps: says what was too large when the device is out of memory."""
    size = f"{recipe.rows_per_batch} rows of {recipe.packing.budget} tokens at a time"
    smaller = "lower rows_per_batch or packing.budget, set checkpointing: true, or take more processes"
    return out_of_memory_explained(size, f"{smaller}; `pixelword plan` tells the peak of smaller ones")


def training_arguments(recipe: Recipe, run: Path) -> TrainingArguments:
    """What the Trainer is told. It also finds the other ranks, if torchrun started some."""
    arguments = TrainingArguments(
        output_dir=str(run),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.rows_per_batch,
        learning_rate=recipe.optimizer.rate,
        max_grad_norm=0.0,
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_every,
        save_strategy="steps",
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        ignore_data_skip=True,
        remove_unused_columns=False,
        use_cache=True,  # the Trainer's own default is saved with the model and slows every answer down
        disable_tqdm=True,
        report_to=installed_reports(recipe),
    )
    per_micro_batch = recipe.rows_per_batch * arguments.world_size
    arguments.gradient_accumulation_steps = max(1, recipe.rows_per_step // per_micro_batch)
    return arguments


def installed_reports(recipe: Recipe) -> list[str]:
    """Those of the wanted reports that the Trainer writes and whose library is there; see `board` for TensorBoard."""
    found: list[str] = [name for name in recipe.report_to if find_spec(name) is not None]
    if missing := [name for name in recipe.report_to if name not in found]:
        logger.warning("not installed: %s; numbers go into log.jsonl all the same", ", ".join(missing))
    return [name for name in found if name != "tensorboard"]


def place(recipe: Recipe, arguments: TrainingArguments, deepspeed: dict[str, Any] | None = None) -> Placement:
    """Where the model lies: whole in one process, or spread over several; by DeepSpeed where it was asked for."""
    rank, ranks, device = arguments.process_index, arguments.world_size, arguments.device
    if deepspeed is not None:
        return Zero(rank, ranks, device, fitted(deepspeed, recipe, ranks))
    if ranks == 1:
        return Placement(rank, ranks, device)
    per_node = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    products = getattr(torch, recipe.model.dtype)
    return Spread(rank, ranks, device, per_node=per_node, products=products, over=recipe.spread)


def to_go_on_from(run: Path) -> str:
    """Name of the newest whole checkpoint, for a message."""
    marked = checkpoints.newest(run)
    return marked.folder.name if marked else "the start, because no checkpoint was due yet"


def compile_blocks(prepared: Prepared) -> None:
    """Checkpointing and compilation of the decoder's blocks; names of parameters do not change."""
    if prepared.recipe.checkpointing:
        # The older name, which transformers 5 still has, warns.
        model = prepared.model
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if prepared.recipe.compile:
        for layer in prepared.model.model.language_model.layers:
            layer.compile()


def changed(recipe: Recipe, run: Path, accept: bool, *, done: bool = False) -> list[str]:
    """What the recipe changes in a run that has begun, or is done: then nothing can be accepted any more.

    Raises:
        CheckpointError: something that makes it another run, and it was not accepted.
    """
    file = run / "recipe.yaml"
    if not file.exists():
        return []
    try:
        before = load_recipe(file)
    except ConfigError as error:
        raise CheckpointError(
            f"{file} is not a recipe of this version of pixelword",
            got=f"{error.what}, {error.got}",
            fix="go on with the version that run.json names, or choose another --out",
        ) from error
    found = differences(before, recipe)
    grave = [line for line in found if not harmless(line)]
    if grave and not accept:
        further = "; a finished run cannot go on" if done else ", or go on all the same with --accept-changes"
        raise CheckpointError(
            f"{run} was begun with another recipe",
            got="; ".join(grave),
            fix=f"set these values back or choose another --out{further}",
        )
    return found


def harmless(line: str) -> bool:
    key = line.partition(":")[0]
    return key.partition(".")[0] in FREE or key.startswith(FREE_DATA)


def begin(trainer: PackedTrainer, marked: checkpoints.Marked | None, changes: list[str]) -> None:
    """Everything fits and is loaded: write down what this run is; print the table of what trains."""
    prepared, run, placement = trainer.prepared, trainer.run_folder, trainer.placement
    tell_start(trainer, marked, changes)
    if placement.rank:
        return
    recipe = prepared.recipe
    run.mkdir(parents=True, exist_ok=True)
    if "tensorboard" in recipe.report_to and has_tensorboard():
        trainer.add_callback(tensorboard_callback(run, marked.step if marked else 0))
    table = learns.as_text(prepared.parts)
    logger.info("stage %s: %d steps\n%s", recipe.name, recipe.steps, table)
    if marked is None and (end := early_end(recipe, prepared.processor, placement.ranks)):
        logger.warning(end)
    if recipe.retention is None:
        logger.info("whether the language model is kept is not measured; set retention.text to held-out rows for that")
    write_whole(run / "recipe.yaml", resolved(recipe))
    write_whole(run / "learns.txt", table + "\n")
    write_json(
        run / "learns.json",
        {"patterns": recipe.learns, "names": prepared.learning, "parts": [asdict(part) for part in prepared.parts]},
    )
    modules = {"pixelword": pixelword, "torch": torch, "transformers": transformers}
    about: dict[str, Any] = {
        "fingerprint": fingerprint(recipe),
        "ranks": placement.ranks,
        "device": torch.cuda.get_device_name() if placement.device.type == "cuda" else platform.machine(),
        "versions": {name: module.__version__ for name, module in modules.items()},
    }
    write_json(run / "run.json", about)


def tell_start(trainer: PackedTrainer, marked: checkpoints.Marked | None, changes: list[str]) -> None:
    """Say whether the run starts or goes on, and with what difference."""
    about = {"fingerprint": fingerprint(trainer.recipe), "ranks": trainer.placement.ranks}
    if marked is None:
        trainer.journal.event("started", step=0, **about)
        return
    if marked.ranks != trainer.placement.ranks:
        changes = [*changes, f"processes: {marked.ranks} -> {trainer.placement.ranks}"]
    trainer.journal.event("went on", step=marked.step, changes=changes, **about)
    if trainer.placement.rank == 0:
        logger.info("going on after step %d", marked.step)
        for line in changes:
            logger.warning("changed: %s", line)


def finished(recipe: Recipe, run: Path) -> Outcome:
    """A finished run answers for the recipe it ran with."""
    try:
        done = json.loads((run / "done.json").read_text(encoding="utf-8"))
        outcome = Outcome(run, done["step"], True, ended=done["ended"], bad_rows=done.get("bad_rows", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{run / 'done.json'} says nothing that can be read",
            got=f"{type(error).__name__}: {error}",
            fix="remove it: the run goes on from its newest checkpoint",
        ) from error
    changed(recipe, run, accept=False, done=True)
    return outcome


def finish(trainer: PackedTrainer, run: Path) -> None:
    """Write the result; everything before it stays until it is there."""
    prepared, step = trainer.prepared, trainer.state.global_step
    if trainer.placement.gather(prepared.model):
        model: Any = prepared.model.cpu()
        if prepared.adapted is not None:
            shutil.rmtree(run / "adapters", ignore_errors=True)
            prepared.adapted.save_pretrained(run / "adapters")
            model = prepared.adapted.merge_and_unload()
        model.to(getattr(torch, prepared.recipe.model.dtype))
        shutil.rmtree(run / "model", ignore_errors=True)
        # With the sizes of pictures that it was trained on; with others it would be asked what it has not seen.
        prepared.processor.image_processor = prepared.loader.encoder.processor.image_processor
        save_released(model.eval(), prepared.processor, run / "model")
        done = {"step": step, "ended": trainer.ended, "bad_rows": trainer.bad_rows}
        write_json(run / "done.json", {**done, "fingerprint": fingerprint(prepared.recipe)})
        checkpoints.remove_older(run, 1)
    trainer.journal.event("finished", step=step, bad_rows=trainer.bad_rows)
    everyone(None, trainer.placement)
