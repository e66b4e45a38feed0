"""The elements of a JSON array as they pass by, so that one that is no JSON spoils as few others as can be.

An element ends at a comma that is inside no string and no bracket. So a broken element whose quotes and brackets are
all there spoils no other. Where one is missing, the next element that stands on a line of its own, as far to the right
as the first, shows where to go on; an array that is written in one line is lost from there on, and how much is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from pixelword.data.files import BOM, SPACE
from pixelword.data.passing import Content
from pixelword.data.records import RowError

CHUNK = 2**18
"""Bytes that are read at least."""

LONGEST = 2**26
"""Bytes; a longer line or element is no row."""

MARGIN = 2**12
"""Bytes in which the start of an array is looked for, and a line's margin is kept."""

# Backslashes and what they protect, a whole string, a bracket, a comma, or the quote of a string that never ends.
TOKEN = re.compile(rb'(?:\\\\)+|\\"?|"(?:[^"\\]++|\\.)*+"|[{}\[\],"]', re.DOTALL)

BEGINNING = re.compile(rb"(?:%s)?[ \t\r\n]*\[(?:[ \t\r]*\n)*([ \t]*\{)?" % BOM)

Piece = tuple[int, bytes | RowError]
"""Where an element starts, and its text or why it is lost."""


@dataclass(frozen=True)
class Opening:
    """How an array begins.

    Attributes:
        first: byte behind its bracket.
        line: what stands before an element on a line of its own, and its bracket.
    """

    first: int
    line: re.Pattern[bytes]


def opening(head: bytes) -> Opening | None:
    """How the array of a file begins; None if the file holds none.

    Args:
        head: its first bytes.
    """
    match = BEGINNING.match(head)
    if match is None:
        return None
    own_line = b"\n" in head[: match.end()].rpartition(b"[")[2] and match[1]
    return Opening(head.index(b"[") + 1, re.compile(rb"\n" + re.escape(match[1] if own_line else b"{")))


