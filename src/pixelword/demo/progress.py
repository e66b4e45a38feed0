"""Progress bars with time left, and looks at the accuracy while training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pixelword.train import Batch, Machine
from pixelword.world import Example


class Drawn:
    """Bars with the time that is left, drawn while inside `with`.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console or Console(),
        )

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def reach(self, name: str, done: float) -> None:
        """Say how many units of a part are done."""
        raise NotImplementedError


class Bars(Drawn):
    """One bar per part of the demo, and one over all of them.

    Args:
        parts: names of the parts, with their expected share of the time.
        console: where to draw.
    """

    def __init__(self, parts: dict[str, float], console: Console | None = None) -> None:
        super().__init__(console)
        self.shares = parts
        self.whole = self.progress.add_task("whole demo", total=round(1000 * sum(parts.values())))
        self.tasks: dict[str, Any] = {}

    def part(self, name: str, total: int, done: int = 0) -> None:
        """Begin a part of `total` units, `done` of them done before."""
        self.tasks[name] = self.progress.add_task(name, total=max(total, 1))
        self.reach(name, done)

    def reach(self, name: str, done: float) -> None:
        """Say how many units of a part are done."""
        self.progress.update(self.tasks[name], completed=done)
        shares = (self.shares[part] * self._share_done(part) for part in self.tasks)
        self.progress.update(self.whole, completed=round(1000 * sum(shares)))

    def advance(self, name: str, more: int) -> None:
        """Say that so many further units are done."""
        self.reach(name, self.progress.tasks[self.tasks[name]].completed + more)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self.progress.console.print(text, highlight=False, markup=False)

    def _share_done(self, name: str) -> float:
        task = self.progress.tasks[self.tasks[name]]
        return float(min(1.0, task.completed / (task.total or 1)))


class Watch(TrainerCallback):
    """Moves the bar of a stage."""

    def __init__(self, bars: Drawn, part: str) -> None:
        self.bars, self.part = bars, part

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bars.reach(self.part, state.global_step)


class Probe(TrainerCallback):
    """Looks at the accuracy on held-out examples now and then, and writes it into the log of the run.

    An answer counts as right when every one of its tokens is the likeliest one, given those before it: that is what
    greedy decoding would say, without the cost of decoding.

    Args:
        examples: what is asked about.
        batches: the same as rows without captions, in the same order.
        every: steps between looks.
        machine: how to compute.
    """

    def __init__(self, examples: Sequence[Example], batches: Sequence[Batch], every: int, machine: Machine) -> None:
        self.examples, self.batches, self.every, self.machine = examples, batches, every, machine

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            entry: dict[str, Any] = {"step": state.global_step, "right": self.look(model)}
            state.log_history.append(entry)

    @torch.no_grad()
    def look(self, model: Any) -> dict[str, float]:
        """Share of right answers of each kind, and of all under the name `all`."""
        right: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        rest = iter(self.examples)
        was_training = model.training
        model.eval()
        for batch in self.batches:
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            with (
                torch.compiler.set_stance("force_eager"),
                torch.autocast("cpu", torch.bfloat16, enabled=self.machine.bfloat16),
            ):
                likeliest = model(**inputs, use_cache=False).logits.argmax(-1)
            wrong = (likeliest[:, :-1] != batch["labels"][:, 1:]) & (batch["labels"][:, 1:] >= 0)
            for row, example in zip(range(len(wrong)), rest, strict=False):
                branches = batch["branch_ids"][row, 1:]
                for number, question in enumerate(example.questions, start=1):
                    mine = branches == number
                    if bool(mine.any()):
                        good = not bool((wrong[row] & mine).any())
                        right.update({question.kind: good, "all": good})
                        asked.update((question.kind, "all"))
        model.train(was_training)
        return {kind: right[kind] / asked[kind] for kind in asked}
