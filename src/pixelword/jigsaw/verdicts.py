"""Screening costs time and gives the same result every epoch: verdicts are kept, also in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelword.errors import DataError

Finding = tuple[str, str]
"""A reason of `REASONS` and what was measured."""

Name = tuple[Any, ...]
"""Everything that a finding depends on: numbers, texts, None, and tuples of them."""


class Verdicts:
    """Findings of screenings by name.

    Args:
        path: a JSON file to start from, if it is there, and to `save` to.

    Raises:
        DataError: the file is there and holds something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[Name, Finding | None] = {}
        if path is not None and path.exists():
            self._known = read(path)

    def __len__(self) -> int:
        return len(self._known)

    def judge(self, name: Name, screen: Callable[[], Finding | None]) -> Finding | None:
        """What is known under this name, else what the screen finds; None is a solvable puzzle."""
        if name not in self._known:
            self._known[name] = screen()
        return self._known[name]

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            DataError: no path, or it cannot be written.
        """
        if self.path is None:
            raise DataError("these verdicts have no file", fix="make them with Verdicts(path)")
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(list(self._known.items())), encoding="utf-8")
            part.replace(self.path)
        except OSError as error:
            raise DataError(
                "the verdicts cannot be written here", got=f"{self.path}: {error.strerror}", fix="choose another folder"
            ) from error


def read(path: Path) -> dict[Name, Finding | None]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            hashable(name): None if finding is None else (str(finding[0]), str(finding[1])) for name, finding in rows
        }
    except (OSError, ValueError, AttributeError, TypeError, LookupError) as error:
        raise DataError(f"{path} holds no verdicts", got=error, fix="delete it; it is made again") from error


def hashable(name: list[Any]) -> Name:
    """A name as it was before it became JSON, which has lists for tuples."""
    return tuple(hashable(part) if isinstance(part, list) else part for part in name)


def stamp(source: object) -> tuple[int, int] | None:
    """Changes when the file does; None for what is no file, whose verdicts are not kept."""
    if not isinstance(source, Path):
        return None
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
