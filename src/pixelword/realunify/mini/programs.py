"""Code to image: a short program whose printed line says what to draw, worked out here without running it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES

Result = Callable[[int, int, list[str], list[str]], tuple[int, str, str]]
"""(a, b, colours, shapes) -> number, colour, shape."""

PROGRAMS: tuple[tuple[str, Result], ...] = (
    ("print({a} + {b}, '{c0}', '{s0}')", lambda a, b, c, s: (a + b, c[0], s[0])),
    ("n = {a} * {b}\nprint(n % 5 + 1, '{c0}', '{s0}')", lambda a, b, c, s: (a * b % 5 + 1, c[0], s[0])),
    ("x = {a}\nif x > {b}:\n    print(2, '{c0}', '{s0}')\nelse:\n    print(3, '{c1}', '{s1}')",
     lambda a, b, c, s: (2, c[0], s[0]) if a > b else (3, c[1], s[1])),
    ("x = {a} - {b}\nif x > 0:\n    color = '{c0}'\nelif x < 0:\n    color = '{c1}'\nelse:\n    color = '{c2}'\n"
     "print(4, color, '{s0}')", lambda a, b, c, s: (4, c[0] if a > b else c[1] if a < b else c[2], s[0])),
    ("colors = ['{c0}', '{c1}', '{c2}']\nprint({a}, colors[{b} % 3], '{s0}')", lambda a, b, c, s: (a, c[b % 3], s[0])),
    ("shapes = ['{s0}', '{s1}', '{s2}']\nprint({b}, '{c0}', shapes[-{a} % 3])",
     lambda a, b, c, s: (b, c[0], s[-a % 3])),
    ("n = 0\nfor i in range({a}):\n    n += 1\nprint(n, '{c0}', '{s0}')", lambda a, b, c, s: (a, c[0], s[0])),
    ("n = 0\nfor i in range({a}):\n    if i % 2 == 0:\n        n += 1\nprint(n, '{c0}', '{s0}')",
     lambda a, b, c, s: ((a + 1) // 2, c[0], s[0])),
    ("n = {a} + {b}\nwhile n > 3:\n    n -= 3\nprint(n, '{c0}', '{s0}')",
     lambda a, b, c, s: ((a + b - 1) % 3 + 1, c[0], s[0])),
    ("for i, color in enumerate(['{c0}', '{c1}', '{c2}']):\n    if i == {b} % 3:\n        print(i + 1, color, '{s0}')",
     lambda a, b, c, s: (b % 3 + 1, c[b % 3], s[0])),
    ("stock = {{'{c0}': {a}, '{c1}': {b}}}\nbest = max(stock, key=stock.get)\nprint(stock[best], best, '{s0}')",
     lambda a, b, c, s: (a, c[0], s[0]) if a >= b else (b, c[1], s[0])),
    ("word = '{c0}'\nprint(len(word), word, '{s0}')", lambda a, b, c, s: (len(c[0]), c[0], s[0])),
    ("def f(n):\n    return 1 if n < 2 else n + f(n - 2)\n\nprint(f({a} % 4 + 1), '{c0}', '{s0}')",
     lambda a, b, c, s: ((1, 3, 4, 7)[a % 4], c[0], s[0])),
    ("a, b = {a}, {b}\na, b = b, a\nprint(a, '{c0}', '{s0}')", lambda a, b, c, s: (b, c[0], s[0])),
    ("numbers = [{a}, {b}, 3]\nnumbers.sort()\nprint(numbers[1], '{c0}', '{s0}')",
     lambda a, b, c, s: (sorted([a, b, 3])[1], c[0], s[0])),
    ("print(len({{{a}, {b}, 3, 3}}), '{c0}', '{s0}')",
     lambda a, b, c, s: (len({a, b, 3}), c[0], s[0])),
    ("rows = [[1] * {a}, [1] * {b}]\nprint(max(len(row) for row in rows), '{c0}', '{s0}')",
     lambda a, b, c, s: (max(a, b), c[0], s[0])),
    ("n = 0\nfor i in range(1, 10):\n    if i > {a}:\n        break\n    n = i\nprint(n, '{c0}', '{s0}')",
     lambda a, b, c, s: (a, c[0], s[0])),
    ("x = {a}\nx ^= {b}\nprint(x % 4 + 2, '{c0}', '{s0}')", lambda a, b, c, s: ((a ^ b) % 4 + 2, c[0], s[0])),
    ("text = '{c0} {c1} {c2}'\nparts = text.split()\nprint({b}, parts[::-1][0], '{s0}')",
     lambda a, b, c, s: (b, c[2], s[0])),
    ("match {a} % 3:\n    case 0:\n        print(1, '{c0}', '{s0}')\n    case 1:\n        print(2, '{c1}', '{s1}')\n"
     "    case _:\n        print(3, '{c2}', '{s2}')", lambda a, b, c, s: (a % 3 + 1, c[a % 3], s[a % 3])),
    ("ok = {a} > 3 and not {b} > 3\nprint(5 if ok else 2, '{c0}' if ok else '{c1}', '{s0}')",
     lambda a, b, c, s: (5, c[0], s[0]) if a > 3 and b <= 3 else (2, c[1], s[0])),
)  # fmt: skip
TEMPLATES = tuple(text for text, _ in PROGRAMS)


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    source, (number, color, shape) = program(template, random)
    prompt = f"{source}\nThe program prints a number, a colour and a shape. Draw that many shapes of that colour."
    return prompt, Target((Thing(color, shape),) * number)


def program(template: str, random: Random) -> tuple[str, tuple[int, str, str]]:
    """A program and what it prints."""
    a, b = random.sample(range(1, 6), 2)
    colors, shapes = random.sample(list(COLORS), 3), random.sample(SHAPES, 3)
    names = {f"c{i}": color for i, color in enumerate(colors)} | {f"s{i}": shape for i, shape in enumerate(shapes)}
    return template.format(a=a, b=b, **names), dict(PROGRAMS)[template](a, b, colors, shapes)
