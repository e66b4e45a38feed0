"""Pictures as small data inside the page: decoded, shrunk and encoded again, so that no foreign byte survives."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MOST_PIXELS = 80_000_000  # decoded; a page needs no more, and a decompression bomb claims far more
SMALL = 128  # up to this side a picture is kept exactly (PNG); photographs beyond it become JPEG
FLAT = 256  # up to so many colours it is a drawing, which PNG keeps exactly


@dataclass(frozen=True)
class Encoded:
    """A picture ready for an `img` tag.

    Args:
        uri: `data:` address that holds the whole picture.
        width, height: pixels stored.
        pixelated: too small for its place, so it is shown with hard pixels instead of a blur.
    """

    uri: str
    width: int
    height: int
    pixelated: bool


if TYPE_CHECKING:
    Source = Image | NDArray[np.uint8] | bytes | Path | Encoded


def encode(source: Source, max_side: int) -> Encoded:
    """Shrink to `max_side` (never enlarge) and encode: small ones and drawings as PNG, photographs as JPEG.

    What this function returned may be passed in again and stays as it is. Encoded input (bytes or a file) is turned as
    its EXIF orientation says; a Pillow image or an array is shown as it stands.

    Raises:
        ImageError: what cannot be decoded, is empty or is far too large.
    """
    import PIL.Image

    if isinstance(source, Encoded):
        return source
    if isinstance(source, bytes | Path):
        picture = flatten(decode(source))
    else:
        picture = flatten(source if isinstance(source, PIL.Image.Image) else from_array(source))
    shrunk = max(picture.size) > max_side
    if shrunk:  # by whole factors first: five times as fast on a large picture, and nobody sees it
        picture.thumbnail((max_side, max_side), PIL.Image.Resampling.LANCZOS, reducing_gap=1.5)
    tiny = max(picture.size) <= SMALL and not shrunk
    exact = picture.mode == "RGBA" or tiny or picture.getcolors(FLAT) is not None
    stream = io.BytesIO()
    if exact:
        picture.save(stream, "PNG", optimize=True)
    else:
        picture.save(stream, "JPEG", quality=86, optimize=True)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    uri = f"data:image/{'png' if exact else 'jpeg'};base64,{data}"
    return Encoded(uri, picture.width, picture.height, pixelated=tiny)


def from_array(pixels: NDArray[np.uint8]) -> Image:
    """An array of grey (height, width) or colour (height, width, 3 or 4) pixels as a picture."""
    import numpy as np
    import PIL.Image

    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or (pixels.ndim == 3 and pixels.shape[2] not in {3, 4}):
        raise ImageError(
            "an array of pixels has 8-bit values, one grey or three or four colour channels last",
            got=f"{pixels.dtype} {pixels.shape}",
            fix="scale it to 0-255, as uint8, colours in the last axis",
        )
    return PIL.Image.fromarray(pixels)


def decode(source: bytes | Path) -> Image:
    """The first frame of an encoded picture, turned upright."""
    import PIL.Image
    from PIL import ImageOps

    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise PIL.Image.DecompressionBombError(f"{picture.width} x {picture.height} pixels")
                return ImageOps.exif_transpose(picture)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageError(
            "this picture is too large for a page", got=f"{name}: {error}", fix="shrink it first"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            "this picture cannot be decoded", got=f"{name}: {error}", fix="open it and save it as PNG"
        ) from error


def flatten(picture: Image) -> Image:
    """RGB, or RGBA where something is transparent; 16-bit and float pictures are scaled to their own range."""
    if not picture.width or not picture.height:
        raise ImageError("this picture has no pixels", got=f"{picture.width} x {picture.height}", fix="leave it out")
    if picture.mode in {"RGB", "RGBA"}:
        return picture.copy()
    if picture.mode.startswith(("I", "F")):
        return stretch(picture).convert("RGB")
    transparent = picture.mode in {"LA", "PA", "La", "RGBa"} or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def stretch(picture: Image) -> Image:
    """A picture of one deep channel with its darkest value at 0 and its brightest at 255."""
    import numpy as np
    import PIL.Image

    deep = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    spread = deep.max() - deep.min()
    return PIL.Image.fromarray(np.uint8(np.round((deep - deep.min()) * (255 / spread if spread else 0))))
