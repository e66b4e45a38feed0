"""Scenes of the drawn world: what is on a picture, before any pixel is drawn.

A scene holds one to four objects at free positions. X grows to the right, Y downwards, both in pixels of a
64 x 64 picture; an object's place is its centre. Objects keep apart, lie wholly inside the picture, and no centre
comes close to a line between two regions: geometry that could be argued about is drawn again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TypeVar

Item = TypeVar("Item")

SIDE = 64
"""Width and height of a picture in pixels."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (225, 45, 45),
    "green": (45, 190, 65),
    "blue": (60, 90, 235),
    "yellow": (240, 220, 50),
    "purple": (190, 70, 215),
    "cyan": (60, 220, 225),
}
"""Middle of each colour, in 8-bit RGB."""

SHAPES = ("circle", "square", "triangle", "cross")

NEW_PAIRS = frozenset({("red", "cross"), ("green", "square"), ("blue", "triangle"), ("yellow", "circle")})
"""Colour and shape pairs that no training picture and no training text ever shows. Each shape loses one colour."""

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")
LINES = (24.0, 40.0)
"""Borders between the three rows, and between the three columns, in pixels."""

LINE_MARGIN = 1.0
"""No centre lies nearer than this to a border, in pixels."""

RADIUS = (6.5, 9.0)
"""Smallest and largest size of an object, in pixels from its centre."""

REACH = {"circle": 1.0, "square": 1.25, "triangle": 1.25, "cross": 1.07}
"""Distance from the centre of a shape to its farthest point, in radii."""

GAP = 2.5
"""The circles around two objects (of their reach) are at least this apart, in pixels: nothing overlaps."""

TINT = 14
"""An object's colour differs from the middle of its colour by up to this in each channel."""

DARK = (5, 55)
"""Range of each channel of the background."""

PALETTES = ((1, 0.18), (2, 0.27), (None, 0.55))
"""How many colours (and, drawn apart, how many shapes) a scene picks from, and how often; None means all."""


@dataclass(frozen=True)
class Object:
    """One object: its pair, the centre and size in pixels, and the exact 8-bit RGB it is drawn with."""

    color: str
    shape: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]

    @property
    def pair(self) -> tuple[str, str]:
        return self.color, self.shape

    @property
    def region(self) -> str:
        return region(self.x, self.y)


@dataclass(frozen=True)
class Scene:
    """Objects on a background of one 8-bit RGB colour."""

    objects: tuple[Object, ...]
    background: tuple[int, int, int]


def region(x: float, y: float) -> str:
    """Word for the ninth of the picture that holds a point: `top-left`, `top`, ..., `center`, ..., `bottom-right`."""
    row = ROWS[(y > LINES[0]) + (y > LINES[1])]
    column = COLUMNS[(x > LINES[0]) + (x > LINES[1])]
    if row == column:
        return "center"
    return "-".join(word for word in (row, column) if word != "middle")


REGIONS = tuple(region(x, y) for y in (12, 32, 52) for x in (12, 32, 52))
"""All nine words in reading order."""


def draw_scene(random: Random, *, new: bool = False) -> Scene:
    """Draw one scene.

    Args:
        random: the only source of chance; the same state gives the same scene.
        new: the first object is of a pair in `NEW_PAIRS` (the others may be too); otherwise none is.
    """
    number = 1 + pick(random, 4)
    colors = palette(random, tuple(COLORS))
    shapes = palette(random, SHAPES)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < number:
        pair = (colors[pick(random, len(colors))], shapes[pick(random, len(shapes))])
        if new and not pairs:
            pairs.append(sorted(NEW_PAIRS)[pick(random, len(NEW_PAIRS))])
        elif new or pair not in NEW_PAIRS:
            pairs.append(pair)
        elif len(colors) * len(shapes) == 1:
            colors, shapes = palette(random, tuple(COLORS)), palette(random, SHAPES)
    places = draw_places(random, [shape for _, shape in pairs])
    low, high = DARK
    red, green, blue = (low + pick(random, high - low + 1) for _ in range(3))
    objects = tuple(
        Object(color, shape, *place, tint(random, COLORS[color]))
        for (color, shape), place in zip(pairs, places, strict=True)
    )
    return Scene(objects, (red, green, blue))


def draw_places(random: Random, shapes: list[str]) -> list[tuple[float, float, float]]:
    """Centres and radii (x, y, radius) of objects that keep apart and stay clear of the lines between regions."""
    places: list[tuple[float, float, float]] = []
    tries = 0
    while len(places) < len(shapes):
        reach = REACH[shapes[len(places)]]
        radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * random.random()
        margin = 1.12 * radius + 0.5
        x, y = (margin + (SIDE - 2 * margin) * random.random() for _ in range(2))
        apart = (
            math.dist((x, y), (p[0], p[1])) >= reach * radius + REACH[shape] * p[2] + GAP
            for p, shape in zip(places, shapes, strict=False)
        )
        if clear_of_lines(x, y) and all(apart):
            places.append((x, y, radius))
        tries += 1
        if tries % 50 == 0:  # a corner that no further object fits into
            places.clear()
    return places


def clear_of_lines(x: float, y: float) -> bool:
    """Whether both coordinates keep their distance from every border between regions."""
    return all(abs(value - line) >= LINE_MARGIN for value in (x, y) for line in LINES)


def palette(random: Random, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names a scene picks from: one, two or all of them."""
    chance = random.random()
    for size, share in PALETTES:
        chance -= share
        if chance < 0:
            return names if size is None else shuffled(random, names)[:size]
    return names


def tint(random: Random, middle: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, value - TINT + pick(random, 2 * TINT + 1))) for value in middle)
    return red, green, blue


def pick(random: Random, number: int) -> int:
    """Uniform integer below `number`. Only `Random.random` is used: Python promises its stream across versions."""
    return int(random.random() * number)


def shuffled(random: Random, items: tuple[Item, ...] | list[Item]) -> tuple[Item, ...]:
    """The items in random order (Fisher-Yates), by the same promise as `pick`."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = pick(random, last + 1)
        order[last], order[other] = order[other], order[last]
    return tuple(order)
