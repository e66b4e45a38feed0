"""A stage of training: what it trains, for how long, at which rate; run once, continued where it stopped.

A stage's folder holds
    learns.txt, learns.json   what trained and what was frozen
    checkpoint-N/             while it runs; one without the file `complete` was cut off and is ignored
    log.json                  loss and rate, step by step
    model/                    the result, written whole
    done.json                 the last file written: its presence alone means that the stage is finished
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field
from torch.utils.data import Dataset
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from pixelword.config import Settings
from pixelword.errors import CheckpointError
from pixelword.train import checkpoints, learns
from pixelword.train.branches import Batch, Row
from pixelword.train.machine import Machine
from pixelword.train.muon import optimiser_for
from pixelword.train.trainer import StageTrainer

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=PreTrainedModel)


class Stage(Settings):
    """One stage of training."""

    name: str = Field(description="name of the stage; also of its folder")
    learns: tuple[str, ...] = Field(description="patterns of the parameters that train; each must match some")
    steps: int = Field(gt=0, description="optimiser steps")
    rows: int = Field(default=16, gt=0, description="rows of one step")
    length: int = Field(gt=0, description="tokens of a row, filled up or cut to this")
    rate: float = Field(default=3e-3, gt=0, description="peak learning rate of Muon and AdamW")
    schedule: Literal["constant", "cosine"] = Field(default="constant", description="after the warm-up")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps in which the rate rises")
    floor: float = Field(default=0.01, ge=0, le=1, description="end of the cosine, as a share of the peak")
    save_every: int = Field(default=100, gt=0, description="steps between checkpoints")


def is_finished(folder: Path) -> bool:
    """Whether the stage of this folder ran to its end."""
    return (folder / "done.json").exists()


def run_stage(
    stage: Stage,
    model: Model,
    data: Dataset[Row],
    collate: Callable[[Sequence[Row]], Batch],
    folder: Path,
    *,
    machine: Machine,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> Model:
    """Run a stage, continue it, or only load its result when it is finished.

    Args:
        stage: what to do.
        model: where it starts; changed in place. Its layers get compiled once, if the machine can.
        data: rows by number, already in random order; step k takes the next `stage.rows` of them.
        collate: rows to a batch.
        folder: of this stage alone.
        machine: how to compute.
        seed: of dropout and the like; the data brings its own.
        callbacks: told about every step.

    Returns:
        `model`, trained.

    Raises:
        CheckpointError: the folder holds a finished stage of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_finished(folder):
        check_same(stage, folder)
        load_weights(model, folder / "model")
        return model
    names = learns.select(model, stage.learns)
    optimiser_of = {
        name: f"{optimiser_for(name, parameter)} {stage.rate:g}"
        for name, parameter in model.named_parameters()
        if name in set(names)
    }
    lines = learns.table(model, optimiser_of)
    logger.info("stage %s: %d steps, %s\n%s", stage.name, stage.steps, machine.why, learns.as_text(lines))
    write_whole(folder / "learns.txt", learns.as_text(lines) + "\n")
    write_json(folder / "learns.json", {"patterns": stage.learns, "parts": [asdict(line) for line in lines]})
    trainer = StageTrainer(
        model=model,
        args=arguments(stage, folder, machine, seed),
        train_dataset=data,
        data_collator=collate,
        callbacks=list(callbacks),
    )
    before = checkpoints.newest(folder)
    trainer.train(resume_from_checkpoint=str(before.folder) if before else None)
    write_json(folder / "log.json", trainer.state.log_history)
    save_whole(model, folder / "model")
    write_json(folder / "done.json", stage.model_dump(mode="json"))
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return model


def arguments(stage: Stage, folder: Path, machine: Machine, seed: int) -> TrainingArguments:
    cosine = stage.schedule == "cosine"
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.rows,
        learning_rate=stage.rate,
        lr_scheduler_type="cosine_with_min_lr" if cosine else "constant_with_warmup",
        lr_scheduler_kwargs={"min_lr_rate": stage.floor} if cosine else {},
        warmup_steps=max(1, round(stage.warmup * stage.steps)),
        max_grad_norm=0.0,
        bf16=machine.bfloat16,
        use_cpu=True,
        logging_steps=1,
        save_steps=stage.save_every,
        save_strategy="steps",
        seed=seed,
        remove_unused_columns=False,
        use_cache=True,  # the Trainer's own default is saved with the model and slows every answer down
        disable_tqdm=True,
        report_to="none",
    )


def check_same(stage: Stage, folder: Path) -> None:
    """A finished stage answers for the settings it ran with."""
    ran = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    wanted = stage.model_dump(mode="json")
    if ran != wanted:
        differing = sorted(key for key in wanted if ran.get(key) != wanted[key])
        raise CheckpointError(
            f"{folder} holds a finished stage with other settings",
            got=", ".join(f"{key}: {ran.get(key)} there, {wanted[key]} now" for key in differing),
            fix="choose another output folder, or remove this one",
        )


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights of a saved model into a model of the same kind."""
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def save_whole(model: PreTrainedModel, folder: Path) -> None:
    """Save a model so that the folder is there whole or not at all."""
    beside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(beside)
    beside.replace(folder)


def write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    beside = path.with_name(path.name + ".partial")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
