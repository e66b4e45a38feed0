"""Mathematical reasoning: compute a number of one to nine, draw that many."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, NUMBERS, PLURALS, SHAPES

Value = Callable[[int, int, int], float]

SUMS: tuple[tuple[str, Value], ...] = (
    ("A tray has {a} rows with {b} {things} in each row. Draw all of them.", lambda a, b, c: a * b),
    ("There were {a} {things}; {b} more came. Draw them all.", lambda a, b, c: a + b),
    ("Of {a} {things}, {b} were taken away. Draw those that are left.", lambda a, b, c: a - b),
    ("{a} {things} are shared equally among {b} boxes. Draw the content of one box.", lambda a, b, c: a / b),
    ("{a} boxes hold {b} {things} each, and {c} are taken out. Draw the rest.", lambda a, b, c: a * b - c),
    ("A box holds {a} {things}, then {b} are added and {c} removed. Draw what it holds.", lambda a, b, c: a + b - c),
    ("Draw twice as many {things} as {a}.", lambda a, b, c: 2 * a),
    ("Draw half as many {things} as {a}.", lambda a, b, c: a / 2),
    ("Draw {things}: three times {a}, less {b}.", lambda a, b, c: 3 * a - b),
    ("x plus {a} equals {b}. Draw x {things}.", lambda a, b, c: b - a),
    ("{a} times x equals {b}. Draw x {things}.", lambda a, b, c: b / a),
    ("x less {a} equals {b}. Draw x {things}.", lambda a, b, c: a + b),
    ("Draw as many {things} as the remainder of {b} divided by {a}.", lambda a, b, c: b % a),
    ("Draw the mean of {a}, {b} and {c} in {things}.", lambda a, b, c: (a + b + c) / 3),
    ("Draw as many {things} as the largest of {a}, {b} and {c}.", max),
    ("Draw as many {things} as the difference between the largest and the smallest of {a}, {b} and {c}.",
     lambda a, b, c: max(a, b, c) - min(a, b, c)),
    ("A bag of {a} marbles has a red share of one half; draw a {thing} for each red one.", lambda a, b, c: a / 2),
    ("For every {a} cups a recipe needs {b} {things}. Draw the {things} for twice the cups.", lambda a, b, c: 2 * b),
    ("{a} {things} cost {a} coins. Draw the {things} that {b} coins buy.", lambda a, b, c: b),
    ("On a grid of {a} by {b} fields stand {things} on all fields but {c}. Draw the {things}.",
     lambda a, b, c: a * b - c),
    ("A fair coin is thrown {a} times. Draw the expected number of heads as {things}.", lambda a, b, c: a / 2),
    ("A rectangle has an area of {a} and a width of {b}. Draw its height in {things}.", lambda a, b, c: a / b),
    ("{a} {things} stand in a line with one gap between neighbours. Draw one {thing} for each gap.",
     lambda a, b, c: a - 1),
    ("Anna has {a} {things}, Ben has {b} more than Anna. Draw Ben's.", lambda a, b, c: a + b),
)  # fmt: skip
TEMPLATES = tuple(text for text, _ in SUMS)
FEWEST, MOST = 2, 9


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    value = dict(SUMS)[template]
    while True:
        a, b, c = (random.randint(2, 12) for _ in range(3))
        number = value(a, b, c)
        if number == int(number) and FEWEST <= number <= MOST:
            break
    thing = Thing(random.choice(list(COLORS)), random.choice(SHAPES))
    words = {"a": NUMBERS[a], "b": NUMBERS[b], "c": NUMBERS[c]}
    things = f"{thing.color} {PLURALS[thing.shape]}"
    prompt = template.format(things=things, thing=thing, **words)
    return prompt[0].upper() + prompt[1:], Target((thing,) * int(number))
