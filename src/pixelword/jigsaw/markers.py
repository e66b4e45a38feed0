"""Numbered discs on a picture, drawn without any font: digits are strokes, the same on every machine.

Everything is drawn four times too large and averaged, which smooths the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import ImageDraw
from PIL.Image import Image, Resampling, alpha_composite, new

RED = (255, 0, 0)
WHITE = (255, 255, 255, 255)
FINER = 4

# Strokes of each digit in a box 1 wide and 2 high, as lines of points, y downwards.
STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "0": (((0.3, 0), (0.7, 0), (1, 0.4), (1, 1.6), (0.7, 2), (0.3, 2), (0, 1.6), (0, 0.4), (0.3, 0)),),
    "1": (((0.1, 0.45), (0.55, 0), (0.55, 2)), ((0.15, 2), (0.95, 2))),
    "2": (((0, 0.4), (0.3, 0), (0.7, 0), (1, 0.35), (1, 0.7), (0, 2), (1, 2)),),
    "3": (
        ((0, 0.25), (0.3, 0), (0.7, 0), (1, 0.3), (1, 0.65), (0.7, 0.95), (0.4, 0.95)),
        ((0.7, 0.95), (1, 1.25), (1, 1.7), (0.7, 2), (0.3, 2), (0, 1.75)),
    ),
    "4": (((0.75, 2), (0.75, 0), (0, 1.35), (1, 1.35)),),
    "5": (((0.95, 0), (0.1, 0), (0.05, 0.85), (0.65, 0.8), (1, 1.1), (1, 1.65), (0.7, 2), (0.3, 2), (0, 1.75)),),
    "6": (
        (
            (0.9, 0.1),
            (0.55, 0),
            (0.2, 0.3),
            (0, 0.9),
            (0, 1.6),
            (0.3, 2),
            (0.7, 2),
            (1, 1.65),
            (1, 1.25),
            (0.7, 0.9),
            (0.3, 0.9),
            (0, 1.2),
        ),
    ),
    "7": (((0, 0), (1, 0), (0.4, 2)),),
    "8": (
        (
            (0.3, 0.95),
            (0.05, 0.65),
            (0.05, 0.3),
            (0.3, 0),
            (0.7, 0),
            (0.95, 0.3),
            (0.95, 0.65),
            (0.7, 0.95),
            (0.3, 0.95),
            (0, 1.3),
            (0, 1.65),
            (0.3, 2),
            (0.7, 2),
            (1, 1.65),
            (1, 1.3),
            (0.7, 0.95),
        ),
    ),
    "9": (
        (
            (0.1, 1.9),
            (0.45, 2),
            (0.8, 1.7),
            (1, 1.1),
            (1, 0.4),
            (0.7, 0),
            (0.3, 0),
            (0, 0.35),
            (0, 0.75),
            (0.3, 1.1),
            (0.7, 1.1),
            (1, 0.8),
        ),
    ),
}


def mark(
    picture: Image,
    points: Sequence[tuple[int, int]],
    labels: Sequence[int],
    *,
    radius: int,
    alpha: int,
    headings: Sequence[tuple[float, float]] | None = None,
) -> Image:
    """A copy with a numbered red disc at each point.

    Args:
        points: (row, column) of each centre.
        radius: pixels of the disc.
        alpha: of its filling, 0 to 255; its outline is opaque.
        headings: directions (right, down) of a line from each disc, of length 1.
    """
    layer = new("RGBA", picture.size, (*RED, 0))
    for place, ((row, column), label) in enumerate(zip(points, labels, strict=True)):
        patch = disc(label, radius, alpha, headings[place] if headings is not None else None)
        left, top = column - patch.width // 2, row - patch.height // 2
        part = layer.crop((left, top, left + patch.width, top + patch.height))
        layer.paste(alpha_composite(part, patch), (left, top))
    return alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


@lru_cache(maxsize=256)
def disc(label: int, radius: int, alpha: int, heading: tuple[float, float] | None) -> Image:
    """One disc with its number in the middle, odd sides, so that it has a middle pixel."""
    reach = radius * 2 if heading is not None else radius + 1
    side = 2 * reach + 1
    large = new("RGBA", (side * FINER, side * FINER), (*RED, 0))
    pen = ImageDraw.Draw(large)
    middle = side * FINER / 2
    if heading is not None:
        end = tuple(middle + 2 * radius * FINER * part for part in heading)
        pen.line([(middle, middle), (end[0], end[1])], fill=(*RED, 255), width=3 * FINER)
    outer = radius * FINER
    box = (middle - outer, middle - outer, middle + outer, middle + outer)
    pen.ellipse(box, fill=(*RED, alpha), outline=(*RED, 255), width=2 * FINER)
    for line in number_strokes(str(label), radius):
        points = [(middle + x * FINER, middle + y * FINER) for x, y in line]
        width = max(FINER, round(radius * FINER / 6))
        pen.line(points, fill=WHITE, width=width, joint="curve")
    return large.resize((side, side), Resampling.BOX)


def number_strokes(text: str, radius: int) -> list[list[tuple[float, float]]]:
    """Strokes of a number around (0, 0), in pixels; longer numbers are smaller."""
    height = radius * (0.95 if len(text) == 1 else 0.75 if len(text) == 2 else 0.55)
    unit = height / 2  # the width of a digit
    step = unit * 1.45
    left = -(step * (len(text) - 1) + unit) / 2
    return [
        [(left + number * step + x * unit, y * unit - height / 2) for x, y in stroke]
        for number, digit in enumerate(text)
        for stroke in STROKES[digit]
    ]
