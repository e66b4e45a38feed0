"""One bar for all runs, one for the stage that trains now."""

from __future__ import annotations

from transformers import TrainerCallback

from pixelword.demo.progress import Drawn, Watch


class Bars(Drawn):
    """The bars of an ablation.

    Args:
        runs: how many there are, finished ones included.
    """

    def __init__(self, runs: int) -> None:
        super().__init__()
        self.all = self.progress.add_task("all runs", total=runs)
        self.now = self.progress.add_task("", total=1)

    def finished(self) -> None:
        """Say that one more run is finished."""
        self.progress.advance(self.all)

    def watch(self, name: str, steps: int) -> TrainerCallback:
        """A callback that moves the lower bar, which it takes over."""
        self.progress.reset(self.now, description=name, total=steps)
        return Watch(self, name)

    def reach(self, name: str, done: float) -> None:
        """Say how many steps of the stage are done."""
        self.progress.update(self.now, completed=done)
