"""Reading one picture: decoded, upright, RGB, or refused with the reason."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Image, Transpose

from pixelword.jigsaw.refusals import Refusal

Picture = Path | bytes | Image
"""Where a picture comes from: a file, the bytes of one, or a decoded picture."""

MAX_PIXELS = 80_000_000
"""A larger picture is more likely an attack or a map than a photograph."""

UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow's decoders raise on damaged files."""

ORIENTATION = 0x0112
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""EXIF orientation -> the turn that undoes it."""

SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".avif",
        ".mpo",
    }
)


def read_picture(
    source: Picture, sample: str, *, max_pixels: int = MAX_PIXELS, upright: bool = True
) -> Image | Refusal:
    """The picture in RGB, or why there is none.

    Transparent pixels keep their stored colour, as in the released code (`convert("RGB")`).

    Args:
        sample: id for the refusal.
        upright: turn as EXIF says. The released code does not.
    """
    try:
        if isinstance(source, Image):
            too_large = source.width * source.height > max_pixels
            return Refusal(sample, "too_large", shape(source)) if too_large else in_rgb(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as file:
                # Photographs of some telephones are MPO files: one picture and its by-products.
                if getattr(file, "is_animated", False) and file.format != "MPO":
                    return Refusal(sample, "animated", f"{getattr(file, 'n_frames', 'many')} frames")
                if file.width * file.height > max_pixels:
                    return Refusal(sample, "too_large", shape(file))
                picture = in_rgb(file)
                turn = UPRIGHT.get(file.getexif().get(ORIENTATION, 1)) if upright and "exif" in file.info else None
                return picture if turn is None else picture.transpose(turn)
    except FileNotFoundError:
        return Refusal(sample, "missing", str(source))
    except PIL.Image.DecompressionBombError as error:
        return Refusal(sample, "too_large", str(error)[:200])
    except UNDECODABLE as error:
        return Refusal(sample, "unreadable", " ".join(str(error).split())[:200])


def in_rgb(file: Image) -> Image:
    """The decoded picture, free of its file.

    Raises:
        ValueError: its numbers are no colours.
    """
    if file.mode == "RGB":
        file.load()  # Pillow keeps the pixels when it closes the file.
        return file
    if file.mode.startswith("I;16") or file.mode == "I":
        # Pillow's conversion would cut off all above 255, and leave white.
        return PIL.Image.fromarray((np.asarray(file).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if file.mode == "F":
        raise ValueError("a picture of numbers without a range, such as a depth map")
    return file.convert("RGB")


def shape(picture: Image) -> str:
    return f"{picture.width}x{picture.height}"


def fitted(picture: Image, resize: tuple[int, int] | None, crop: tuple[int, int] | None) -> Image:
    """Resized, aspect not kept, then cropped around the centre, as the released code does; sizes are (width, height).

    A crop is at most the picture.
    """
    if resize is not None and picture.size != resize:
        picture = picture.resize(resize)
    if crop is None:
        return picture
    width, height = min(crop[0], picture.width), min(crop[1], picture.height)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
