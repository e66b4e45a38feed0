"""From whatever a user calls a picture to an RGB picture, or one clear error.

Sources: a Pillow image, a path, the bytes of a file, a `data:` URI, or an 8-bit numpy array (height, width) or
(height, width, 1, 3 or 4).

What is done with the awkward ones, where "reference" is the released inference code:

| picture | here | reference |
|---|---|---|
| transparent (RGBA) with a pixel of alpha 0 | pasted on white | the same: its black case cannot be reached |
| RGBA without such a pixel, or with nothing else | alpha dropped | the same |
| palette, grey + alpha | converted; transparency dropped | the same |
| CMYK, YCbCr, bilevel, ... | converted by Pillow | the same |
| 16-bit grey | scaled to 8 bit | clipped: nearly everything turns white |
| 32-bit integers in 0..65535 | read as 16 bit | clipped |
| floating point, integers beyond 16 bit | error: white is not defined | clipped |
| animated | first frame, or an error on request | first frame |
| EXIF rotation | ignored; applied on request | ignored |
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import IO, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixelword.errors import ConfigError, ImageError

ImageSource: TypeAlias = "Image.Image | str | os.PathLike[str] | bytes | bytearray | NDArray[np.uint8]"

MAX_INPUT_PIXELS = 89_478_485
"""Pillow's own limit: a quarter of a gigabyte of RGB."""

# Pillow knows about forty formats. Left out are those that start another program (EPS), those that only wrap other
# formats or raw data, and those nobody photographs with. A JPEG with several pictures (MPO) counts as JPEG.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI"),
    *("TGA", "TIFF", "WEBP"),
)

# Pillow promises no list of what its decoders raise on broken files. Fuzzing finds most of these; the rest are kin.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError),
    *(AssertionError, AttributeError, struct.error, zlib.error),
)


@dataclass(frozen=True)
class ImageReading:
    """How pictures are read.

    Attributes:
        apply_exif: turn the picture as its EXIF orientation says. Off, as in the reference: on, a phone's upright
            photograph is seen upright, but answers differ from the reference's.
        animated: "first" reads the first frame; "reject" makes an animated GIF, PNG, WebP or AVIF an error.
        max_input_pixels: pictures with more pixels are refused before they are decoded. Pillow has its own limit:
            raise `PIL.Image.MAX_IMAGE_PIXELS` too to go beyond twice `MAX_INPUT_PIXELS`.
    """

    apply_exif: bool = False
    animated: Literal["first", "reject"] = "first"
    max_input_pixels: int = MAX_INPUT_PIXELS

    def __post_init__(self) -> None:
        if self.animated not in ("first", "reject"):
            raise ConfigError("animated must be 'first' or 'reject'", got=repr(self.animated), fix="choose one of them")
        if self.max_input_pixels < 1:
            raise ConfigError(
                "max_input_pixels must be positive", got=self.max_input_pixels, fix="leave it out for the default"
            )


DEFAULT_READING = ImageReading()


def read_image(source: ImageSource, reading: ImageReading = DEFAULT_READING, *, name: str = "image") -> Image.Image:
    """Read one picture as RGB.

    Args:
        source: see the module's table.
        reading: what to do with rotated, animated and huge pictures.
        name: how errors call the picture; a path is added to it.

    Returns:
        A loaded Pillow image of mode RGB, at its own size.

    Raises:
        ImageError: the picture is missing, empty, broken, too large, or of a kind without a defined white.
    """
    if isinstance(source, Image.Image):
        with decoding(name):
            return _read(source, reading, name)
    if isinstance(source, np.ndarray):
        return _read(_from_array(source, name), reading, name)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and not source.startswith("data:")):
        name = f"{name} ({os.fspath(source)})"
    with _stream(source, name) as stream, decoding(name):
        if stream.seek(0, os.SEEK_END) == 0:
            raise ImageError(f"{name} is empty", got="0 bytes", fix="write the file again, or leave it out")
        stream.seek(0)
        with Image.open(stream, formats=readable_formats()) as image:
            return _read(image, reading, name)


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow can open."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def doubled(image: Image.Image) -> Image.Image:
    """Twice the width and height, bilinear: what the reference does to the first picture of MMMU, before all else."""
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.BILINEAR)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises on a broken picture into an `ImageError` that names it."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name} has more pixels than Pillow's safety limit",
            got=error,
            fix="make it smaller; if you trust it, raise max_input_pixels and PIL.Image.MAX_IMAGE_PIXELS",
        ) from error
    except DECODE_ERRORS as error:
        raise ImageError(
            f"{name} cannot be decoded",
            got=f"{type(error).__name__}: {error}",
            fix=f"check that it opens in a viewer and save it again; formats: {', '.join(readable_formats())}",
        ) from error


