"""The words of the mini benchmark: colours with their RGB, shapes, numbers. Drawing and checking share only these."""

from __future__ import annotations

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 40),
    "orange": (250, 140, 20),
    "yellow": (240, 220, 40),
    "green": (40, 165, 70),
    "blue": (45, 95, 225),
    "purple": (145, 55, 185),
    "black": (25, 25, 25),
}

SHAPES = ("circle", "square", "triangle", "cross")

PAPER = (255, 255, 255)
"""Background of every picture."""

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}


def several(number: int, color: str, shape: str) -> str:
    """`1 red cross`, `3 red crosses`."""
    return f"{number} {color} {shape if number == 1 else PLURALS[shape]}"
