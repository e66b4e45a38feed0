"""What the folder of a finished run holds, and shares of right replies in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelword.demo.exam import CAPTION, Reply
from pixelword.demo.mini import Choice
from pixelword.report import Proportion

FOLDERS = {
    "1-words": "learn words",
    "2-see": "stage 1: see",
    "3-join": "stage 2: join",
    "4-answer": "stage 3: answer",
    "5-mini": "stage 4: choices",
}
"""Folders of the stages, with the names of the parts that ran them."""


class Results:
    """What the folder of a run holds."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.run: dict[str, Any] = read(out / "run.json")
        self.seconds: dict[str, dict[str, float]] = read(out / "seconds.json")
        self.exam, self.blind, self.new = (
            [Reply(**reply) for reply in read(out / name)] for name in ("exam.json", "blind.json", "new-pairs.json")
        )
        self.jigsaw: dict[str, Any] = read(out / "jigsaw.json")
        self.mini = [Choice(**reply) for reply in read(out / "mini.json")]
        self.logs = {folder: read(out / folder / "log.json") for folder in FOLDERS}
        self.learns = {folder: (out / folder / "learns.txt").read_text(encoding="utf-8") for folder in FOLDERS}
        self.photos: list[dict[str, Any]] = read(out / "photos.json")

    @property
    def stages(self) -> list[dict[str, Any]]:
        return [self.run["plan"][name] for name in ("words", "see", "join", "answer", "mini")]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def share(replies: Sequence[Reply], kind: str = "") -> Proportion:
    """Right answers of one kind; of all kinds of questions, captions apart, when none is named."""
    counted = [reply.right for reply in replies if reply.kind == kind or (not kind and reply.kind != CAPTION)]
    return Proportion(sum(counted), len(counted))
