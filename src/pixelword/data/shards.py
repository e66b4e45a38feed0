"""Rows from WebDataset shards: tar files whose members belong together when they share a name up to its first dot.

    000017.jpg  000017.txt         a picture and its caption
    000018.0.png 000018.1.png 000018.json     pictures in order, and a row of conversations, messages, caption or text

Nothing is extracted: of an uncompressed shard on the disk a picture is a range of bytes; of a compressed or streamed
one it is kept as the bytes of its file. Members' names are never paths, and only pictures, films, JSON and text are
opened, so no pickle is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pixelword.data.files import connected, open_elsewhere, open_file
from pixelword.data.json_rows import parse
from pixelword.data.media import FileSlice
from pixelword.data.passing import bare_name, connection, opened, unpacked
from pixelword.data.records import Record, RowError
from pixelword.data.tar_members import (
    PICTURES,
    TEXTS,
    VIDEOS,
    Found,
    Member,
    members_by_place,
    members_in_turn,
)
from pixelword.errors import DataError

MEDIA_KEYS = ("image", "images", "video", "videos")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class TarRows:
    """WebDataset shards; a block is a shard, a place that of a row's first member.

    Args:
        name: of the source.
        shards: tar files on the disk, or URLs of some; compressed ones are known by their ending.

    Raises:
        DataError: no shards; while reading: one that cannot be opened, or a connection that is lost.
    """

    parts = "shards"

    def __init__(self, name: str, shards: Sequence[Path | str]) -> None:
        self.name, self.shards = name, tuple(shards)
        if not self.shards:
            raise DataError(f"source {name!r} has no files", got=list(shards), fix="check its path or pattern")

    def blocks(self) -> int:
        return len(self.shards)

    def fingerprint(self) -> str:
        """Of shards elsewhere only the address counts: asking for thousands of sizes would take minutes."""
        return " ".join(
            f"{shard.name}:{shard.stat().st_size}" if isinstance(shard, Path) else shard for shard in self.shards
        )

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`."""
        shard = self.shards[block]
        short = bare_name(shard)
        packed = short.endswith(COMPRESSED)
        if isinstance(shard, Path) and not packed:
            with open_file(shard) as file:
                yield from self._rows(block, short, members_by_place(short, file, start, shard))
            return
        if isinstance(shard, Path):
            with opened(shard) as content:
                yield from self._rows(block, short, members_in_turn(short, content, start))
            return
        address = shard.partition("?")[0]
        file, ranges = open_elsewhere(shard)
        with file, connected(shard):
            if ranges and not packed:
                yield from self._rows(block, short, members_by_place(address, file, start))
                return
            with unpacked(connection(shard, file, ranges)) as content:
                yield from self._rows(block, short, members_in_turn(address, content, start))

    def _rows(self, block: int, shard: str, members: Iterator[Found]) -> Iterator[Record]:
        row: list[Member] = []
        for found in members:
            if isinstance(found, tuple):
                yield from self._record(shard, block, row)
                yield Record(self.name, block, found[0], shard, found[1])
                return
            if row and found.key != row[0].key:
                yield from self._record(shard, block, row)
                row = []
            row.append(found)
        yield from self._record(shard, block, row)

    def _record(self, shard: str, block: int, row: list[Member]) -> Iterator[Record]:
        if row:
            name = f"{shard}, {row[0].key!r}"
            yield Record(self.name, block, row[0].place, name, _fields(row, name))


def _fields(row: list[Member], name: str) -> dict[str, Any] | RowError:
    fields: dict[str, Any] = {}
    media: dict[str, list[FileSlice | bytes]] = {"images": [], "videos": []}
    for member in row:
        if isinstance(member.content, RowError):
            return member.content
        if member.kind in PICTURES | VIDEOS:
            media["images" if member.kind in PICTURES else "videos"].append(member.content)
        elif member.kind in TEXTS:
            assert isinstance(member.content, bytes), "texts are read at once"
            parsed = parse(member.content, name) if member.kind == "json" else _caption(member.content, name)
            if isinstance(parsed, RowError):
                return parsed
            fields = parsed | fields if member.kind == "txt" else fields | parsed
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
