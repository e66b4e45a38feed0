"""A writer of small OpenEXR files, from the format's description, for the reader's tests."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import numpy as np

CODES = {np.dtype("<u4"): 0, np.dtype("<f2"): 1, np.dtype("<f4"): 2}


def attribute(name: str, kind: str, data: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<I", len(data)) + data


def zipped(raw: bytes) -> bytes:
    """Even bytes first, then odd ones; then the differences between neighbours plus 128; then zlib."""
    turned = raw[0::2] + raw[1::2]
    differences = bytes([turned[0], *((b - a + 128) % 256 for a, b in pairwise(turned))])
    packed = zlib.compress(differences)
    return packed if len(packed) < len(raw) else raw


def write_exr(channels: dict[str, np.ndarray], compression: int, top: int = 0, version: int = 2) -> bytes:
    names = sorted(channels)
    height, width = channels[names[0]].shape
    chlist = b"".join(
        name.encode() + b"\0" + struct.pack("<I4sII", CODES[channels[name].dtype], b"\0" * 4, 1, 1) for name in names
    )
    window = struct.pack("<4i", 0, top, width - 1, top + height - 1)
    head = struct.pack("<II", 20000630, version) + b"".join(
        [
            attribute("channels", "chlist", chlist + b"\0"),
            attribute("compression", "compression", bytes([compression])),
            attribute("dataWindow", "box2i", window),
            attribute("displayWindow", "box2i", window),
            attribute("lineOrder", "lineOrder", b"\0"),
            attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
        ]
    )
    head += b"\0"
    step = {0: 1, 2: 1, 3: 16}[compression]
    blocks = []
    for start in range(0, height, step):
        raw = b"".join(
            channels[name][line].tobytes() for line in range(start, min(start + step, height)) for name in names
        )
        data = raw if compression == 0 else zipped(raw)
        blocks.append(struct.pack("<iI", top + start, len(data)) + data)
    place, offsets = len(head) + 8 * len(blocks), []
    for block in blocks:
        offsets.append(place)
        place += len(block)
    return head + struct.pack(f"<{len(blocks)}Q", *offsets) + b"".join(blocks)
