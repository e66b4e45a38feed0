"""Cheap signs of what an edit did to a picture: nothing, too much, or what it should have done.

Pictures are compared small, [side, side, 3] with values from 0 to 1. The true edited picture is known for the mini and
wherever the run with true intermediates had one; without it only the first two signs can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

BLOCK = 4
UNCHANGED = 0.05
"""Mean difference of the block of 4 x 4 pixels that changed most, up to which an edit changed nothing. A thin frame
around a small thing makes 0.1 and more, storing a picture as JPEG about 0.02."""

DESTROYED = 0.3
"""Correlation with the input below which the evidence is gone."""

NEAR = 5
"""Pixels of the small picture within which a mark counts as being at its place."""

NOTICED = 0.12
"""Difference of a pixel in its largest channel from which on it counts as another colour."""


@dataclass(frozen=True)
class EditSigns:
    """What is seen of one edit.

    Args:
        change: mean difference from the input, 0 to 1, of the block that changed most.
        likeness: correlation with the input; for shuffled patches, of the sorted values, which moving does not change.
        hit: share of the pixels that had to change which are close to the true picture and nearer to it than to the
            input.
        kept: share of the pixels that had to stay which did.
        covered: share of the pixels that had to change with a change near them, whatever its colour.
        spilled: share of the changed pixels with nothing near them that had to change.
        patches: share of the patches that are at their true place (shuffled patches only).
    """

    change: float
    likeness: float
    hit: float | None = None
    kept: float | None = None
    covered: float | None = None
    spilled: float | None = None
    patches: float | None = None

    @property
    def unchanged(self) -> bool:
        return self.change < UNCHANGED

    @property
    def destroyed(self) -> bool:
        return self.likeness < DESTROYED

    @property
    def off_target(self) -> bool:
        """It changed the picture and left it legible, but not where or how it had to."""
        return self.hit is not None and self.hit < 0.5 and not self.unchanged and not self.destroyed


def edit_signs(source: Floats, edited: Floats, gold: Floats | None = None, *, patches: int = 0) -> EditSigns:
    """Compare an edited picture with its input and, where there is one, with the true picture.

    Args:
        patches: patches along a side, where the task is to put them in order; 0 for other tasks.
    """
    likeness = correlation(np.sort(source.ravel()), np.sort(edited.ravel())) if patches else correlation(source, edited)
    change = largest_block(np.abs(edited - source).mean(axis=2))
    if gold is None:
        return EditSigns(change, likeness)
    had_to_change = np.abs(gold - source).max(axis=2) > NOTICED
    left, moved = np.abs(edited - gold), np.abs(edited - source)
    nearer = (left.sum(axis=2) < moved.sum(axis=2)) & (left.max(axis=2) < 2 * NOTICED)
    stayed = np.abs(edited - source).max(axis=2) <= NOTICED
    return EditSigns(
        change,
        likeness,
        share(nearer[had_to_change]),
        share(stayed[~had_to_change]),
        share(~far_from(~stayed)[had_to_change]),
        share(far_from(had_to_change)[~stayed]),
        patches_in_place(edited, gold, patches) if patches else None,
    )


def edit_is_right(category: str, signs: EditSigns) -> bool | None:
    """Whether an edit did what its category asks for; None where the true picture is not known.

    Restored patches and recoloured segments have one right picture. A region or a path may be marked in any style, so
    there only the place counts.
    """
    if signs.hit is None or signs.kept is None or signs.covered is None:
        return None
    if category == "mental_reconstruction":
        return signs.patches is not None and signs.patches > 0.99
    if category == "mental_tracking":
        return not signs.destroyed and signs.hit > 0.8 and signs.kept > 0.9
    spilled = signs.spilled if signs.spilled is not None else 0.0
    return not signs.destroyed and signs.covered > 0.6 and spilled < 0.4


def far_from(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels with no marked one within `NEAR` of them."""
    if not marked.any():
        return np.ones_like(marked)
    return np.asarray(ndimage.distance_transform_edt(~marked) > NEAR)


def largest_block(difference: Floats) -> float:
    """The mean of the block with the largest one, of a [side, side] picture."""
    height, width = (size // BLOCK * BLOCK for size in difference.shape)
    blocks = difference[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(blocks.mean(axis=(1, 3)).max())


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's; 1 for two equal pictures of one colour, 0 where only one of them varies."""
    first, second = one.ravel() - one.mean(), other.ravel() - other.mean()
    spread = float(np.sqrt((first @ first) * (second @ second)))
    if spread < 1e-9:
        return float(np.allclose(one, other, atol=NOTICED))
    return float(first @ second) / spread


def share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if hits.size else None


def patches_in_place(edited: Floats, gold: Floats, patches: int) -> float:
    """Share of patches that are more like the true patch of their place than like the true patch of any other."""
    step = len(gold) // patches
    cut = [
        (slice(r * step, (r + 1) * step), slice(c * step, (c + 1) * step))
        for r in range(patches)
        for c in range(patches)
    ]
    true = np.stack([gold[box].ravel() for box in cut])
    right = 0
    for place, box in enumerate(cut):
        distances = np.abs(true - edited[box].ravel()).mean(axis=1)
        # Patches that look alike (empty ones) are as good as each other.
        right += bool(distances[place] <= distances.min() + 0.01)
    return right / len(cut)
