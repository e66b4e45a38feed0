"""Reading of pictures from their pixels alone: which things are where, and whether they are what was asked for.

Independent of the drawing code: the background is what the border shows, things are connected pieces that differ from
it, a colour is the nearest of the vocabulary, and a shape follows from how much of its box it fills.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES, several

Floats = NDArray[np.float64]

STANDS_OUT = 100.0
"""Distance in RGB from the background from which on a pixel belongs to a thing."""

SPECK = 0.0012
"""Smallest piece that counts, in parts of the picture; smaller ones are specks of noise."""

NAMES = tuple(COLORS)
INKS = np.array([COLORS[name] for name in NAMES], dtype=np.float64)


@dataclass(frozen=True)
class Seen:
    """A thing in a picture, its centre in parts of the width and height."""

    thing: Thing
    x: float
    y: float


@dataclass(frozen=True)
class Check:
    """Whether a picture shows its target, and if not, what is wrong in words."""

    right: bool
    wrong: tuple[str, ...]


def see(picture: Image.Image) -> list[Seen]:
    """Every thing in a picture of any size. A piece that is none of the four shapes gets the shape `other`."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = np.median(border, axis=0)
    distance = np.sqrt(((pixels - paper) ** 2).sum(axis=2))
    labels, _ = ndimage.label(distance > STANDS_OUT)
    height, width = distance.shape
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        if inside.sum() < SPECK * height * width:
            continue
        # One pixel more on each side holds the faint rim of the edge; other pieces are masked out.
        rows, columns = (
            slice(max(0, s.start - 1), min(end, s.stop + 1)) for s, end in zip(box, (height, width), strict=True)
        )
        alone = (labels[rows, columns] == number) | (labels[rows, columns] == 0)
        color, cover = read_ink(pixels[rows, columns], labels[rows, columns] == number, paper)
        shape, (y, x) = read_shape(cover * alone)
        found.append(Seen(Thing(color, shape), (columns.start + x) / width, (rows.start + y) / height))
    return found


def read_ink(pixels: Floats, inside: NDArray[np.bool_], paper: Floats) -> tuple[str, Floats]:
    """The colour of a piece by its inner pixels, and the share of each pixel that is covered, [height, width]."""
    inner = ndimage.binary_erosion(inside)
    ink = np.median(pixels[inner if inner.sum() >= 4 else inside], axis=0)
    color = NAMES[int(((INKS - ink) ** 2).sum(axis=1).argmin())]
    rise = ink - paper
    return color, np.clip((pixels - paper) @ rise / (rise @ rise), 0.0, 1.0)


def read_shape(cover: Floats) -> tuple[str, tuple[float, float]]:
    """The shape of a piece by how it fills its box, and the middle of that box in pixels (row, column)."""
    top, bottom = edges(cover.max(axis=1))
    left, right = edges(cover.max(axis=0))
    tall, wide = bottom - top, right - left
    middle = (top + bottom) / 2, (left + right) / 2
    if not 0.6 < tall / wide < 1.67:
        return "other", middle
    fill = float(cover.sum()) / (tall * wide)
    if fill > 0.9:
        return "square", middle
    if fill > 0.7:
        return "circle", middle
    widths = cover.sum(axis=1)
    upper, lower = (widths[int(top + share * tall)] for share in (0.15, 0.85))
    if lower > 2 * upper:
        return "triangle", middle
    return ("cross" if max(upper, lower) < 0.62 * wide and fill > 0.42 else "other"), middle


def edges(profile: Floats) -> tuple[float, float]:
    """Where a line of cover begins and ends, to a part of a pixel."""
    covered = np.flatnonzero(profile > 0.15)
    first, last = int(covered[0]), int(covered[-1])
    return first + 1.0 - float(profile[first]), last + float(profile[last])


def check(picture: Image.Image, target: Target) -> Check:
    """Whether a picture shows exactly its target."""
    return check_seen(see(picture), target)


def check_seen(seen: list[Seen], target: Target) -> Check:
    """The same, from what was seen."""
    wrong = []
    counts = Counter(thing.thing for thing in seen)
    for thing in sorted(set(counts) | set(target.counts)):
        if counts[thing] != target.counts[thing]:
            name = several(counts[thing], *thing) if thing.shape in SHAPES else f"{counts[thing]} {thing.color} blobs"
            wrong.append(f"{name}, not {target.counts[thing]}")
    if target.order and not wrong:
        along = sorted((s.x if target.order == "left to right" else s.y, s.thing) for s in seen)
        if tuple(thing for _, thing in along) != target.things:
            wrong.append(f"another order from {target.order}")
        elif any(after - before < 0.03 for (before, _), (after, _) in pairwise(along)):
            wrong.append(f"no clear order from {target.order}")
    if target.place:
        wrong += [f"a {s.thing} outside the {target.place} part" for s in seen if not is_in(s, target.place)]
    return Check(not wrong, tuple(wrong))


def is_in(seen: Seen, place: str) -> bool:
    """Whether a centre lies in an outer third of the picture."""
    along = seen.y if place in {"top", "bottom"} else seen.x
    return along < 1 / 3 if place in {"top", "left"} else along > 2 / 3
