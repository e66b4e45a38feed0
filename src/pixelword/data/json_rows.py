"""Rows from JSON Lines, and from files that hold one JSON array, without reading them first.

Lines are read in ranges of bytes: a range owns the lines that start in it, so any range can be read by itself and
nobody has to count lines. An array is one block: its elements are found one after the other by their brackets, so
that one that is no JSON does not spoil the next. JSON Lines shuffle better; a large array is shuffled within the
stream's pool only.
"""

from __future__ import annotations

import json
import mmap
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from pixelword.data.records import Record, RowError
from pixelword.errors import DataError

BLOCK = 2**20
"""Bytes of a range of lines."""

LONGEST_LINE = 2**26
"""Bytes; a longer line is no row."""

BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
# A whole string, a bracket, a comma, or the quotation mark of a string that never ends.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],"]', re.DOTALL)


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

    def __init__(self, name: str, files: Sequence[Path], *, root: Path | None = None, block: int = BLOCK) -> None:
        self.name, self.files, self.root, self.block = name, tuple(files), root, block
        if not self.files:
            raise DataError(f"source {name!r} has no files", got=list(files), fix="check its path or pattern")

    @cached_property
    def _shapes(self) -> list[tuple[Path, bool, int]]:
        """Of each file: path, whether it is an array, and the number of its first block."""
        shapes, first = [], 0
        for path in self.files:
            with open_file(path) as file:
                array = file.read(4096).removeprefix(BOM).lstrip(SPACE)[:1] == b"["
                size = file.seek(0, 2)
            shapes.append((path, array, first))
            first += 1 if array else max(1, -(-size // self.block))
        self._blocks = first
        return shapes

    def blocks(self) -> int:
        return self._blocks if self._shapes else 0

    def fingerprint(self) -> str:
        return " ".join(f"{path.name}:{path.stat().st_size}" for path in self.files)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`; a place is the byte at which the row starts."""
        file_number = bisect_right([first for _, _, first in self._shapes], block) - 1
        path, array, first = self._shapes[file_number]
        pieces = array_elements(path, start) if array else self._lines(path, block - first, start)
        for place, piece in pieces:
            name = f"{path.name}, byte {place}"
            content = piece if isinstance(piece, RowError) else parse(piece, name)
            if isinstance(content, dict) and isinstance(content.get("id"), str | int):
                name = f"{name} (id {content['id']})"
            yield Record(self.name, block, place, name, content, self.root or path.parent)

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


def _skip_line(file: BinaryIO) -> None:
    while (piece := file.readline(LONGEST_LINE)) and not piece.endswith(b"\n"):
        pass


def open_file(path: Path) -> BinaryIO:
    """Raises:
    DataError: the file cannot be opened.
    """
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened", got=error, fix="check the path and its permissions") from error


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


def array_elements(path: Path, start: int = 0) -> Iterator[tuple[int, bytes | RowError]]:
    """The elements of a JSON array, each with the byte where it starts.

    Args:
        path: a file whose first character is `[`, perhaps behind a byte order mark.
        start: byte where an element starts; 0 reads from the first.
    """
    with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if not start:
            start = text.find(b"[") + 1
            if text[:3] == BOM:
                yield 0, RowError(f"{path.name} starts with a byte order mark", reason="byte order mark")
        depth, end = 0, None
        # One token at a time: an iterator over the file would keep it from being closed early.
        at = start
        while match := TOKEN.search(text, at):
            token, at = match[0], match.end()
            if token == b'"':
                break
            if token in b"{[":
                depth += 1
            elif token in b"}]" and depth:
                depth -= 1
            elif token in b",]}" and not depth:
                if element := text[start : match.start()].strip(SPACE):
                    yield _first_byte(text, start), element
                start = at
                if token != b",":
                    end = match.start()
                    break
        rest = text[start : start + 200].strip(SPACE)
        if rest or end is None:
            what = "the array is not closed" if end is None else "more follows behind the array"
            yield (
                _first_byte(text, start) if end is None else end,
                RowError(f"{path.name}: {what}", reason="broken file", got=rest[:80], fix="write the file again"),
            )


def _first_byte(text: mmap.mmap, start: int) -> int:
    while start < len(text) and text[start] in SPACE:
        start += 1
    return start
