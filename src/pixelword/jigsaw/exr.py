"""A minimal reader of OpenEXR depth maps: one part, scan lines, uncompressed or zipped, one channel.

The format is described in "OpenEXR File Layout" by the Academy Software Foundation.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAGIC = 20000630
LINES = {0: 1, 2: 1, 3: 16}
"""Compression -> scan lines in a block: none, zipped by line, zipped by sixteen lines."""
KINDS: dict[int, np.dtype[np.generic]] = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
DEPTH_NAMES = ("Z", "depth", "Depth", "Y", "V", "R")
MOST_BYTES = 1 << 30


class ExrProblem(ValueError):
    """What this reader cannot read, or nobody could."""


class ExrTooLarge(ExrProblem):
    """More pixels than wanted, by what its header says."""


@dataclass(frozen=True)
class Header:
    """What is needed of a header: channels as (name, kind), sizes, compression, and where the header ends."""

    channels: tuple[tuple[str, np.dtype[np.generic]], ...]
    width: int
    height: int
    top: int
    compression: int
    end: int


def read_exr(data: bytes, channel: str | None = None, *, most_pixels: int | None = None) -> NDArray[np.float32]:
    """One channel as float32 [height, width].

    Args:
        channel: its name; by default the only one, or the first there is of `DEPTH_NAMES`.
        most_pixels: width times height at most; looked at before any pixel is.

    Raises:
        ExrTooLarge: more.
        ExrProblem: damaged, or tiled, multi-part, deep, subsampled, or compressed in another way.
    """
    try:
        header = read_header(data)
        if most_pixels is not None and header.width * header.height > most_pixels:
            raise ExrTooLarge(f"{header.width} x {header.height} pixels")
        return read_lines(data, header, pick(header, channel))
    except ExrProblem:
        raise
    except (struct.error, zlib.error, ValueError, LookupError) as error:
        raise ExrProblem(f"damaged: {error}") from error


def read_header(data: bytes) -> Header:
    magic, version = struct.unpack_from("<II", data)
    if magic != MAGIC:
        raise ExrProblem("not an OpenEXR file")
    if version & 0xFF != 2 or version & 0x1A00:
        raise ExrProblem("only single-part files of scan lines can be read")
    place, found = 8, dict[str, bytes]()
    while data[place]:
        name, place = text(data, place)
        _, place = text(data, place)
        (size,) = struct.unpack_from("<I", data, place)
        found[name] = data[place + 4 : place + 4 + size]
        place += 4 + size
    left, top, right, bottom = struct.unpack("<4i", found["dataWindow"])
    width, height, compression = right - left + 1, bottom - top + 1, found["compression"][0]
    if compression not in LINES:
        raise ExrProblem(f"compression {compression}; save it uncompressed or as ZIP")
    channels = read_channels(found["channels"])
    if width < 1 or height < 1 or width * height * sum(kind.itemsize for _, kind in channels) > MOST_BYTES:
        raise ExrProblem(f"a size of {width}x{height}")
    return Header(channels, width, height, top, compression, place + 1)


def read_channels(data: bytes) -> tuple[tuple[str, np.dtype[np.generic]], ...]:
    place = 0
    channels: list[tuple[str, np.dtype[np.generic]]] = []
    while data[place]:
        name, place = text(data, place)
        kind, _, across, down = struct.unpack_from("<I4sII", data, place)
        if (across, down) != (1, 1):
            raise ExrProblem(f"channel {name} is subsampled")
        channels.append((name, KINDS[kind]))
        place += 16
    return tuple(channels)


def text(data: bytes, place: int) -> tuple[str, int]:
    """A string up to its zero byte, and the place behind it."""
    end = data.index(0, place)
    return data[place:end].decode("latin-1"), end + 1


def pick(header: Header, channel: str | None) -> str:
    names = [name for name, _ in header.channels]
    wanted = [channel] if channel is not None else names if len(names) == 1 else DEPTH_NAMES
    for name in wanted:
        if name in names:
            return name
    raise ExrProblem(f"no depth among its channels {', '.join(names)}")


def read_lines(data: bytes, header: Header, channel: str) -> NDArray[np.float32]:
    width, height, step = header.width, header.height, LINES[header.compression]
    line_bytes = width * sum(kind.itemsize for _, kind in header.channels)
    before = width * sum(kind.itemsize for name, kind in header.channels if name < channel)
    kind = dict(header.channels)[channel]
    values = np.full((height, width), np.nan, dtype=np.float32)
    blocks = -(-height // step)
    for offset in struct.unpack_from(f"<{blocks}Q", data, header.end):
        y, size = struct.unpack_from("<iI", data, offset)
        first = y - header.top
        lines = min(step, height - first)
        if first < 0 or lines < 1:
            raise ExrProblem(f"damaged: a block at line {y}")
        packed = data[offset + 8 : offset + 8 + size]
        raw = packed if size == lines * line_bytes else unzip(packed, lines * line_bytes)
        for line in range(lines):
            start = line * line_bytes + before
            values[first + line] = np.frombuffer(raw, kind, width, start).astype(np.float32)
    return values


def unzip(packed: bytes, size: int) -> bytes:
    """Inflate, undo the differences between neighbouring bytes, and put the two halves back in turns."""
    flat = np.frombuffer(zlib.decompressobj().decompress(packed, size), np.uint8)
    if len(flat) != size:
        raise ExrProblem("damaged: a block of another length")
    summed = (np.cumsum(flat, dtype=np.int64) - 128 * np.arange(size)).astype(np.uint8)
    mixed = np.empty(size, np.uint8)
    mixed[0::2], mixed[1::2] = summed[: (size + 1) // 2], summed[(size + 1) // 2 :]
    return mixed.tobytes()
