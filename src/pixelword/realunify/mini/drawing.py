"""Drawing of targets: things on free places, anti-aliased, apart from each other. The checker knows nothing of this."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, PAPER

ENLARGE = 4
"""Pictures are drawn this much larger and reduced by area, which smooths the edges."""


@dataclass(frozen=True)
class Placed:
    """A thing at a centre with a radius, in parts of the picture's side."""

    thing: Thing
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Layout:
    """Placed things and the places that are still free, as (x, y, radius)."""

    placed: tuple[Placed, ...]
    free: tuple[tuple[float, float, float], ...]

    def with_thing(self, number: int, thing: Thing) -> Layout:
        """The same layout with one thing exchanged."""
        changed = list(self.placed)
        changed[number] = replace(changed[number], thing=thing)
        return replace(self, placed=tuple(changed))


def lay_out(target: Target, random: Random) -> Layout:
    """A random layout that meets the target and has at least one free place."""
    number = len(target.things)
    if target.order:
        places = line_of_places(number, target.order == "left to right", random)
    elif target.place:
        places = third_of_places(target.place, random)
    else:
        places = grid_of_places(3 if number < 9 else 4, random)
    if number >= len(places):
        raise AssertionError(f"{number} things have no room in {len(places)} places")
    chosen = random.sample(range(len(places)), number)
    if target.order:
        chosen.sort()
    placed = tuple(Placed(thing, *places[place]) for thing, place in zip(target.things, chosen, strict=True))
    return Layout(placed, tuple(place for number, place in enumerate(places) if number not in chosen))


def grid_of_places(cells: int, random: Random) -> list[tuple[float, float, float]]:
    """The middles of a square grid, shaken, with radii that keep things apart."""
    return [
        jittered((column + 0.5) / cells, (row + 0.5) / cells, 1 / cells, random)
        for row in range(cells)
        for column in range(cells)
    ]


def line_of_places(number: int, across: bool, random: Random) -> list[tuple[float, float, float]]:
    """Places in one line, one more than needed, shaken mostly along the other axis."""
    cells = max(4, number + 1)
    found = []
    for cell in range(cells):
        along, _, radius = jittered((cell + 0.5) / cells, 0.5, 1 / cells, random)
        aside = random.uniform(0.35, 0.65)
        found.append((along, aside, radius) if across else (aside, along, radius))
    return found


def third_of_places(place: str, random: Random) -> list[tuple[float, float, float]]:
    """Four places in one outer part of the picture."""
    found = []
    for cell in range(4):
        along, aside, radius = jittered((cell + 0.5) / 4, random.uniform(0.15, 0.17), 1 / 4, random)
        aside = aside if place in {"top", "left"} else 1 - aside
        found.append((along, aside, radius) if place in {"top", "bottom"} else (aside, along, radius))
    return found


def jittered(x: float, y: float, cell: float, random: Random) -> tuple[float, float, float]:
    """A centre near (x, y) and a radius such that neighbours a cell away stay apart."""
    radius = cell * random.uniform(0.32, 0.38)
    slack = cell * 0.43 - radius
    return x + random.uniform(-slack, slack), y + random.uniform(-slack, slack), radius


def draw(layout: Layout, side: int) -> Image.Image:
    """The picture of a layout, RGB, `side` pixels wide and high."""
    large = side * ENLARGE
    picture = Image.new("RGB", (large, large), PAPER)
    pen = ImageDraw.Draw(picture)
    for placed in layout.placed:
        draw_thing(pen, placed.thing, placed.x * large, placed.y * large, placed.radius * large)
    return picture.reduce(ENLARGE)


def draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, x: float, y: float, radius: float) -> None:
    """One shape around (x, y), inside the circle's box of this radius."""
    ink = COLORS[thing.color]
    if thing.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    elif thing.shape == "square":
        pen.rectangle((x - 0.9 * radius, y - 0.9 * radius, x + 0.9 * radius, y + 0.9 * radius), fill=ink)
    elif thing.shape == "triangle":
        pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=ink)
    else:
        arm = radius / 3
        pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=ink)
        pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=ink)
