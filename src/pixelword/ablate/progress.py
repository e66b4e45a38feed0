"""One bar for all runs, one for the stage that trains now."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Bars:
    """The bars of an ablation.

    Args:
        runs: how many there are, finished ones included.
    """

    def __init__(self, runs: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self.all = self.progress.add_task("all runs", total=runs)
        self.now = self.progress.add_task("", total=1)

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def finished(self) -> None:
        """Say that one more run is finished."""
        self.progress.advance(self.all)

    def watch(self, name: str, steps: int) -> TrainerCallback:
        """A callback that moves the lower bar, which it takes over."""
        self.progress.reset(self.now, description=name, total=steps)
        return Watch(self.progress, self.now)


class Watch(TrainerCallback):
    """Moves a bar with the steps of a stage."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self.progress, self.task = progress, task

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.progress.update(self.task, completed=state.global_step)
