"""Mental tracking: segments of two digits change their colours; which digits do the segments of one colour form?

The true intermediate is the picture after the changes.
"""

from __future__ import annotations

from itertools import product
from random import Random

from pixelword.realunify.mini.digits import DIGITS, SEGMENTS, draw_segments
from pixelword.realunify.mini.puzzles import Puzzle, four_of
from pixelword.realunify.mini.vocabulary import COLORS

CHANGES: tuple[tuple[str, str, tuple[tuple[tuple[str, str], ...], ...]], ...] = (
    ("one", "Turn all {a} segments into {b}.", ((("a", "b"),),)),
    ("one", "All {a} segments become {b}.", ((("a", "b"),),)),
    ("two", "Turn all {a} segments into {b}, then turn all {c} into {d}.", ((("a", "b"),), (("c", "d"),))),
    ("two", "First paint the {a} segments {b}; after that, paint the {c} ones {d}.", ((("a", "b"),), (("c", "d"),))),
    ("chain", "Turn all {a} segments into {b}, then turn all {b} into {c}.", ((("a", "b"),), (("b", "c"),))),
    ("chain", "First paint the {a} segments {b}; after that, paint everything {b} {c}.",
     ((("a", "b"),), (("b", "c"),))),
    ("three", "Turn all {a} into {b}, then all {b} into {c}, then all {d} into {b}.",
     ((("a", "b"),), (("b", "c"),), (("d", "b"),))),
    ("three", "In this order: {a} becomes {b}, {c} becomes {a}, {b} becomes {d}.",
     ((("a", "b"),), (("c", "a"),), (("b", "d"),))),
    ("swap", "Swap the colours {a} and {b}.", ((("a", "b"), ("b", "a")),)),
    ("swap", "Simultaneously, turn all {a} into {b} and all {b} into {a}.", ((("a", "b"), ("b", "a")),)),
    ("cycle", "Simultaneously, turn {a} into {b}, {b} into {c} and {c} into {a}.",
     ((("a", "b"), ("b", "c"), ("c", "a")),)),
    ("cycle", "At one moment {a} segments turn {b}, {b} ones {c}, and {c} ones {a}.",
     ((("a", "b"), ("b", "c"), ("c", "a")),)),
)  # fmt: skip
"""Kind, wording, and steps; the changes inside one step happen at once."""

QUESTIONS = ("Which digits are formed by the {e} segments?", "Read the {e} segments: which two digits do they show?")
TEMPLATES = tuple(f"{change} {question}" for (_, change, _), question in product(CHANGES, QUESTIONS))


def after(color: str, steps: tuple[tuple[tuple[str, str], ...], ...], names: dict[str, str]) -> str:
    """The colour that a segment of this colour has after all steps."""
    for step in steps:
        color = {names[old]: names[new] for old, new in step}.get(color, color)
    return color


def puzzle(template: str, letter: str, side: int, random: Random) -> Puzzle:
    """Fill a template for this answer letter."""
    kind, _, steps = next(row for row in CHANGES if template.startswith(row[1]))
    pairs = [f"{one},{other}" for one in range(10) for other in range(10)]
    options = four_of(pairs, letter, random)
    while True:
        names = dict(zip("abcd", random.sample(list(COLORS), 4), strict=True))
        sources: dict[str, list[str]] = {}
        for color in names.values():
            sources.setdefault(after(color, steps, names), []).append(color)
        # A colour that something turns into; the other segments end in any other colour.
        moved = {final for final, colors in sources.items() if colors != [final]}
        if moved and len(sources) > 1:
            break
    asked = random.choice(sorted(moved))
    lit = [color for final, colors in sources.items() if final == asked for color in colors]
    unlit = [color for final, colors in sources.items() if final != asked for color in colors]
    colors = {
        (place, segment): random.choice(lit if segment in DIGITS[int(digit)] else unlit)
        for place, digit in enumerate(options.answer.split(","))
        for segment in SEGMENTS
    }
    changed = {where: after(color, steps, names) for where, color in colors.items()}
    question = template.format(**names, e=asked)
    return Puzzle(question, options, draw_segments(colors, side), draw_segments(changed, side), kind)
