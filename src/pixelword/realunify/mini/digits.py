"""Seven-segment digits: which segments a digit has, and how they are drawn in colours."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image, ImageDraw

from pixelword.realunify.mini.drawing import ENLARGE
from pixelword.realunify.mini.vocabulary import COLORS, PAPER

SEGMENTS = "abcdefg"
DIGITS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
"""Digit -> its segments: a top, b upper right, c lower right, d bottom, e lower left, f upper left, g middle."""

LINES = {
    "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1),
}  # fmt: skip
"""Ends of each segment as x, y, x, y; a digit is one wide and two high."""


def draw_segments(colors: Mapping[tuple[int, str], str], side: int) -> Image.Image:
    """A picture of digits side by side; (digit's place, segment) -> colour, absent segments are not drawn."""
    large = side * ENLARGE
    picture = Image.new("RGB", (large, large), PAPER)
    pen = ImageDraw.Draw(picture)
    places = 1 + max((place for place, _ in colors), default=0)
    unit = large / (2 * places + 0.5)
    for (place, segment), color in colors.items():
        corner = (0.75 * unit + 2 * unit * place, large / 2 - unit)
        draw_segment(pen, segment, corner, unit, COLORS[color])
    return picture.reduce(ENLARGE)


def draw_segment(
    pen: ImageDraw.ImageDraw, segment: str, corner: tuple[float, float], unit: float, ink: tuple[int, int, int]
) -> None:
    """One segment of a digit whose upper left corner is `corner` and whose width is `unit` pixels."""
    x0, y0, x1, y1 = (value * unit for value in LINES[segment])
    half, gap = 0.1 * unit, 0.14 * unit
    x, y = corner
    if y0 == y1:
        pen.rectangle((x + x0 + gap, y + y0 - half, x + x1 - gap, y + y0 + half), fill=ink)
    else:
        pen.rectangle((x + x0 - half, y + y0 + gap, x + x0 + half, y + y1 - gap), fill=ink)
