"""Pictures for tests: every part looks different, and some that cannot be solved."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Image


def busy(seed: int, width: int = 120, height: int = 96) -> Image:
    """Coarse random blocks with a slope, so that every tile has detail of its own."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return PIL.Image.fromarray(blocks).resize((width, height), PIL.Image.Resampling.BICUBIC)


def plain(width: int = 120, height: int = 96, colour: tuple[int, int, int] = (90, 120, 200)) -> Image:
    return PIL.Image.new("RGB", (width, height), colour)


def folder_of(path: Path, count: int = 4) -> Path:
    """A folder of solvable pictures."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        busy(number).save(path / f"{number}.png")
    return path


def claims_to_be_huge(bits: int = 8) -> bytes:
    """A PNG of a few bytes that says it has 10^10 pixels: of 8 bits in colour, or of 16 in grey."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, bits, 2 if bits == 8 else 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
