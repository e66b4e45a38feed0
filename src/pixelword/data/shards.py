"""Rows from WebDataset shards: tar files whose members belong together when they share a name up to its first dot.

    000017.jpg  000017.txt         a picture and its caption
    000018.0.png 000018.1.png 000018.json     pictures in order, and a row of conversations, messages, caption or text

Nothing is extracted: a picture is a range of bytes of the shard. Members' names are never paths, and only the kinds
of members named below are opened, so no pickle is.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pixelword.data.json_rows import LONGEST_LINE, open_file, parse
from pixelword.data.media import FileSlice
from pixelword.data.records import Record, RowError
from pixelword.errors import DataError

PICTURES = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif", "jp2", "ppm"}
VIDEOS = {"mp4", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "ogv"}
MEDIA_KEYS = ("image", "images", "video", "videos")
RECORD = 512
"""Bytes in which a tar file counts."""

# What the standard library raises on broken headers is nowhere listed; fuzzing finds these.
TAR_ERRORS = (tarfile.TarError, OSError, ValueError, LookupError, ArithmeticError, RuntimeError, EOFError)


class TarRows:
    """WebDataset shards; a block is a shard, a place the byte at which a row's first member starts.

    Args:
        name: of the source.
        files: uncompressed tar files.

    Raises:
        DataError: no files.
    """

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name, self.files = name, tuple(files)
        if not self.files:
            raise DataError(f"source {name!r} has no files", got=list(files), fix="check its path or pattern")

    def blocks(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        return " ".join(f"{path.name}:{path.stat().st_size}" for path in self.files)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`."""
        path = self.files[block]
        with open_file(path) as file:
            row: list[tarfile.TarInfo] = []
            for place, member in _members(path, file, start):
                if isinstance(member, RowError):
                    yield from self._record(path, file, block, row)
                    yield Record(self.name, block, place, path.name, member)
                    return
                if row and _key(member) != _key(row[0]):
                    yield from self._record(path, file, block, row)
                    row = []
                row.append(member)
            yield from self._record(path, file, block, row)

    def _record(self, path: Path, file: BinaryIO, block: int, row: list[tarfile.TarInfo]) -> Iterator[Record]:
        if not row:
            return
        name = f"{path.name}, {_key(row[0])!r}"
        yield Record(self.name, block, row[0].offset, name, _fields(path, file, row, name))


def _fields(path: Path, file: BinaryIO, row: list[tarfile.TarInfo], name: str) -> dict[str, Any] | RowError:
    fields: dict[str, Any] = {}
    media: dict[str, list[FileSlice]] = {"images": [], "videos": []}
    for member in row:
        kind = member.name.rpartition(".")[2].lower()
        if kind in PICTURES | VIDEOS:
            media["images" if kind in PICTURES else "videos"].append(FileSlice(path, member.offset_data, member.size))
        elif kind in ("json", "txt"):
            file.seek(member.offset_data)
            text = file.read(min(member.size, LONGEST_LINE))
            parsed = parse(text, name) if kind == "json" else _caption(text, name)
            if isinstance(parsed, RowError):
                return parsed
            fields = parsed | fields if kind == "txt" else fields | parsed
    named = [key for key in MEDIA_KEYS if fields.get(key)]
    if not any(media.values()) and named:
        return RowError(f"{name} names files that are not in the shard", reason="missing file", got=fields[named[0]])
    return {key: value for key, value in fields.items() if key not in MEDIA_KEYS} | {
        k: v for k, v in media.items() if v
    }


def _caption(text: bytes, name: str) -> dict[str, str] | RowError:
    try:
        return {"caption": text.decode("utf-8-sig").strip()}
    except UnicodeDecodeError as error:
        return RowError(f"the text of {name} is not UTF-8", reason="broken file", got=error)


def _members(path: Path, file: BinaryIO, start: int) -> Iterator[tuple[int, tarfile.TarInfo | RowError]]:
    """The regular files of a shard, each with its place, and at its end an error if it ends in the middle."""
    size, place = file.seek(0, 2), start
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:") as shard:
            while member := shard.next():
                shard.members = []  # type: ignore[attr-defined]  # it would remember every member it has seen
                place = member.offset
                if member.offset_data + member.size > size:
                    yield place, _broken(f"{path.name} ends inside {member.name!r}", f"{size} bytes")
                    return
                if member.isreg():
                    yield place, member
            place = shard.offset
    except TAR_ERRORS as error:
        yield place, _broken(f"{path.name} cannot be read on as tar", f"{type(error).__name__}: {error}")
        return
    # The standard library takes a broken header in the middle for the end.
    file.seek(place)
    if file.read(RECORD).strip(b"\0"):
        yield place, _broken(f"{path.name} holds something that is no tar header", f"byte {place}")


def _broken(what: str, got: str) -> RowError:
    return RowError(what, reason="broken file", got=got, fix="write or download the shard again, uncompressed")


def _key(member: tarfile.TarInfo) -> str:
    folder, slash, name = member.name.rpartition("/")
    return folder + slash + name.partition(".")[0]
