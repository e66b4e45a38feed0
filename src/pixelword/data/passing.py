"""Files that are read on and on: from any byte here, as they pass by where they are compressed or elsewhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
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
        raw = connection(file, *open_elsewhere(file))
    with raw, unpacked(raw) as content:
        yield content


def connection(url: str, file: Any, ranges: bool) -> io.BufferedReader[Any]:
    """What `open_elsewhere` gives, as a file whose lost connection is no broken content."""
    return io.BufferedReader(_Connection(file, url, ranges), BUFFER)


def unpacked(raw: io.BufferedReader[Any]) -> io.BufferedReader[Content]:
    """The content of a file that may be compressed; its first bytes say so.

    Raises:
        DataError: a compression that is not read.
    """
    head = raw.peek(8)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise DataError("this compression is not read", got="zstandard", fix="write .gz, .bz2 or .xz")
    for magic, unpack in UNPACK.items():
        if head.startswith(magic):
            return io.BufferedReader(Content(unpack(raw)), BUFFER)
    return io.BufferedReader(Content(raw), BUFFER)


UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


def go_to(content: io.BufferedReader[Content], place: int) -> None:
    """To a byte, of a file of which nothing has been read."""
    if content.seekable():
        content.seek(place)
    else:
        skip(content, place)


def skip(content: io.BufferedReader[Content], length: int) -> None:
    """Read so many bytes, or to the end."""
    while length > 0 and (piece := content.read(min(length, BUFFER))):
        length -= len(piece)


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
