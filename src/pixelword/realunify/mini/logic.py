"""Logical reasoning: clues that leave one order of coloured shapes.

A clue list is written for things numbered in their true order. Each template carries its clues a second time as a
rule over positions, so that a test can try every order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from pixelword.realunify.mini.targets import Order, Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES

Rule = Callable[[Mapping[int, int]], bool]

CLUES: tuple[tuple[str, int, Rule], ...] = (
    ("{1} comes before {2}, and {3} comes after {2}.", 3, lambda p: p[1] < p[2] < p[3]),
    ("{2} is in the middle, and {1} is not last.", 3, lambda p: p[2] == 2 and p[1] != 3),
    ("{3} is neither first nor in the middle; {1} comes before {2}.", 3, lambda p: p[3] == 3 and p[1] < p[2]),
    ("{1} is not next to {3}, and {3} is not first.", 3, lambda p: abs(p[1] - p[3]) == 2 and p[3] != 1),
    ("Both {1} and {2} come before {3}; {2} is not first.", 3, lambda p: p[1] < p[3] and p[2] < p[3] and p[2] != 1),
    ("{1} is first, and {3} is not next to it.", 3, lambda p: p[1] == 1 and abs(p[3] - p[1]) != 1),
    ("{3} is last, and {2} is next to it.", 3, lambda p: p[3] == 3 and abs(p[2] - p[3]) == 1),
    ("{2} has {1} directly before it and {3} directly after it.", 3, lambda p: p[1] + 1 == p[2] == p[3] - 1),
    ("{3} is not first and not second, {2} is not first.", 3, lambda p: p[3] == 3 and p[2] != 1),
    ("If {1} were last it would be wrong; {2} is between the other two.", 3, lambda p: p[1] != 3 and p[2] == 2),
    ("{1} is somewhere before {3}, and neither of them is in the middle; the middle holds {2}.", 3,
     lambda p: p[1] < p[3] and p[2] == 2),
    ("Either {1} or {3} is first, but it is not {3}; {2} is not last.", 3, lambda p: p[1] == 1 and p[2] != 3),
    ("{1}, {2}, {3} and {4}: each but the last comes directly before the one named after it.", 4,
     lambda p: p[1] + 1 == p[2] and p[2] + 1 == p[3] and p[3] + 1 == p[4]),
    ("{1} is first, {4} is last, and {2} comes before {3}.", 4, lambda p: p[1] == 1 and p[4] == 4 and p[2] < p[3]),
    ("{2} and {3} are next to each other in the middle, {2} before {3}; {4} is not first and {1} is not last.", 4,
     lambda p: p[2] == 2 and p[3] == 3 and p[4] != 1 and p[1] != 4),
    ("{4} comes after {3}, {3} after {2}, and {2} after {1}.", 4, lambda p: p[4] > p[3] > p[2] > p[1]),
    ("{1} has nothing before it, {4} has nothing after it, and {3} is next to {4}.", 4,
     lambda p: p[1] == 1 and p[4] == 4 and abs(p[3] - p[4]) == 1),
    ("{3} is third; {1} is before {2}, and {4} is after both of them.", 4,
     lambda p: p[3] == 3 and p[1] < p[2] and p[4] > p[2] and p[4] > p[1]),
    ("{2} is directly after {1}; {4} is directly after {3}; {1} is before {4}.", 4,
     lambda p: p[2] == p[1] + 1 and p[4] == p[3] + 1 and p[1] < p[4]),
    ("{1} is not second, not third and not last; {2} is next to {1}; {4} is not third.", 4,
     lambda p: p[1] == 1 and abs(p[2] - p[1]) == 1 and p[4] != 3),
    ("{4} is at one end and {1} at the other; {1} is before {3}, and {2} is next to {1}.", 4,
     lambda p: {p[1], p[4]} == {1, 4} and p[1] < p[3] and abs(p[2] - p[1]) == 1),
    ("{3} is not first; {1} is not third and not next to {3}.", 3,
     lambda p: p[3] != 1 and p[1] != 3 and abs(p[1] - p[3]) != 1),
)  # fmt: skip
TEMPLATES = tuple(text for text, _, _ in CLUES)
ORDERS: tuple[Order, Order] = ("left to right", "top to bottom")


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    number = next(number for text, number, _ in CLUES if text == template)
    shape = random.choice(SHAPES)
    things = tuple(Thing(color, shape) for color in random.sample(list(COLORS), number))
    order = random.choice(ORDERS)
    # The things are introduced in another order than the true one, which would give the answer away.
    named = ", ".join(f"a {thing}" for thing in random.sample(things, number))
    clues = template.format(None, *(f"the {thing.color} one" for thing in things))
    prompt = f"Draw in one line from {order}: {named}, in the order that follows. {clues[0].upper()}{clues[1:]}"
    return prompt, Target(things, order)
