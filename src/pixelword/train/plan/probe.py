"""A few real steps of a recipe through its trainer, to see what they cost."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pixelword.errors import DataError
from pixelword.model import NeoProcessor
from pixelword.recipe import Recipe
from pixelword.train.deepspeed_settings import unasked
from pixelword.train.journal import read_journal
from pixelword.train.packed import PackedTrainer
from pixelword.train.plan.memory import PeakMemory
from pixelword.train.run import compile_blocks, memory_explained, place, training_arguments
from pixelword.train.setting_up import prepare
from pixelword.train.stopping import StopSignal

WARM = 2
"""First steps that are not counted: they fill the packer, allocate the optimiser and compile."""
MOST_MICRO_BATCHES = 8
"""Of one step; a step of more is measured with so many, and the rest is extrapolated."""
SAVED = 4 * 2**30
"""Largest checkpoint, in bytes, that is written to see how long it takes."""


@dataclass(frozen=True)
class Probe:
    """What was measured.

    Attributes:
        steps: that were counted.
        micro_batches: of each of them.
        micro_seconds: mean time of one micro-batch.
        other_seconds: mean time of a step beside its micro-batches: waiting for data, clipping, the optimiser.
        processor_seconds: mean time of a step that the process really had a processor, over all its threads.
        tokens, images: of one micro-batch, padding left out.
        use: share of the machine's peak (MFU).
        memory, gpu_memory: most bytes of the process, and of tensors on the GPU.
        weights, optimizer: bytes of both in a checkpoint.
        model: bytes of the result.
        save_seconds: time of one checkpoint; None if it was too large to try.
        device: what it ran on.
    """

    steps: int
    micro_batches: int
    micro_seconds: float
    other_seconds: float
    processor_seconds: float
    tokens: float
    images: float
    use: float
    memory: int
    gpu_memory: int
    weights: int
    optimizer: int
    model: int
    save_seconds: float | None
    device: str


class Stopwatch(TrainerCallback):
    """Notes when steps and micro-batches end, and ends the training in time."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps, self.seconds = steps, seconds
        self.began = time.perf_counter()
        self.micro: list[list[float]] = [[]]
        self.ends = [self.began]
        self.processor = [time.process_time()]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = self.ends[0] = now()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.micro[-1].append(now())

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.micro[-1].append(now())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.ends.append(now())
        self.processor.append(time.process_time())
        self.micro.append([])
        late = self.ends[-1] - self.began > self.seconds and state.global_step > WARM
        if state.global_step >= WARM + self.steps or late:
            control.should_training_stop = True


def probe(recipe: Recipe, folder: Path, *, steps: int, seconds: float) -> tuple[Probe, NeoProcessor]:
    """Run some steps and throw them away.

    Args:
        recipe: what to try; its schedule, data and model are those of the real run.
        folder: an empty one.
        steps: steps that are counted, after `WARM` others.
        seconds: no new step is begun after so long, if one has been counted.

    Returns:
        What was measured, and the processor of the recipe's model.

    Raises:
        BackendError: the device is out of memory.
        DataError: the data ended before a step could be counted.
        PixelWordError: the recipe does not start; each says why.
    """
    with unasked():  # one process, also where accelerate would have it start DeepSpeed
        return _probe(recipe, folder, steps=steps, seconds=seconds)


def _probe(recipe: Recipe, folder: Path, *, steps: int, seconds: float) -> tuple[Probe, NeoProcessor]:
    short = shortened(recipe)
    arguments = training_arguments(short, folder)
    placement = place(short, arguments)
    watch = Stopwatch(steps, seconds)
    with PeakMemory(placement.device) as peak, memory_explained(recipe):
        prepared = prepare(short)
        compile_blocks(prepared)
        trainer = PackedTrainer(prepared, placement, arguments, folder, StopSignal(), [watch])
        trainer.train()
        counted = len(watch.ends) - 1 - WARM
        if counted < 1:
            raise DataError(
                "the data ended before a step could be measured",
                got=f"{len(watch.ends) - 1} steps",
                fix="give more rows, or let the sources be read for ever with epochs: null",
            )
        weights = sum(p.numel() * p.element_size() for p in prepared.model.parameters())
        states = trainer.create_optimizer().state.values()
        tensors = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
        optimizer = sum(value.numel() * value.element_size() for value in tensors)
        save_seconds = None
        if weights + optimizer <= SAVED:
            began = time.perf_counter()
            trainer._save_checkpoint(trainer.model_wrapped, None)
            save_seconds = time.perf_counter() - began
    numbers = [line for line in read_journal(folder / "log.jsonl")[0] if "seconds/step" in line][WARM:]
    per_step = arguments.gradient_accumulation_steps
    micro = micro_seconds(watch)
    result_bytes = {"float32": 4, "bfloat16": 2}[recipe.model.dtype]
    measured = Probe(
        steps=counted,
        micro_batches=per_step,
        micro_seconds=micro,
        other_seconds=max(0.0, (watch.ends[-1] - watch.ends[WARM]) / counted - per_step * micro),
        processor_seconds=(watch.processor[-1] - watch.processor[WARM]) / counted,
        tokens=fmean(line["tokens"] for line in numbers) / per_step,
        images=fmean(line["images/s"] * line["seconds/step"] for line in numbers) / per_step,
        use=fmean(line["MFU"] * line["seconds/step"] for line in numbers)
        / fmean(line["seconds/step"] for line in numbers),
        memory=peak.process,
        gpu_memory=peak.gpu,
        weights=weights,
        optimizer=optimizer,
        model=prepared.model.num_parameters() * result_bytes,
        save_seconds=save_seconds,
        device=named(placement.device),
    )
    return measured, prepared.processor


def shortened(recipe: Recipe) -> Recipe:
    """The recipe with fewer micro-batches in a step, without checkpoints, reports and measurements of text."""
    quiet = {"log_every": 1, "save_every": recipe.steps + 1, "report_to": (), "retention": None}
    if recipe.rows_per_step <= MOST_MICRO_BATCHES * recipe.rows_per_batch:
        return recipe.model_copy(update=quiet)
    lanes = math.gcd(recipe.data.lanes, MOST_MICRO_BATCHES * recipe.rows_per_batch)
    data = recipe.data.model_copy(update={"lanes": lanes})
    return recipe.model_copy(
        update={**quiet, "rows_per_step": MOST_MICRO_BATCHES * recipe.rows_per_batch, "data": data}
    )


def micro_seconds(watch: Stopwatch) -> float:
    """Mean time of a micro-batch after the warm-up.

    The first one of a step cannot be told from waiting for its data, so it counts like the others where there are any.
    """
    steps = [
        ([began, *ends] if len(ends) == 1 else ends)
        for began, ends in zip(watch.ends[WARM:-1], watch.micro[WARM:-1], strict=True)
    ]
    return fmean(later - earlier for ends in steps for earlier, later in pairwise(ends))


def now() -> float:
    """The time when everything that a GPU was told to do is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
