"""What happens while a run trains, beside training: held-out examinations, and a log that is always whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pixelword.posttrain.held_out import Examination, examine
from pixelword.posttrain.questions import Item
from pixelword.posttrain.settings import HeldOutSettings
from pixelword.posttrain.stream import PuzzleStream
from pixelword.train.stages import write_json

logger = logging.getLogger(__name__)

SAMPLES = "samples.json"
"""File of a checkpoint: what was made and refused before it."""
SCREENED = "screened.json"
"""File of a run: the findings of its screenings."""


class HeldOut(TrainerCallback):
    """Asks the held-out puzzles before the first step, every so many steps, and at the end.

    Args:
        settings: how many and how often.
        puzzles: to ask.
        processor: of the model.
        max_tokens: of an answer.
        results: is added to: step, exact rate, groups.
        file: is written anew each time.
    """

    def __init__(
        self,
        settings: HeldOutSettings,
        puzzles: Sequence[Item],
        processor: Any,
        max_tokens: int,
        results: list[dict[str, Any]],
        file: Path,
    ) -> None:
        self.settings, self.puzzles, self.processor = settings, puzzles, processor
        self.max_tokens, self.results, self.file = settings.max_tokens or max_tokens, results, file
        self.last: Examination | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if state.global_step == 0:
            self.ask(others["model"], state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        if state.global_step % self.settings.every == 0 or state.global_step == state.max_steps:
            self.ask(others["model"], state)

    def ask(self, model: Any, state: TrainerState) -> None:
        if not self.puzzles or any(result["step"] == state.global_step for result in self.results):
            return
        self.last = examine(model, self.processor, self.puzzles, max_tokens=self.max_tokens, rows=self.settings.rows)
        self.results.append({"step": state.global_step, "exact": self.last.exact, "groups": self.last.as_json()})
        logger.info("held out, step %d: %s", state.global_step, self.last)
        if state.is_world_process_zero:
            write_json(self.file, self.results)


class KeepSamples(TrainerCallback):
    """Writes with every checkpoint what was made and refused, and what screening found.

    Args:
        stream: of the puzzles.
        out: folder of the run.
    """

    def __init__(self, stream: PuzzleStream, out: Path) -> None:
        self.stream, self.out = stream, out

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = self.out / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            write_json(folder / SAMPLES, self.stream.state())
            self.stream.verdicts.save()


class WholeLog(TrainerCallback):
    """Writes the log after every so many steps.

    Args:
        folder: of the run.
        health: gives the monitor's JSON; None for runs without one.
        every: steps between writes.
    """

    def __init__(self, folder: Path, health: Any = None, every: int = 10) -> None:
        self.folder, self.health, self.every = folder, health, every

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero and (state.global_step % self.every == 0 or state.global_step <= 1):
            self.write(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.write(state)

    def write(self, state: TrainerState) -> None:
        write_json(self.folder / "log.json", state.log_history)
        if self.health is not None:
            write_json(self.folder / "health.json", self.health())
