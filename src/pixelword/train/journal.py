"""The log of a run: one JSON object per line, only ever appended to.

A run that was killed repeats some steps, so a step may stand there twice; `read_journal` keeps the later one.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

TOLD = ("loss", "learning_rate", "tokens/s", "MFU", "packed", "retention/perplexity", "retention/ratio")
"""Numbers that the terminal shows."""


class Journal:
    """Appends to a file.

    Args:
        path: the file.
        writes: false on all ranks but the first.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    def numbers(self, step: int, steps: int, values: dict[str, Any]) -> None:
        """What was measured up to a step."""
        if not self.writes:
            return
        self._append({"step": step, **values})
        told = {key: values[key] for key in TOLD if key in values}
        if told:
            logger.info(
                "step %d of %d: %s", step, steps, ", ".join(f"{key} {value:.4g}" for key, value in told.items())
            )

    def event(self, name: str, **values: Any) -> None:
        """Something that happened: started, went on, saved, stopped."""
        if self.writes:
            self._append({"event": name, **values})

    def _append(self, line: dict[str, Any]) -> None:
        clean = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in line.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")


def read_journal(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The numbers by step, repeated steps once, and all events in order. A line cut off by a crash is left out."""
    numbers: dict[tuple[int, bool], dict[str, Any]] = {}
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "event" in entry:
            events.append(entry)
            if entry["event"] == "went on":
                numbers = {key: value for key, value in numbers.items() if key[0] <= entry["step"]}
        else:
            numbers[entry["step"], "loss" in entry] = entry
    return [numbers[key] for key in sorted(numbers)], events
