"""Exact checks from the outside: an answer from the words of a question, and the objects from the pixels alone.

Nothing here shares code with the drawing or with the making of questions; the two sides witness each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelword.world.scene import COLORS, REGIONS, SHAPES, Object, Scene

SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}

MASS = 12
"""Fewest pixels that count as an object."""


def true_answer(scene: Scene, question: str) -> str | None:
    """The answer that follows from the scene, or None when the question has no single answer or is no question."""
    match question.split(" "):
        case ["color", "of", shape, "?"]:
            return only([thing.color for thing in scene.objects if thing.shape == shape])
        case ["shape", "of", color, "?"]:
            return only([thing.shape for thing in scene.objects if thing.color == color])
        case ["color", "at", place, "?"]:
            return only([thing.color for thing in scene.objects if thing.region == place])
        case ["shape", "at", place, "?"]:
            return only([thing.shape for thing in scene.objects if thing.region == place])
        case ["where", "is", color, shape, "?"]:
            return only([thing.region for thing in scene.objects if (thing.color, thing.shape) == (color, shape)])
        case ["is", "there", color, shape, "?"] if color in COLORS and shape in SHAPES:
            return "yes" if (color, shape) in [(thing.color, thing.shape) for thing in scene.objects] else "no"
        case ["count", what, "?"] if what == "objects" or what in COLORS or what in SHAPES:
            return str(sum(what in ("objects", thing.color, thing.shape) for thing in scene.objects))
        case ["count", one, "and", other, "?"] if of_one_sort(one, other):
            return str(sum({one, other} & {thing.color, thing.shape} != set() for thing in scene.objects))
        case ["count", one, "take", "away", other, "?"] if of_one_sort(one, other):
            first, second = (sum(name in thing.pair for thing in scene.objects) for name in (one, other))
            return str(first - second) if first >= second else None
        case [one, "left", "or", "right", "of", other, "?"]:
            return side(scene, one, other, ("left", "right"))
        case [one, "above", "or", "below", other, "?"]:
            return side(scene, one, other, ("above", "below"))
    return None


def of_one_sort(one: str, other: str) -> bool:
    """Whether both are colours, or both shapes, and not the same."""
    return one != other and any(one in names and other in names for names in (COLORS, SHAPES))


def only(found: list[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def side(scene: Scene, one: str, other: str, sides: tuple[str, str]) -> str | None:
    """The side of `other` on which `one` lies; both are colours that one object has."""
    first, second = ([thing for thing in scene.objects if thing.color == name] for name in (one, other))
    if len(first) != 1 or len(second) != 1 or one == other:
        return None
    for name in sides:
        x, y = SIDES[name]
        if x * (first[0].x - second[0].x) + y * (first[0].y - second[0].y) > 0:
            return name
    return None


@dataclass(frozen=True)
class Seen:
    """An object as the pixels show it: its pair, region, and the centre of its mass in pixels."""

    color: str
    shape: str
    region: str
    x: float
    y: float


def look(picture: NDArray[np.uint8]) -> list[Seen]:
    """Every object of a picture [64, 64, 3], read from its pixels: what differs from the background, piece by piece.

    Colours are told by the nearest named colour, shapes by how they fill the box around them, regions by the middle
    of that box (for a triangle, by the height at which its centre lies).
    """
    values = picture.astype(np.float64)
    background = np.median(values.reshape(-1, 3), axis=0)
    strength = np.abs(values - background).sum(axis=2)
    return [
        read_piece(values - background, piece, background) for piece in pieces(strength > 40) if piece.sum() >= MASS
    ]


def pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The connected pieces of a mask (pixels that share a side), each as a mask of its own."""
    left, found = mask.copy(), []
    while left.any():
        row, column = np.argwhere(left)[0]
        piece = np.zeros_like(mask)
        front = [(int(row), int(column))]
        while front:
            y, x = front.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                left[y, x], piece[y, x] = False, True
                front += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        found.append(piece)
    return found


def read_piece(rise: NDArray[np.float64], piece: NDArray[np.bool_], background: NDArray[np.float64]) -> Seen:
    """Name one piece; `rise` [64, 64, 3] is the picture less its background."""
    strength = np.abs(rise).sum(axis=2) * piece
    paint = np.median(rise[strength > 0.9 * strength.max()], axis=0)
    color = min(COLORS, key=lambda name: float(np.abs(paint + background - np.array(COLORS[name])).sum()))
    cover = np.clip(rise @ paint / (paint @ paint), 0.0, 1.0) * piece
    left, right = edges(cover.max(axis=0))
    top, bottom = edges(cover.max(axis=1))
    box = cover[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
    shape = read_shape(box, float(cover.sum()) / ((right - left) * (bottom - top)))
    x, y = (left + right) / 2, (top + bottom) / 2
    if shape == "triangle":  # its centre lies at 1.118 of 1.918 parts of its height
        y = top + (bottom - top) * 1.118 / 1.918
    place = REGIONS[3 * ((y > 24) + (y > 40)) + (x > 24) + (x > 40)]
    return Seen(color, shape, place, x, y)


def edges(profile: NDArray[np.float64]) -> tuple[float, float]:
    """Where a line of cover begins and ends, in pixels, to a part of a pixel."""
    covered = np.flatnonzero(profile > 0)
    first, last = int(covered[0]), int(covered[-1])
    return first + 1.0 - float(profile[first]), last + float(profile[last])


def read_shape(cover: NDArray[np.float64], fill: float) -> str:
    """Name a shape by how much of its box it fills; only a triangle is much wider below than above.

    Args:
        cover: share of each pixel that is covered, [height, width] of the box.
        fill: share of the box: a square fills all of it, a circle 0.79, a cross 0.59.
    """
    widths = cover.sum(axis=1)
    if widths[int(0.8 * len(widths))] > 1.6 * widths[int(0.2 * len(widths))]:
        return "triangle"
    if fill > 0.9:
        return "square"
    return "circle" if fill > 0.69 else "cross"


def matches(thing: Object, seen: Seen, tolerance: float = 1.0) -> bool:
    """Whether an object was seen for what it is, its centre within `tolerance` pixels."""
    near = abs(thing.x - seen.x) <= tolerance and abs(thing.y - seen.y) <= tolerance
    return near and (thing.color, thing.shape, thing.region) == (seen.color, seen.shape, seen.region)
