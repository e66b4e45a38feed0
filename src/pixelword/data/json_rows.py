"""Rows from JSON Lines, and from files that hold one JSON array, without reading them first.

Lines are read in ranges of bytes: a range owns the lines that start in it, so any range can be read by itself and
nobody has to count lines. An array is gone over once, without parsing it, to find where such ranges of whole elements
start.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from pixelword.data.files import BOM, SPACE, open_file
from pixelword.data.json_array import array_elements, array_starts
from pixelword.data.records import Record, RowError
from pixelword.errors import DataError

BLOCK = 2**20
"""Bytes of a range of lines."""

LONGEST_LINE = 2**26
"""Bytes; a longer line is no row."""

ARRAY_BLOCKS = 64
"""A smaller array is cut into about so many blocks, so that several lanes need not all parse it."""


class JsonRows:
    """Files of JSON rows: a JSON array where the first character is `[`, JSON Lines otherwise.

    Args:
        name: of the source.
        files: in the order in which they are counted.
        root: folder that pictures lie in; each file's own when not given.
        block: bytes of a range of lines.

    Raises:
        DataError: no files, or one that cannot be opened.
    """

    parts = ""

    def __init__(self, name: str, files: Sequence[Path], *, root: Path | None = None, block: int = BLOCK) -> None:
        self.name, self.files, self.root, self.block = name, tuple(files), root, block
        if not self.files:
            raise DataError(f"source {name!r} has no files", got=list(files), fix="check its path or pattern")

    @cached_property
    def _shapes(self) -> list[tuple[Path, list[int], int]]:
        """Of each file: path, where its blocks start if it is an array, and the number of its first block."""
        shapes, first = [], 0
        for path in self.files:
            with open_file(path) as file:
                array = file.read(4096).removeprefix(BOM).lstrip(SPACE)[:1] == b"["
                size = file.seek(0, 2)
            starts = array_starts(path, max(1, min(self.block, size // ARRAY_BLOCKS))) if array else []
            shapes.append((path, starts, first))
            first += len(starts) if array else max(1, -(-size // self.block))
        self._blocks = first
        return shapes

    def blocks(self) -> int:
        return self._blocks if self._shapes else 0

    def fingerprint(self) -> str:
        return " ".join(f"{path.name}:{path.stat().st_size}" for path in self.files)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`; a place is the byte at which the row starts."""
        file_number = bisect_right([first for _, _, first in self._shapes], block) - 1
        path, starts, first = self._shapes[file_number]
        pieces = (
            self._elements(path, starts, block - first, start) if starts else self._lines(path, block - first, start)
        )
        for place, piece in pieces:
            name = f"{path.name}, byte {place}"
            content = piece if isinstance(piece, RowError) else parse(piece, name)
            if isinstance(content, dict) and isinstance(content.get("id"), str | int):
                name = f"{name} (id {content['id']})"
            yield Record(self.name, block, place, name, content, self.root or path.parent)

    def _elements(
        self, path: Path, starts: list[int], number: int, start: int
    ) -> Iterator[tuple[int, bytes | RowError]]:
        if number == 0 and not start and has_mark(path):
            yield 0, RowError(f"{path.name} starts with a byte order mark", reason="byte order mark")
        end = starts[number + 1] if number + 1 < len(starts) else None
        yield from array_elements(path, start or starts[number], end)

    def _lines(self, path: Path, number: int, start: int) -> Iterator[tuple[int, bytes | RowError]]:
        end = (number + 1) * self.block
        with open_file(path) as file:
            place = start or number * self.block
            if number and not start:
                # The line that crosses the border belongs to the range before.
                file.seek(place - 1)
                _skip_line(file)
                place = file.tell()
            file.seek(place)
            while place < end and (line := file.readline(LONGEST_LINE + 1)):
                if len(line) > LONGEST_LINE:
                    _skip_line(file)
                    yield place, RowError("a line is too long for a row", got=f"over {LONGEST_LINE} bytes")
                elif line.strip(SPACE):
                    yield place, line
                place = file.tell()


def has_mark(path: Path) -> bool:
    """Whether a file starts with a byte order mark."""
    with open_file(path) as file:
        return file.read(len(BOM)) == BOM


def _skip_line(file: BinaryIO) -> None:
    while (piece := file.readline(LONGEST_LINE)) and not piece.endswith(b"\n"):
        pass


def parse(text: bytes, name: str) -> dict[str, Any] | RowError:
    """A JSON object, or why it is none."""
    if text.startswith(BOM):
        return RowError(
            f"{name} starts with a byte order mark",
            reason="byte order mark",
            got=text[:20],
            fix="save the file as UTF-8 without BOM",
        )
    try:
        row = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return RowError(f"{name} is not JSON", reason="invalid JSON", got=f"{error}: {text[:80]!r}")
    if not isinstance(row, dict):
        return RowError(f"{name} is no row: an object with keys is needed", got=type(row).__name__)
    return row