class Elements:
    """The elements of an array from one of them on.

    Args:
        name: how errors call the file.
        file: opened for reading bytes, and standing at `start`.
        start: byte where an element starts.
        end: byte where the first element starts that is no longer read; None reads to the end of the array, and says
            when it has none.
        opening: how the array begins.
        size: bytes of the whole file, where that is known.
    """

    def __init__(
        self,
        name: str,
        file: BufferedReader[Content],
        start: int,
        end: int | None,
        opening: Opening,
        size: int | None = None,
    ) -> None:
        self.name, self.end, self.size = name, end, size
        self._file = file
        self._line: re.Pattern[bytes] | None = opening.line
        # `text` starts at byte `origin` of the file; in it the element starts at `first`, and is known up to `at`.
        self._text, self._origin, self._first, self._at, self._depth = b"", start, 0, 0, 0
        # Bytes of the element that are no longer kept, because it is too long.
        self._dropped = 0

    def __iter__(self) -> Iterator[Piece]:
        while self.end is None or self._origin + self._first < self.end:
            token = self._token()
            if token is None:
                if (broken := self._broken()) is None:
                    return
                yield broken
            elif token in (b"{", b"["):
                self._depth += 1
            elif self._depth and token in (b"}", b"]"):
                self._depth -= 1
            elif token in (b",", b"]") and not self._depth:
                end = self._at
                if (element := self._element(end - 1)) is not None:
                    yield element
                if token == b"]" and self._at == end:
                    if (behind := self._behind()) is None:
                        return
                    yield behind

    def _token(self) -> bytes | None:
        """The next one; None where an element can be seen to be broken, and at the end of the file."""
        while True:
            match = TOKEN.search(self._text, self._at)
            if match is not None and match[0] != b'"' and (match[0][:1] != b"\\" or match.end() < len(self._text)):
                self._at = match.end()
                return match[0]
            self._at = match.start() if match else max(self._at, len(self._text))
            if self._breaks_off() or not self._more():
                return None

    def _more(self) -> bool:
        """Read on, more the longer the element is; of one that is too long nothing is kept but its brackets."""
        if len(self._text) - self._first > LONGEST:
            self._dropped += self._at - self._first
            self._first = self._at
        kept = self._text[self._first :]
        if len(kept) > LONGEST or not (piece := self._file.read(max(CHUNK, len(kept)))):
            return False
        self._origin, self._at = self._origin + self._first, self._at - self._first
        self._text, self._first = kept + piece, 0
        return True

    def _next_line(self, end: int) -> int | None:
        """Where an object starts on a line inside the element that looks like the start of another element."""
        start = self._first if self._dropped else self._first + _spaces(self._text, self._first)
        match = self._line.search(self._text, start, end) if self._line else None
        return match.end() - 1 if match else None

    def _breaks_off(self) -> bool:
        if (line := self._next_line(len(self._text))) is None:
            return False
        so_far = self._text[self._first : line + 1]
        return bool(self._dropped) or len(self._text) - self._first > LONGEST or _no_beginning(so_far)

    def _element(self, end: int) -> Piece | None:
        """The text up to `end`, or, if that is no JSON, up to a line that looks like another element."""
        text, line = self._text[self._first : end].strip(SPACE), self._next_line(end)
        if line is not None and (self._dropped or not _is_json(text)):
            return self._up_to(line, line)
        if line is not None:
            self._line = None  # in this file such lines stand inside elements
        if text or self._dropped:
            return self._up_to(end, self._at)
        self._skip(self._at)
        return None

    def _up_to(self, end: int, next_start: int) -> Piece:
        """The element before `end`; another starts at `next_start`."""
        place = self._origin + self._first - self._dropped
        piece: bytes | RowError = self._text[self._first : end].strip(SPACE)
        if self._dropped:
            length = f"{self._dropped + end - self._first:,} bytes"
            piece = RowError(f"{self.name}: an element is too long for a row", got=length)
        else:
            place += _spaces(self._text, self._first)
        self._skip(next_start)
        return place, piece

    def _skip(self, place: int) -> None:
        self._first = self._at = place
        self._depth = self._dropped = 0

    def _broken(self) -> Piece | None:
        """An element that is broken or never ends; None behind the end of the file."""
        if (line := self._next_line(len(self._text))) is not None:
            return self._up_to(line, line)
        if self._first > len(self._text):
            return None
        start = self._origin + self._first - self._dropped
        start += 0 if self._dropped else _spaces(self._text, self._first)
        rest = self._text[self._first : self._first + 200].strip(SPACE)
        self._skip(len(self._text) + 1)
        if self._file.raw.broken is not None:
            return start, cannot_be_read_on(self.name, self._file.raw.broken, start)
        what = f"{self.name}: the array is not closed; {self._lost(start)}"
        return start, RowError(what, reason="broken file", got=rest[:80], fix="mend the file there, or write it again")

    def _behind(self) -> Piece | None:
        """What follows the end of the array: nothing, or something that is lost up to the next element's line."""
        closed = self._origin + self._first - 1
        while (spaces := _spaces(self._text, self._first)) == len(self._text) - self._first:
            if not self._more():
                self._skip(len(self._text) + 1)
                return (
                    (closed, cannot_be_read_on(self.name, error, closed)) if (error := self._file.raw.broken) else None
                )
        rest = self._text[self._first + spaces :][:80]
        while (match := self._line.search(self._text, self._first) if self._line else None) is None:
            self._first = self._at = max(self._first, len(self._text) - MARGIN)
            if not self._more():
                break
        line = match.end() - 1 if match else len(self._text) + 1
        what = f"it goes on at byte {self._origin + line}" if match else self._lost(closed + 1)
        self._skip(line)
        what = f"{self.name}: more follows behind the array; {what}"
        return closed, RowError(what, reason="broken file", got=rest, fix="mend the file there, or write it again")

    def _lost(self, start: int) -> str:
        if self.size is None:
            return f"everything from byte {start:,} on is lost"
        return f"{self.size - start:,} bytes from byte {start:,} on are lost"


def cannot_be_read_on(name: str, error: Exception, place: int) -> RowError:
    """Of a file that is broken, or whose compression is."""
    what = f"{name} cannot be read on; everything from byte {place:,} of its content on is lost"
    got = f"{type(error).__name__}: {error}"
    return RowError(what, reason="broken file", got=got, fix="write or download it again")


def _spaces(text: bytes, start: int) -> int:
    at = start
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at - start


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _no_beginning(text: bytes) -> bool:
    """Whether nothing that follows could make this JSON."""
    signs = text.decode("utf-8", "replace")
    try:
        json.loads(signs)
    except json.JSONDecodeError as error:
        return error.pos < len(signs)
    except RecursionError:
        return False
    return False
