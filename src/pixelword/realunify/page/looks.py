"""Every picture of a page, decoded once: its thumbnail, and a few pixels to compare edits by.

The thumbnails share a budget, so that the page stays small whatever a model draws: their side is chosen from a sample,
and what does not fit even then is left out, the right answers first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelword.errors import ImageError
from pixelword.realunify.page.thumbnails import LARGEST, Pixels, Small, Wanted, small
from pixelword.report.images import Encoded

Floats = NDArray[np.float64]

BUDGET = 20_000_000
"""Letters of all thumbnails together; a page of 1,000 items with its texts then stays under 30 MB."""

SIDES = (LARGEST, 256, 208, 176, 144)
SAMPLE = 48


@dataclass(frozen=True)
class Look:
    """A picture as the page needs it; `thumbnail` is None for one that is only compared or did not fit."""

    thumbnail: Encoded | None
    pixels: Pixels | None

    @property
    def floats(self) -> Floats | None:
        """[side, side, 3] from 0 to 1."""
        return None if self.pixels is None else self.pixels.astype(np.float64) / 255


def look_at_all(wanted: Mapping[str, Wanted]) -> dict[str, Look]:
    """Key -> look, of those that can be decoded. Threads decode side by side: Pillow lets go of the interpreter.

    Args:
        wanted: in the order of importance; the last ones are left out where the budget ends.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        made = {key: found for key, found in zip(wanted, pool.map(small, wanted.values()), strict=True) if found}
        pictures = list(made.values())
        side = chosen_side(pictures[:: max(1, len(pictures) // SAMPLE)], len(pictures))
        thumbnails = pool.map(lambda each: thumbnail(each, side), pictures)
        looks = {
            key: Look(shown, each.pixels) for (key, each), shown in zip(made.items(), thumbnails, strict=True) if shown
        }
    return within_budget(looks)


def thumbnail(each: Small, side: int) -> Encoded | None:
    """The picture at the page's size; None for a kept one that was damaged after its header."""
    try:
        return each.at(side)
    except ImageError:
        return None


def chosen_side(sample: Sequence[Small], count: int) -> int:
    """The largest side with which all pictures should fit into the budget."""
    for side in SIDES:
        shown = [found for each in sample if (found := thumbnail(each, side)) is not None]
        size = sum(len(each.uri) for each in shown) / max(1, len(shown))
        if size * count <= 0.9 * BUDGET:
            return side
    return SIDES[-1]


def within_budget(looks: dict[str, Look]) -> dict[str, Look]:
    """The same, without the thumbnails beyond the budget."""
    kept, spent = {}, 0
    for key, seen in looks.items():
        spent += len(seen.thumbnail.uri) if seen.thumbnail is not None else 0
        kept[key] = seen if spent <= BUDGET else Look(None, seen.pixels)
    return kept
