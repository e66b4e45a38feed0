"""Rows from JSON Lines, and from files that hold one JSON array, without reading them first.

Lines are read in ranges of bytes: a range owns the lines that start in it, so any range can be read by itself and
nobody has to count lines. An array is gone over once, without parsing it, to find where such ranges of whole elements
start. A file that is compressed or elsewhere is one range: its content is read as it passes by, and a place is a byte
of the content.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from pixelword.data.files import BOM, SPACE, open_file
from pixelword.data.json_array import array_starts
from pixelword.data.json_elements import LONGEST, MARGIN, Elements, Piece, cannot_be_read_on, opening
from pixelword.data.passing import Content, bare_name, go_to, is_whole, opened
from pixelword.data.records import Record, RowError
from pixelword.errors import DataError

BLOCK = 2**20
"""Bytes of a range of lines."""

ARRAY_BLOCKS = 64
"""A smaller array is cut into about so many blocks, so that several lanes need not all parse it."""


class JsonRows:
    """Files of JSON rows: a JSON array where the first character is `[`, JSON Lines otherwise.

    Args:
        name: of the source.
        files: paths, or URLs, in the order in which they are counted; compressed ones are known by their ending.
        root: folder that pictures lie in; the folder of each file that is here when not given.
        block: bytes of a range of lines.

    Raises:
        DataError: no files; one that cannot be opened; while reading: a connection that is lost.
    """

    def __init__(self, name: str, files: Sequence[Path | str], *, root: Path | None = None, block: int = BLOCK) -> None:
        self.name, self.files, self.root, self.block = name, tuple(files), root, block
        if not self.files:
            raise DataError(f"source {name!r} has no files", got=list(files), fix="check its path or pattern")

    @property
    def parts(self) -> str:
        return "" if all(map(is_whole, self.files)) else "files"

    @cached_property
    def _shapes(self) -> list[tuple[Path | str, list[int], int]]:
        """Of each file: path, where its blocks start if it is an array, and the number of its first block."""
        shapes, first = [], 0
        for file in self.files:
            starts, blocks = self._shape(file) if isinstance(file, Path) and is_whole(file) else ([], 1)
            shapes.append((file, starts, first))
            first += blocks
        self._blocks = first
        return shapes

    def _shape(self, path: Path) -> tuple[list[int], int]:
        with open_file(path) as file:
            array = file.read(MARGIN).removeprefix(BOM).lstrip(SPACE)[:1] == b"["
            size = file.seek(0, 2)
        starts = array_starts(path, max(1, min(self.block, size // ARRAY_BLOCKS))) if array else []
        return starts, len(starts) if array else max(1, -(-size // self.block))

    def blocks(self) -> int:
        return self._blocks if self._shapes else 0

    def fingerprint(self) -> str:
        """Of files elsewhere only the address counts."""
        return " ".join(f"{file.name}:{file.stat().st_size}" if isinstance(file, Path) else file for file in self.files)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`; a place is the byte at which the row starts."""
        number = bisect_right([first for _, _, first in self._shapes], block) - 1
        file, starts, first = self._shapes[number]
        short = bare_name(file)
        root = self.root or (file.parent if isinstance(file, Path) else None)
        for place, piece in self._pieces(file, starts, block - first, start):
            name = f"{short}, byte {place}"
            content = piece if isinstance(piece, RowError) else parse(piece, name)
            if isinstance(content, dict) and isinstance(content.get("id"), str | int):
                name = f"{name} (id {content['id']})"
            yield Record(self.name, block, place, name, content, root)

    def _pieces(self, path: Path | str, starts: list[int], number: int, start: int) -> Iterator[Piece]:
        """The texts of a block's rows; where the file breaks off, why."""
        name, whole = bare_name(path), is_whole(path)
        with opened(path) as file:
            head = file.peek(MARGIN)[:MARGIN]
            array = opening(head)
            if array is None:
                first, end = (number * self.block, (number + 1) * self.block) if whole else (0, None)
                yield from lines(name, file, start or first, end, inside=bool(first and not start))
                return
            if head.startswith(BOM) and number == 0 and not start:
                yield 0, RowError(f"{name} starts with a byte order mark", reason="byte order mark")
            place = start or (starts[number] if starts else array.first)
            end = starts[number + 1] if number + 1 < len(starts) else None
            go_to(file, place)
            size = path.stat().st_size if whole and isinstance(path, Path) else None
            yield from Elements(name, file, place, end, array, size)


def lines(
    name: str, file: BufferedReader[Content], start: int, end: int | None, *, inside: bool = False
) -> Iterator[Piece]:
    """The lines that start at a byte or behind it, and before another; None reads to the end of the file.

    Args:
        name: how errors call the file.
        file: of which nothing has been read.
        start, end: bytes.
        inside: a line may cross `start`, and is not read.
    """
    go_to(file, start - inside)
    # The line that crosses the border belongs to the range before.
    place = start - inside + (_skip_line(file) if inside else 0)
    while (end is None or place < end) and (line := file.readline(LONGEST + 1)):
        first, place = place, place + len(line)
        if len(line) > LONGEST:
            place += 0 if line.endswith(b"\n") else _skip_line(file)
            yield first, RowError("a line is too long for a row", got=f"{place - first:,} bytes, over {LONGEST:,}")
        elif file.raw.broken is not None and not line.endswith(b"\n"):
            place = first
        elif line.strip(SPACE):
            yield first, line
    if file.raw.broken is not None:
        yield place, cannot_be_read_on(name, file.raw.broken, place)


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of the line.

    Returns:
        how many bytes that were.
    """
    skipped = 0
    while piece := file.readline(LONGEST):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


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
