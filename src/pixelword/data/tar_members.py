"""The regular files of a tar shard: by ranges of bytes where it can be sought, otherwise as they pass by."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from pixelword.data.media import FileSlice
from pixelword.data.passing import Content, skip
from pixelword.data.records import RowError
from pixelword.errors import DataError

PICTURES = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif", "jp2", "ppm"}
VIDEOS = {"mp4", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "ogv"}
TEXTS = {"json", "txt"}

LONGEST = 2**28
"""Bytes of a member that is kept in memory."""
RECORD = 512
"""Bytes in which a tar file counts."""

# What the standard library raises on broken headers is nowhere listed; fuzzing finds these.
TAR_ERRORS = (tarfile.TarError, OSError, ValueError, LookupError, ArithmeticError, RuntimeError, EOFError)


@dataclass(frozen=True)
class Member:
    """A file in a shard.

    Attributes:
        place: reading the shard from there gives this member first; a byte, or a number where it cannot be sought.
        name: its path in the shard; never one of the disk.
        content: its bytes, where they are, or why they are not kept; nothing of a kind that is not used.
    """

    place: int
    name: str
    content: FileSlice | bytes | RowError = b""

    @property
    def kind(self) -> str:
        """Its ending, in lower case."""
        return self.name.rpartition(".")[2].lower()

    @property
    def key(self) -> str:
        """What members of one row share: the path up to the first dot of the name."""
        folder, slash, name = self.name.rpartition("/")
        return folder + slash + name.partition(".")[0]


Found = Member | tuple[int, RowError]
"""A member; or a place, and why nothing can be read from there on."""


def members_by_place(shard: str, file: Any, start: int, path: Path | None = None) -> Iterator[Found]:
    """The members of a file that can be sought, and at its end an error if it ends in the middle.

    Args:
        shard: how errors call it.
        file: opened for reading bytes.
        start: 0, or the place of a member.
        path: of a file here, whose pictures are left there; None reads them.
    """
    size, place = file.seek(0, 2), start
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while info := tar.next():
                tar.members = []  # type: ignore[attr-defined]  # it would remember every member it has seen
                place = info.offset
                if not 0 <= info.size <= size - info.offset_data:
                    yield place, broken(f"{shard} ends inside {info.name!r}", f"{size} bytes")
                    return
                if info.isreg():
                    yield _member(shard, tar, info, place, path)
            place = tar.offset
    except TAR_ERRORS as error:
        if path is None and isinstance(error, OSError):
            raise
        yield place, broken(f"{shard} cannot be read on as tar", f"{type(error).__name__}: {error}")
        return
    # The standard library takes a broken header in the middle for the end.
    file.seek(place)
    if file.read(RECORD).strip(b"\0"):
        yield place, broken(f"{shard} holds something that is no tar header", f"byte {place}")


def members_in_turn(shard: str, content: BufferedReader[Content], start: int) -> Iterator[Found]:
    """The members of a compressed shard, or of one that comes over the network without ranges of bytes."""
    number, file = 0, _Forward(content)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:  # type: ignore[call-overload]
            while info := tar.next():
                tar.members = []
                if info.size < 0:
                    raise tarfile.ReadError(f"{info.name!r} has a size below zero")
                if not info.isreg():
                    continue
                if number >= start:
                    yield _member(shard, tar, info, number, None)
                number += 1
    except TAR_ERRORS as error:
        if isinstance(error, DataError):
            raise
        if content.raw.broken is None:
            yield number, broken(f"{shard} cannot be read on as tar", f"{type(error).__name__}: {error}")
            return
    if (reason := content.raw.broken) is not None:
        yield number, broken(f"{shard} breaks off", f"{type(reason).__name__}: {reason}")
    elif file.last.strip(b"\0") or 0 < len(file.last) < RECORD:
        # The standard library takes a broken header in the middle for the end.
        yield number, broken(f"{shard} holds something that is no tar header", f"byte {tar.offset} of its content")


class _Forward:
    """A file that is only read on, for a library that seeks forward.

    Attributes:
        last: what was read last.
    """

    def __init__(self, content: BufferedReader[Content]) -> None:
        self._content, self._place, self.last = content, 0, b""

    def read(self, size: int) -> bytes:
        self.last = self._content.read(size)
        self._place += len(self.last)
        return self.last

    def seek(self, place: int) -> int:
        if place < self._place:
            raise tarfile.ReadError(f"a header leads back to byte {place}")
        skip(self._content, place - self._place)
        self._place = place
        return place

    def tell(self) -> int:
        return self._place


def _member(shard: str, tar: tarfile.TarFile, info: tarfile.TarInfo, place: int, path: Path | None) -> Found:
    found = Member(place, info.name)
    if path is not None and found.kind in PICTURES | VIDEOS:
        return Member(place, info.name, FileSlice(path, info.offset_data, info.size))
    if found.kind not in PICTURES | VIDEOS | TEXTS:
        return found
    if info.size > LONGEST:
        large = broken(f"{info.name!r} in {shard} is too large", f"{info.size} bytes, at most {LONGEST}")
        return Member(place, info.name, large)
    stream = tar.extractfile(info)
    assert stream is not None, "a regular file"
    content = stream.read()
    if len(content) < info.size:
        return place, broken(f"{shard} ends inside {info.name!r}", f"{len(content)} of {info.size} bytes")
    return Member(place, info.name, content)


def broken(what: str, got: str) -> RowError:
    return RowError(what, reason="broken file", got=got, fix="write or download the shard again")
