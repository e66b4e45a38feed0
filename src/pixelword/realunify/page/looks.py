"""Every picture of a page, decoded once: its thumbnail, and a few pixels to compare edits by.

The thumbnails share a budget, so that the page stays small whatever a model draws: their side is chosen from a sample,
and what does not fit even then is left out, the right answers first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelword.errors import ImageError
from pixelword.realunify.paths import open_picture
from pixelword.report.images import Encoded, encode

Floats = NDArray[np.float64]

BUDGET = 20_000_000
"""Letters of all thumbnails together; a page of 1,000 items with its texts then stays under 30 MB."""

SIDES = (320, 256, 208, 176, 144)
SAMPLE = 48
COMPARED = 96
"""Side in pixels at which edits are compared; 2, 3 and 4 patches along it come out even."""


@dataclass(frozen=True)
class Look:
    """A picture as the page needs it; `thumbnail` is None for one that is only compared or did not fit."""

    thumbnail: Encoded | None
    pixels: NDArray[np.uint8] | None

    @property
    def floats(self) -> Floats | None:
        """[side, side, 3] from 0 to 1."""
        return None if self.pixels is None else self.pixels.astype(np.float64) / 255


def look(path: Path, side: int, *, compared: bool) -> Look | None:
    """One picture; None when the file is gone or cannot be decoded, which the page says in its place."""
    try:
        picture = open_picture(path)
        pixels = None
        if compared:
            small = picture.resize((COMPARED, COMPARED), Image.Resampling.BOX, reducing_gap=2.0)
            pixels = np.asarray(small, dtype=np.uint8)
        return Look(encode(picture, side), pixels)
    except ImageError:
        return None


def look_at_all(paths: Mapping[str, Path], compared: Iterable[str] = ()) -> dict[str, Look]:
    """Key -> look, of those that can be decoded. Threads decode side by side.

    Args:
        paths: in the order of importance; the last ones are left out where the budget ends.
        compared: keys whose pixels are needed as well.
    """
    wanted, keys = set(compared), list(paths)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        side = chosen_side([paths[key] for key in keys[:: max(1, len(keys) // SAMPLE)]], len(keys), pool)
        looks = pool.map(lambda key: look(paths[key], side, compared=key in wanted), keys)
        found = {key: seen for key, seen in zip(keys, looks, strict=True) if seen is not None}
    return within_budget(found)


def chosen_side(sample: Sequence[Path], count: int, pool: ThreadPoolExecutor) -> int:
    """The largest side with which all pictures should fit into the budget."""
    pictures = [picture for picture in pool.map(small_picture, sample) if picture is not None]
    for side in SIDES:
        size = sum(len(encode(picture, side).uri) for picture in pictures) / max(1, len(pictures))
        if size * count <= 0.9 * BUDGET:
            return side
    return SIDES[-1]


def small_picture(path: Path) -> Image.Image | None:
    """A picture at the largest thumbnail's side, or None."""
    try:
        picture = open_picture(path)
    except ImageError:
        return None
    picture.thumbnail((SIDES[0], SIDES[0]), Image.Resampling.BOX)
    return picture


def within_budget(looks: dict[str, Look]) -> dict[str, Look]:
    """The same, without the thumbnails beyond the budget."""
    kept, spent = {}, 0
    for key, seen in looks.items():
        spent += len(seen.thumbnail.uri) if seen.thumbnail is not None else 0
        kept[key] = seen if spent <= BUDGET else Look(None, seen.pixels)
    return kept
