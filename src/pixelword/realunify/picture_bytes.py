"""What the bytes of a picture say about themselves: format, size in pixels, and whether they end where they should.

Only the header is decoded. A PNG is also walked chunk by chunk with its checksums, because a reply that was cut off on
its way keeps a perfect header; decoding every picture of a run would cost more than everything else together.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from pixelword.errors import ImageError
from pixelword.realunify.paths import BROKEN, MOST_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP")
"""What a model may draw in; anything else (a page of HTML, an animation) is no picture here."""

ENDINGS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}

PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class PictureHeader:
    """Format and size in pixels."""

    format: str
    width: int
    height: int


def read_header(content: bytes) -> PictureHeader:
    """Format and size of a whole picture.

    Raises:
        ImageError: no picture, another format, too large, or cut off.
    """
    if content.startswith(PNG_START):
        header = png_header(content)
    else:
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                header = PictureHeader(str(opened.format), *opened.size)
        except BROKEN as error:
            start = content[:16]
            raise ImageError(
                "these bytes are no PNG, JPEG or WebP picture", got=start, fix="let the model return one of these"
            ) from error
        if not ends_well(header.format, content):
            raise ImageError("a picture is cut off", got=f"{len(content)} bytes", fix="ask for it again")
    if header.width * header.height > MOST_PIXELS or not header.width or not header.height:
        size = f"{header.width} x {header.height}"
        raise ImageError("a picture has too many pixels, or none", got=size, fix="ask for a usual size")
    return header


def png_header(content: bytes) -> PictureHeader:
    """The header of a PNG whose chunks are all there.

    Raises:
        ImageError: a chunk is missing, cut off or damaged.
    """
    view, place, first = memoryview(content), len(PNG_START), b""
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageError("a PNG is damaged", got=f"chunk at byte {place}", fix="ask for it again")
        first = first or content[place + 8 : end - 4]
        if kind == b"IEND" and len(first) == 13:
            return PictureHeader("PNG", *struct.unpack_from(">II", first))
        place = end
    raise ImageError("a PNG is cut off", got=f"{len(content)} bytes", fix="ask for it again")


def ends_well(kind: str, content: bytes) -> bool:
    """Whether a JPEG has its end mark near its end, and a WebP as many bytes as it says."""
    if kind == "JPEG":
        return b"\xff\xd9" in content[-64:]
    return len(content) >= int.from_bytes(content[4:8], "little") + 8
