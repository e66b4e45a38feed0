"""Pictures and films by reference: where their bytes are, how large they are, and their pixels when they are needed.

Measuring reads a file's header. Decoding happens once, when a row of training data is put together.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeAlias

from PIL import Image

from pixelword.data.records import RowError
from pixelword.errors import ImageError
from pixelword.model.image_reading import ImageReading, decoding, readable_formats

ORIENTATION = 0x0112
SIDEWAYS = {5, 6, 7, 8}
"""EXIF orientations that exchange width and height."""


@dataclass(frozen=True)
class FileSlice:
    """Bytes of a file: all of them, or a range, as of a member of a tar file."""

    path: Path
    offset: int = 0
    size: int | None = None

    def open(self) -> IO[bytes]:
        """The bytes as a file.

        Raises:
            OSError: it cannot be read.
        """
        if self.size is None:
            return self.path.open("rb")
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return BytesIO(file.read(self.size))


Media: TypeAlias = FileSlice | bytes | Image.Image


def locate(value: Any, root: Path | None, name: str) -> Media:
    """What a row says about a picture or film, as a reference.

    Args:
        value: a path below `root`, the bytes of a file, {"bytes": ..., "path": ...}, a data URI in base64, a Pillow
            image, or a reference.
        root: folder of the data. Links inside it are followed; no row can lead out of it by its path.
        name: how errors call it.

    Raises:
        RowError: no such file, a path that leaves the root, or something else altogether.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, FileSlice | bytes | Image.Image):
        return value
    if not isinstance(value, str) or not value:
        raise RowError(
            f"{name} is no picture",
            reason="missing file",
            got=repr(value)[:100],
            fix="write its path below the data root",
        )
    if value.startswith("data:"):
        return _from_uri(value, name)
    if root is None or "://" in value or "\0" in value:
        raise RowError(
            f"{name} is not inside the data",
            reason="outside the data root",
            got=value,
            fix="put the file into the data; nothing is downloaded",
        )
    top = os.path.abspath(root)
    path = os.path.normpath(os.path.join(top, value))
    if os.path.commonpath((top, path)) != top:
        raise RowError(
            f"{name} leaves the data root",
            reason="outside the data root",
            got=value,
            fix=f"put the file below {top}, or set the source's root",
        )
    if not os.path.isfile(path):
        raise RowError(
            f"{name} does not exist", reason="missing file", got=path, fix="set the source's root, or copy the file"
        )
    return FileSlice(Path(path))


def _from_uri(uri: str, name: str) -> bytes:
    header, _, data = uri.partition(",")
    try:
        if not header.endswith(";base64"):
            raise ValueError("no ';base64,' in it")
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise RowError(f"{name} is a broken data URI", reason="broken image", got=error) from error


def picture_size(media: Media, reading: ImageReading, name: str) -> tuple[int, int]:
    """(height, width) in pixels as they will be decoded; only the header is read.

    Raises:
        RowError: the header is broken, or the picture has more pixels than allowed.
    """
    try:
        if isinstance(media, Image.Image):
            return media.height, media.width
        with decoding(name), _stream(media) as stream, Image.open(stream, formats=readable_formats()) as image:
            width, height = image.size
            sideways = reading.apply_exif and image.getexif().get(ORIENTATION) in SIDEWAYS
    except ImageError as error:
        raise RowError(error.what, reason="broken image", got=error.got, fix=error.fix) from error
    if width * height > reading.max_input_pixels:
        raise RowError(
            f"{name} has more than max_input_pixels = {reading.max_input_pixels:,} pixels",
            reason="broken image",
            got=f"{width} x {height}",
            fix="make it smaller, or raise max_input_pixels if you trust it",
        )
    return (width, height) if sideways else (height, width)


def picture_source(media: Media) -> Image.Image | Path | bytes:
    """What `read_image` takes.

    Raises:
        OSError: the file of a range of bytes cannot be read.
    """
    if not isinstance(media, FileSlice):
        return media
    if media.size is None:
        return media.path
    with media.open() as stream:
        return stream.read()


def _stream(media: FileSlice | bytes) -> IO[bytes]:
    return BytesIO(media) if isinstance(media, bytes) else media.open()
