"""Synthetic pictures for the tests: integer recipes, so that every machine draws the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FIXTURES = Path(__file__).parent.parent / "fixtures" / "neo"


def drawn(kind: str, width: int, height: int) -> np.ndarray:
    """The recipes of the golden pictures; x runs over columns, y over rows."""
    x, y = np.meshgrid(np.arange(width, dtype=np.int32), np.arange(height, dtype=np.int32))
    red, green = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
    if kind == "gradient":
        channels = [red, green, (x + 2 * y) % 256]
    elif kind == "noise":
        channels = [((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) >> 3 & 255 for c in (1, 2, 3)]
    elif kind == "rgba":
        channels = [red, green, x * y % 256, np.where((x // 8 + y // 8) % 2 == 0, 0, 200)]
    elif kind == "gray":
        return ((3 * x + 5 * y) % 256).astype(np.uint8)
    else:
        return shapes(x, y, width, height)
    return np.stack(channels, axis=-1).astype(np.uint8)


def shapes(x: np.ndarray, y: np.ndarray, width: int, height: int) -> np.ndarray:
    page = np.full((height, width, 3), 200, np.uint8)
    page[4 * (x - width // 3) ** 2 + 4 * (y - height // 2) ** 2 < min(width, height) ** 2] = (220, 30, 60)
    page[height // 4 : height // 2 + 1, width // 2 : 3 * width // 4 + 1] = (10, 120, 240)
    page[(x + y) % 23 == 0] = (0, 0, 0)
    return page


def picture(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(drawn("noise", width, height))
    return image if mode == "RGB" else image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
