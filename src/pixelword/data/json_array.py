"""A file that holds one JSON array, cut into blocks of whole elements without parsing it.

`array_starts` goes over the bytes once and finds commas between elements: not inside a string, and inside no bracket
but the array's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixelword.data.files import open_file

CHUNK = 2**20
"""Bytes that are looked at together."""

QUOTE, OPEN, CLOSE, COMMA = 1, 2, 3, 4
KINDS = bytes({34: QUOTE, 91: OPEN, 123: OPEN, 93: CLOSE, 125: CLOSE, 44: COMMA}.get(sign, 0) for sign in range(256))


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