def _stream(source: Any, name: str) -> IO[bytes]:
    if isinstance(source, (bytes, bytearray)):
        return BytesIO(source)
    if isinstance(source, str) and source.startswith("data:"):
        return BytesIO(_from_data_uri(source, name))
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        raise ImageError(f"{name} is a web address; nothing is downloaded", fix="download it and pass the file's path")
    if isinstance(source, (str, os.PathLike)):
        try:
            return open(source, "rb")
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise ImageError(f"{name} cannot be opened", got=error, fix="check the path and its permissions") from error
    raise ImageError(
        f"{name} is not a picture",
        got=type(source).__name__,
        fix="pass a Pillow image, a path, the bytes of a file, or a uint8 array (height, width, 3)",
    )


def _from_data_uri(uri: str, name: str) -> bytes:
    header, comma, data = uri.partition(",")
    try:
        if not comma or not header.endswith(";base64"):
            raise ValueError("no ';base64,' in it")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"{name} is a broken data URI", got=error, fix="write it as data:image/png;base64,<data>"
        ) from error


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    if array.dtype != np.uint8:
        raise ImageError(
            f"{name}: an array must hold 8-bit values",
            got=f"dtype {array.dtype}",
            fix="scale it to 0..255 and convert it: array.round().astype(numpy.uint8)",
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(
            f"{name}: an array must be (height, width) or (height, width, 1, 3 or 4)",
            got=f"shape {array.shape}",
            fix="move the channels to the end: array.transpose(1, 2, 0)",
        )
    if 0 in array.shape:
        raise ImageError(f"{name} has no pixels", got=f"shape {array.shape}", fix="leave it out")
    return Image.fromarray(np.ascontiguousarray(array))


def _read(image: Image.Image, reading: ImageReading, name: str) -> Image.Image:
    """Check before decoding, then decode, turn and convert."""
    if image.width < 1 or image.height < 1:
        raise ImageError(f"{name} has no pixels", got=f"{image.width} x {image.height}", fix="leave it out")
    if image.width * image.height > reading.max_input_pixels:
        raise ImageError(
            f"{name} has more than max_input_pixels = {reading.max_input_pixels:,} pixels",
            got=f"{image.width} x {image.height}",
            fix="make it smaller, or raise max_input_pixels if you trust it",
        )
    if reading.animated == "reject" and image.format in ("GIF", "PNG", "WEBP", "AVIF"):
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise ImageError(f"{name} is animated", got=f"{frames} frames", fix="pick a frame, or set animated='first'")
    image.load()
    if reading.apply_exif:
        image = ImageOps.exif_transpose(image)
    return to_rgb(image, name)


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """A loaded picture of any mode as RGB, by the module's table.

    Raises:
        ImageError: the mode has no defined white.
    """
    if image.mode == "RGBA":
        return _flattened(image)
    if image.mode.startswith("I;16"):
        return _from_16_bit(np.asarray(image))
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise _no_white(name, f"32-bit integers from {values.min()} to {values.max()}")
        return _from_16_bit(values)
    if image.mode == "F":
        raise _no_white(name, "floating point pixels")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning about the lost transparency
    return image.convert("RGB")


def _flattened(image: Image.Image) -> Image.Image:
    """White behind the picture if some pixels are fully transparent and some are not; else the alpha is dropped.

    The reference chooses black when the mean of the visible pixels exceeds 382.5. That is one and a half times the
    largest mean there is, so the background is always white.
    """
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    if lowest != 0 or highest == 0:
        return image.convert("RGB")
    page = Image.new("RGB", image.size, (255, 255, 255))
    page.paste(image, mask=alpha)
    return page


def _from_16_bit(values: NDArray[Any]) -> Image.Image:
    """0..65535 to 0..255, rounded."""
    wide = values.astype(np.uint32)
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")


def _no_white(name: str, got: str) -> ImageError:
    return ImageError(f"{name}: nothing says which value is white", got=got, fix="scale it to 8 bit and save it as PNG")
