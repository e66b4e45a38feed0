"""A file that holds one JSON array, cut into blocks of whole elements without parsing it.

`array_starts` goes over the bytes once and finds commas between elements: not inside a string, and inside no bracket
but the array's own. `array_elements` reads the elements of a block one by one, so that one that is no JSON does not
spoil the next.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixelword.data.files import SPACE, open_file
from pixelword.data.records import RowError

CHUNK = 2**20
"""Bytes that are looked at together."""

QUOTE, OPEN, CLOSE, COMMA = 1, 2, 3, 4
KINDS = bytes({34: QUOTE, 91: OPEN, 123: OPEN, 93: CLOSE, 125: CLOSE, 44: COMMA}.get(sign, 0) for sign in range(256))

# Backslashes and what they protect, a whole string, a bracket, a comma, or the quote of a string that never ends.
TOKEN = re.compile(rb'(?:\\\\)+|\\"?|"(?:[^"\\]++|\\.)*+"|[{}\[\],"]', re.DOTALL)


def array_starts(path: Path, step: int) -> list[int]:
    """Bytes at which blocks of whole elements start, at least `step` bytes apart, the first element's among them.

    Args:
        path: a file whose first character is `[`, perhaps behind a byte order mark.
        step: bytes of a block; an element that is longer makes its block longer.
    """
    with open_file(path) as file:
        offset = file.read(4096).index(b"[") + 1
        file.seek(offset)
        starts, due, quoted, depth = [offset], offset + step, 0, 1
        while depth and (chunk := _chunk(file)):
            at, kinds = _unprotected(chunk)
            quotes = kinds == QUOTE
            inside = (quoted + np.cumsum(quotes)) & 1
            quoted = int(inside[-1]) if len(inside) else quoted
            outside = (inside == 0) & ~quotes
            at, kinds = at[outside], kinds[outside]
            depths = depth + np.cumsum((kinds == OPEN).astype(np.int64) - (kinds == CLOSE))
            ends = np.flatnonzero(depths == 0)[:1]
            depth = 0 if len(ends) else int(depths[-1]) if len(depths) else depth
            last = int(ends[0]) if len(ends) else len(at)
            commas = at[:last][(kinds[:last] == COMMA) & (depths[:last] == 1)] + offset + 1
            while (place := int(np.searchsorted(commas, due))) < len(commas):
                starts.append(int(commas[place]))
                due = starts[-1] + step
            offset += len(chunk)
    return starts


def _chunk(file: BinaryIO) -> bytes:
    """The next bytes; they do not end behind a backslash, so that what it protects is with them."""
    chunk: bytes = file.read(CHUNK)
    while chunk.endswith(b"\\") and (more := file.read(CHUNK)):
        chunk += more
    return chunk


def _unprotected(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Places and kinds of quotes, brackets and commas, without quotes behind an odd number of backslashes."""
    every = np.frombuffer(text.translate(KINDS), np.uint8)
    at = np.flatnonzero(every != 0)
    kinds = every[at]
    if b"\\" not in text:
        return at, kinds
    slashes = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\\"))
    numbers = np.arange(len(slashes))
    first = np.maximum.accumulate(np.where(np.diff(slashes, prepend=-2) > 1, numbers, 0))
    odd = np.zeros(len(text) + 1, bool)
    odd[slashes[(numbers - first) % 2 == 0] + 1] = True
    kept = (kinds != QUOTE) | ~odd[at]
    return at[kept], kinds[kept]


def array_elements(path: Path, start: int, end: int | None = None) -> Iterator[tuple[int, bytes | RowError]]:
    """The elements of a JSON array, each with the byte where it starts.

    Args:
        path: a file whose first character is `[`, perhaps behind a byte order mark.
        start: byte where an element starts.
        end: byte where the first element starts that is no longer read; None reads to the end of the array, and says
            when it has none.
    """
    with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        depth, closed = 0, None
        # One token at a time: an iterator over the file would keep it from being closed early.
        at = start
        while (end is None or start < end) and (match := TOKEN.search(text, at)):
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
                    closed = match.start()
                    break
        if end is not None:
            return
        rest = text[start : start + 200].strip(SPACE)
        if rest or closed is None:
            what = "the array is not closed" if closed is None else "more follows behind the array"
            yield (
                _first_byte(text, start) if closed is None else closed,
                RowError(f"{path.name}: {what}", reason="broken file", got=rest[:80], fix="write the file again"),
            )


def _first_byte(text: mmap.mmap, start: int) -> int:
    while start < len(text) and text[start] in SPACE:
        start += 1
    return start
