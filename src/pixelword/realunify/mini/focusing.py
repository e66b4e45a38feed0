"""Attentional focusing: a small detail in a crowd of shapes. The true intermediate has a frame around what matters."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from pixelword.realunify.mini.drawing import Layout, Placed, draw
from pixelword.realunify.mini.puzzles import Options, Puzzle, four_numbers, four_of
from pixelword.realunify.mini.targets import Thing
from pixelword.realunify.mini.vocabulary import COLORS, PLURALS, SHAPES

CELLS = 6
"""The crowd stands on a grid of this many rows and columns."""

FRAME = (255, 0, 255)
"""Magenta, which no shape has."""

CORNERS = ("upper left", "upper right", "lower left", "lower right")

FORMS: tuple[tuple[str, str], ...] = (
    ("attribute: color", "What colour does the only {shape} have?"),
    ("attribute: color", "Among all shapes there is one {shape}. Which colour is it?"),
    ("attribute: color", "Find the single {shape}: what is its colour?"),
    ("attribute: color", "Which colour was used for the one {shape}?"),
    ("attribute: color", "Name the colour of the {shape} hidden in the crowd."),
    ("attribute: shape", "What is the shape of the only {color} thing?"),
    ("attribute: shape", "Among all shapes one is {color}. Which shape is it?"),
    ("attribute: shape", "Find the single {color} shape: what is it?"),
    ("attribute: shape", "Which shape was drawn in {color}?"),
    ("attribute: shape", "Name the shape of the {color} thing hidden in the crowd."),
    ("quantity", "How many {color} {shapes} are there?"),
    ("quantity", "Count the {shapes} that are {color}."),
    ("quantity", "What is the number of {color} {shapes} in the crowd?"),
    ("quantity", "In the crowd, how often is there a {color} {shape}?"),
    ("quantity", "Look for every {color} {shape}. How many did you find?"),
    ("place", "In which quarter of the picture is the only {color} {shape}?"),
    ("place", "Where is the single {color} {shape}?"),
    ("place", "Find the one {color} {shape}: in which quarter does it lie?"),
    ("place", "Which quarter of the picture hides the {color} {shape}?"),
    ("place", "Name the quarter with the one {color} {shape}."),
)
TEMPLATES = tuple(text for _, text in FORMS)


def puzzle(template: str, letter: str, side: int, random: Random) -> Puzzle:
    """Fill a template for this answer letter."""
    form = next(form for form, text in FORMS if text == template)
    options = options_for(form, letter, random)
    color, shape = random.choice(list(COLORS)), random.choice(SHAPES)
    if form == "attribute: color":
        wanted = Thing(options.answer, shape)
        crowd = [thing for thing in every_thing() if thing.shape != shape]
    elif form == "attribute: shape":
        wanted = Thing(color, options.answer)
        crowd = [thing for thing in every_thing() if thing.color != color]
    else:
        wanted = Thing(color, shape)
        crowd = [thing for thing in every_thing() if thing != wanted]
    cells = random.sample(range(CELLS**2), random.randint(22, 30))
    marked = marked_cells(form, options, cells, random)
    placed = [at(wanted if cell in marked else random.choice(crowd), cell, random) for cell in cells]
    picture = draw(Layout(tuple(placed), ()), side)
    gold = framed(picture, [each for each, cell in zip(placed, cells, strict=True) if cell in marked])
    question = template.format(color=color, shape=shape, shapes=PLURALS[shape])
    return Puzzle(question, options, picture, gold, form.partition(":")[0])


def options_for(form: str, letter: str, random: Random) -> Options:
    if form == "quantity":
        return four_numbers(random.randint(1, 4), letter, random)
    return four_of({"attribute: color": list(COLORS), "attribute: shape": SHAPES}.get(form, CORNERS), letter, random)


def every_thing() -> list[Thing]:
    return [Thing(color, shape) for color in COLORS for shape in SHAPES]


def marked_cells(form: str, options: Options, cells: list[int], random: Random) -> set[int]:
    """The cells that hold what is asked for; for `place`, one in the right quarter."""
    if form == "quantity":
        return set(cells[: int(options.answer)])
    if form != "place":
        return {cells[0]}
    lower, right = options.answer.startswith("lower"), options.answer.endswith("right")
    there = [c for c in cells if (c // CELLS >= CELLS // 2) == lower and (c % CELLS >= CELLS // 2) == right]
    if not there:
        cells.append((lower * CELLS // 2 + random.randrange(3)) * CELLS + right * CELLS // 2 + random.randrange(3))
        there = cells[-1:]
    return {random.choice(there)}


def at(thing: Thing, cell: int, random: Random) -> Placed:
    row, column = divmod(cell, CELLS)
    x, y = ((place + 0.5 + random.uniform(-0.05, 0.05)) / CELLS for place in (column, row))
    return Placed(thing, x, y, 0.37 / CELLS)


def framed(picture: Image.Image, things: list[Placed]) -> Image.Image:
    """The picture with a frame around each of these things."""
    gold = picture.copy()
    pen = ImageDraw.Draw(gold)
    for thing in things:
        reach, last = 1.25 * thing.radius, picture.width - 1
        ends = (thing.x - reach, thing.y - reach, thing.x + reach, thing.y + reach)
        box = [min(last, max(0, round(end * picture.width))) for end in ends]
        pen.rectangle(box, outline=FRAME, width=max(1, picture.width // 128))
    return gold
