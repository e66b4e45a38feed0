"""Cutting pictures into grids, and telling tiles apart.

R rows, C columns, K = R * C tiles; S pixels on a side of a tile's thumbnail, at least.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from pixelword.jigsaw.verdicts import Finding

GREY = np.full(3, 1 / 3, dtype=np.float32)

THUMBNAIL = 16
"""S: enough to see that two skies are the same sky, and blind to the noise of a camera."""


def edges(size: int, parts: int) -> list[int]:
    """Borders of `parts` equal parts of `size` pixels. The first ones take the pixels left over (the released code).

    >>> edges(640, 3)
    [0, 214, 427, 640]
    """
    least, over = divmod(size, parts)
    return [part * least + min(part, over) for part in range(parts + 1)]


def cut(picture: Image, rows: int, columns: int) -> list[Image]:
    """K tiles in raster order; together they are the picture, pixel for pixel."""
    across, down = edges(picture.width, columns), edges(picture.height, rows)
    return [picture.crop((across[c], down[r], across[c + 1], down[r + 1])) for r in range(rows) for c in range(columns)]


def thumbnails(tiles: Sequence[Image]) -> NDArray[np.float32]:
    """Mean colours in S to 2 S places across and down of each tile: float32 [K, down, across, 3], 0 to 255.

    Each tile is shrunk by itself. Shrinking the whole picture would be as fast, but the places would straddle the cuts,
    and two tiles that are the same to the pixel would seem to differ. Where tiles differ by a pixel, the last is left.
    """
    width, height = min(tile.width for tile in tiles), min(tile.height for tile in tiles)
    step = max(1, width // THUMBNAIL), max(1, height // THUMBNAIL)
    small = [tile.reduce(step, box=(0, 0, width, height)) for tile in tiles]
    shape = (len(tiles), small[0].height, small[0].width, 3)
    return np.frombuffer(b"".join(one.tobytes() for one in small), np.uint8).reshape(shape).astype(np.float32)


def closest_pair(looks: NDArray[np.float32]) -> tuple[float, int, int]:
    """The smallest mean absolute difference between two of K looks [K, ...], and which two. Needs K of 2 or more."""
    flat = looks.reshape(len(looks), -1)
    best = (float("inf"), 0, 1)
    for first in range(len(flat) - 1):
        gaps = np.abs(flat[first + 1 :] - flat[first]).mean(axis=1)
        nearest = int(gaps.argmin())
        if gaps[nearest] < best[0]:
            best = (float(gaps[nearest]), first, first + 1 + nearest)
    return best


def alike_tiles(tiles: Sequence[Image], min_difference: float) -> list[list[int]]:
    """Groups of two or more cells, from 0, that look the same: those closer than `min_difference`, and theirs."""
    looks = thumbnails(tiles).reshape(len(tiles), -1)
    group = list(range(len(looks)))
    for first in range(len(looks) - 1):
        gaps = np.abs(looks[first + 1 :] - looks[first]).mean(axis=1)
        for second in np.flatnonzero(gaps < min_difference) + first + 1:
            joined, left = sorted((group[first], group[int(second)]))
            group = [joined if one == left else one for one in group]
    found = [[cell for cell, name in enumerate(group) if name == one] for one in sorted(set(group))]
    return [cells for cells in found if len(cells) > 1]


def screen_tiles(tiles: Sequence[Image], *, min_difference: float, min_detail: float, max_blank: int) -> Finding | None:
    """Why the tiles cannot be put in order by looking, or None.

    Args:
        min_difference: grey levels by which any two tiles differ, as a mean over their thumbnails.
        min_detail: grey levels of standard deviation within a tile that is not blank.
        max_blank: blank tiles allowed; a single one is placed by elimination.
    """
    looks = thumbnails(tiles)
    detail = (looks @ GREY).reshape(len(looks), -1).std(axis=1)
    blank = [number + 1 for number in np.flatnonzero(detail < min_detail)]
    if len(blank) > max_blank:
        return "blank_tiles", f"cells {', '.join(map(str, blank))} of {len(tiles)}"
    if len(looks) > 1:
        gap, first, second = closest_pair(looks)
        if gap < min_difference:
            return "identical_tiles", f"cells {first + 1} and {second + 1} differ by {gap:.1f} grey levels"
    return None
