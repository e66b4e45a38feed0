"""Any-resolution preprocessing as arithmetic: sizes, patch grids, patch matrices and token counts. No torch.

Legend: P patches · C channels · a grid is (1, rows, columns) of patches, the Qwen-VL convention.

Source: NEO, section 3.1 and table 5; the rules are those of the released code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixelword.errors import ConfigError, ImageError, ShapeError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_ASPECT_RATIO = 200


def smart_resize(
    height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int, name: str = "image"
) -> tuple[int, int]:
    """The size a picture is resized to: multiples of `factor`, area within bounds, shape nearly kept.

    Both sides are rounded to the nearest multiple (halves to even). The bounds are checked on the rounded area; a
    picture outside them is scaled by one factor for both sides, down to the multiple below or up to the one above.
    A side never falls under one multiple, so a long strip may stay above `max_pixels`.

    Args:
        height, width: pixels.
        factor: side of one token in pixels (patch side times merge).
        min_pixels, max_pixels: bounds of the area.
        name: how errors call the picture.

    Returns:
        (height, width) in pixels.

    Raises:
        ImageError: no pixels, or one side more than 200 times the other.
    """
    if min(height, width) < 1:
        raise ImageError(f"{name} has no pixels", got=f"{width} x {height}", fix="leave it out")
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise ImageError(
            f"{name}: one side may be at most {MAX_ASPECT_RATIO} times the other",
            got=f"{width} x {height}",
            fix="cut it into pieces",
        )
    # Python's round() is half-to-even, which decides real cases: 80 / 32 = 2.5 becomes 2.
    rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
    if rows * columns * factor**2 > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        rows = max(1, math.floor(height / shrink / factor))
        columns = max(1, math.floor(width / shrink / factor))
    elif rows * columns * factor**2 < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        rows, columns = math.ceil(height * grow / factor), math.ceil(width * grow / factor)
    return rows * factor, columns * factor


def shared_max_pixels(images: int, *, min_pixels: int, max_pixels: int) -> int:
    """The bound of each picture when a training sample has several.

    Training gives a sample with several pictures twice the area of one, in equal shares:
    max(2 * max_pixels // images, min_pixels). Inference gives every picture the whole bound.
    """
    return max(2 * max_pixels // images, min_pixels) if images > 1 else max_pixels


def image_tokens(grid_thw: ArrayLike, merge_size: int) -> list[int]:
    """Tokens of each picture: the one count that placeholders, patches and checks go by.

    Args:
        grid_thw: (images, 3) of (frames, rows, columns) of patches; an array, a tensor or nested lists.
        merge_size: merge x merge patches become one token.

    Raises:
        ShapeError: not (images, 3), or a side that is no positive multiple of `merge_size`.
    """
    rows: Any = grid_thw.tolist() if hasattr(grid_thw, "tolist") else grid_thw
    counts = []
    for grid in rows:
        if not isinstance(grid, (list, tuple)) or len(grid) != 3:
            raise ShapeError(
                "image_grid_thw must be (images, 3): 1, rows and columns of patches",
                got=grid,
                fix="pass it as the image processor returns it",
            )
        frames, height, width = (int(side) for side in grid)
        if min(frames, height, width) < 1 or height % merge_size or width % merge_size:
            raise ShapeError(
                f"rows and columns of a grid must be positive multiples of merge_size = {merge_size}",
                got=grid,
                fix="use one processor for both",
            )
        counts.append(frames * height * width // merge_size**2)
    return counts


def patch_matrix(
    pixels: NDArray[np.uint8], patch_size: int, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """Cut a picture into patches and normalise it: (byte / 255 - mean) / std, in float32 and in this order.

    Args:
        pixels: (height, width, C), sides multiples of `patch_size`.
        patch_size: side of a patch in pixels.
        mean, std: (C,) for values in 0..1.

    Returns:
        (P, C * patch²): patches row by row; within a patch the order is channel, row, column.
    """
    height, width, channels = pixels.shape
    rows, columns, area = height // patch_size, width // patch_size, patch_size**2
    # Bytes are moved before they become floats four times their size.
    cut = pixels.reshape(rows, patch_size, columns, patch_size, channels).transpose(0, 2, 4, 1, 3)
    matrix = cut.reshape(rows * columns, channels * area).astype(np.float32)
    matrix /= np.float32(255)
    matrix -= np.repeat(np.asarray(mean, np.float32), area)
    matrix /= np.repeat(np.asarray(std, np.float32), area)
    return matrix


def check_bounds(min_pixels: int, max_pixels: int) -> None:
    """Bounds of the area that do not contradict each other, or `ConfigError`."""
    if not 0 < min_pixels <= max_pixels:
        raise ConfigError(
            "min_pixels and max_pixels need 0 < min_pixels <= max_pixels",
            got=(min_pixels, max_pixels),
            fix="raise max_pixels, or lower min_pixels",
        )
