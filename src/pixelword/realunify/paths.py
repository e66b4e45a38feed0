"""Paths and pictures that come from data: kept inside their folder, opened with care."""

from __future__ import annotations

import struct
from pathlib import Path, PureWindowsPath

from PIL import Image, ImageOps

from pixelword.errors import DataError, ImageError

MOST_PIXELS = 100_000_000

BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on a file that is cut off, hostile, or no picture."""


def inside(folder: Path, name: str) -> Path:
    """The path that a row names, below its folder.

    Raises:
        DataError: an absolute path, one that climbs out, or a link that points outside.
    """
    normal = name.replace("\\", "/")
    outside = normal.startswith("/") or bool(PureWindowsPath(name).drive) or "\0" in name or ".." in normal.split("/")
    path = folder / normal if not outside else folder
    if outside or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError("an image path leaves the data folder", got=name, fix="use paths below the folder of the files")
    return path


def open_picture(path: Path, *, at_least: int | None = None) -> Image.Image:
    """A picture in RGB: turned as its EXIF says, transparency on white, at its own size.

    Args:
        at_least: pixels along each side that are enough; a large JPEG is then decoded at a half, quarter or eighth.

    Raises:
        ImageError: the file is missing, no picture, cut off, or too large.
    """
    fix = "check the file, or mark the item image_unreadable"
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ImageError("a picture has too many pixels", got=f"{path}: {opened.size}", fix="make it smaller")
            if at_least is not None:
                opened.draft("RGB", (at_least, at_least))
            upright = ImageOps.exif_transpose(opened)
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            return upright.convert("RGB")
    except ImageError:
        raise
    except BROKEN as error:
        raise ImageError("a picture cannot be read", got=f"{path}: {error}", fix=fix) from error
