"""Files that are read on and on: from any byte here, as they pass by where they are compressed or elsewhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixelword.data.files import connected, open_elsewhere, open_file
from pixelword.errors import DataError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Endings of files that hold one compressed file."""
BUFFER = 2**16

BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a file raises whose disk or whose compression is broken."""


def bare_name(file: Path | str) -> str:
    """The name of a file, without its folder, its server, and what a URL says behind `?`."""
    return file.name if isinstance(file, Path) else file.partition("?")[0].rpartition("/")[2]


def is_whole(file: Path | str) -> bool:
    """Whether it can be read from any byte of its content without reading what is before: here and not compressed."""
    return isinstance(file, Path) and not file.name.endswith(COMPRESSED)


@contextmanager
def opened(file: Path | str) -> Iterator[io.BufferedReader[Content]]:
    """The content of a file, unpacked; from its beginning, or from any byte by `go_to`.

    Raises:
        DataError: it cannot be opened, or the connection is lost.
        MissingExtra: `datasets` is not installed, for files elsewhere.
    """
    if isinstance(file, Path):
        raw: Any = open_file(file)
    else:
        connection, ranges = open_elsewhere(file)
        raw = io.BufferedReader(_Connection(connection, file, ranges), BUFFER)
    with raw, io.BufferedReader(Content(_unpacked(raw, bare_name(file))), BUFFER) as content:
        yield content


def go_to(content: io.BufferedReader[Content], place: int) -> None:
    """To a byte, of a file of which nothing has been read."""
    if content.seekable():
        content.seek(place)
        return
    left = place
    while left and (piece := content.read(min(left, 2**20))):
        left -= len(piece)


def _unpacked(raw: Any, name: str) -> Any:
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)
    if name.endswith(".bz2"):
        return bz2.BZ2File(raw)
    if name.endswith(".xz"):
        return lzma.LZMAFile(raw)
    if name.endswith(".zst"):
        raise DataError(f"{name}: this compression is not read", got=".zst", fix="write .gz, .bz2 or .xz")
    return raw


class Content(io.RawIOBase):
    """What can be read of a file: to its end, or to where it is broken.

    Attributes:
        broken: why no more can be read, if that is not its end.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.broken: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        # A compressed file can only be sought by unpacking it, and may be broken on the way.
        return isinstance(self._file, io.BufferedReader) and self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        filled = 0
        while filled < len(buffer) and self.broken is None:
            try:
                piece = self._file.read1(len(buffer) - filled)
            except BROKEN as error:
                self.broken, piece = error, b""
            if not piece:
                break
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled


class _Connection(io.RawIOBase):
    """What a library gives for a file elsewhere, as a file whose lost connection is no broken content."""

    def __init__(self, file: Any, url: str, ranges: bool) -> None:
        self._file, self._url, self._ranges = file, url, ranges

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._ranges

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if not self._ranges:
            raise io.UnsupportedOperation(f"{self._url} is read from its start on")
        with connected(self._url):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        with connected(self._url):
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
