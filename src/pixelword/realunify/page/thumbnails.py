"""One picture made small: for the eye, and to compare edits by. What took long to decode is kept beside the run.

Nearly all of the work on a large PNG is decoding it (30 ms for 1024 pixels and 1.7 MB, of which 17 ms are zlib's), and
nothing shortens that: every row depends on the one above. So the small pictures of large ones are kept by the hash of
their file, in `thumbnails` of the run's folder, and a second page reads those. A JPEG is decoded at a fraction of its
size from the start.
"""

from __future__ import annotations

import base64
import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelword.errors import ImageError
from pixelword.realunify.paths import BROKEN, open_picture
from pixelword.report.images import Encoded, encode

FOLDER = "thumbnails"
LARGEST = 320
"""Longest side of a thumbnail in pixels."""

COMPARED = 96
"""Side in pixels at which edits are compared; 2, 3 and 4 patches along it come out even."""

KEPT_FROM = 512 * 512
"""Pixels from which a picture takes longer to decode than its small ones take to write and read."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Wanted:
    """A picture that a page needs.

    Args:
        path: its file.
        sha256: of the file; what is kept is found by it.
        folder: of the run, where small pictures are kept; None keeps none.
        compared: whether its pixels are needed as well.
    """

    path: Path
    sha256: str = ""
    folder: Path | None = None
    compared: bool = False

    def kept(self, name: str) -> Path | None:
        """Where a small picture of this one is kept."""
        if self.folder is None:
            return None
        return self.folder / FOLDER / self.sha256[:2] / f"{self.sha256}.{name}"


@dataclass(frozen=True)
class Small:
    """A picture made small.

    Args:
        encoded: at most `LARGEST` pixels along its longer side.
        pixels: [COMPARED, COMPARED, 3], where they were wanted.
        settled: whether `encoded` may go into a page as it is; what is kept is decoded once more.
    """

    encoded: Encoded
    pixels: Pixels | None
    settled: bool

    def at(self, side: int) -> Encoded:
        """No longer than `side`."""
        if self.settled and max(self.encoded.width, self.encoded.height) <= side:
            return self.encoded
        return encode(base64.b64decode(self.encoded.uri.partition(",")[2]), side)


def small(wanted: Wanted) -> Small | None:
    """The small pictures of one; None when the file is gone or cannot be decoded, which the page says in its place."""
    if (found := read_kept(wanted)) is not None:
        return found
    try:
        picture = open_picture(wanted.path, at_least=2 * LARGEST)
        pixels = compared_pixels(picture) if wanted.compared else None
        large = picture.width * picture.height >= KEPT_FROM
        made = Small(encode(picture, LARGEST), pixels, settled=not large)
    except ImageError:
        return None
    if large:
        keep(wanted, made)
    return made


def compared_pixels(picture: Image.Image) -> Pixels:
    """The picture at the size at which edits are compared, its sides not kept in proportion."""
    return np.asarray(picture.resize((COMPARED, COMPARED), Image.Resampling.BOX, reducing_gap=2.0), dtype=np.uint8)


def read_kept(wanted: Wanted) -> Small | None:
    """What an earlier page kept, if it is all there and whole."""
    shown, compared = wanted.kept(f"{LARGEST}"), wanted.kept(f"{COMPARED}.png")
    if shown is None or compared is None:
        return None
    try:
        content = shown.read_bytes()
        pixels = None
        if wanted.compared:
            with Image.open(compared, formats=("PNG",)) as opened:
                pixels = np.asarray(opened.convert("RGB"), dtype=np.uint8)
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            size, kind = opened.size, str(opened.format).lower()
    except BROKEN:
        return None
    if pixels is not None and pixels.shape != (COMPARED, COMPARED, 3):
        return None
    uri = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return Small(Encoded(uri, *size, pixelated=False), pixels, settled=False)


def keep(wanted: Wanted, made: Small) -> None:
    """Write the small pictures of a large one. Where that is forbidden or there is no room, the page goes without."""
    files = [(wanted.kept(f"{LARGEST}"), base64.b64decode(made.encoded.uri.partition(",")[2]))]
    if made.pixels is not None:
        stream = io.BytesIO()
        Image.fromarray(made.pixels).save(stream, "PNG")
        files.append((wanted.kept(f"{COMPARED}.png"), stream.getvalue()))
    for path, content in files:
        if path is None:
            continue
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
