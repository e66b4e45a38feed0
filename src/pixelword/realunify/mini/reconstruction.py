"""Mental reconstruction: a picture of shapes, cut into tiles that were shuffled; the question is about the whole.

The true intermediate is the picture before it was cut.
"""

from __future__ import annotations

from random import Random

from PIL import Image

from pixelword.realunify.mini.drawing import Layout, Placed, draw
from pixelword.realunify.mini.puzzles import Options, Puzzle, four_numbers, four_of
from pixelword.realunify.mini.targets import Thing
from pixelword.realunify.mini.vocabulary import COLORS, PLURALS, SHAPES

PLACES = (
    "upper left", "upper middle", "upper right",
    "middle left", "exact middle", "middle right",
    "lower left", "lower middle", "lower right",
)  # fmt: skip

FORMS: tuple[tuple[str, str], ...] = (
    ("color at", "Which colour does the shape at the {place} have?"),
    ("color at", "In the restored picture, what is the colour of the {place} shape?"),
    ("color at", "Put the tiles in order: which colour is found at the {place}?"),
    ("color at", "Of which colour is the shape that belongs at the {place} of the original picture?"),
    ("shape at", "Which shape is at the {place}?"),
    ("shape at", "In the restored picture, what is the shape at the {place}?"),
    ("shape at", "Put the tiles in order: which shape is found at the {place}?"),
    ("shape at", "What form has the thing that belongs at the {place} of the original picture?"),
    ("place of", "Where is the {color} shape?"),
    ("place of", "At which place of the restored picture is the {color} shape?"),
    ("place of", "Put the tiles in order: where does the {color} shape lie?"),
    ("place of", "In which part of the original picture was the {color} shape?"),
    ("count shape", "How many {shapes} are there?"),
    ("count shape", "Count the {shapes} of the restored picture."),
    ("count shape", "What is the number of {shapes} in the original picture?"),
    ("count shape", "If the tiles are put in order, how many {shapes} can be seen?"),
    ("count color", "How many {color} shapes are there?"),
    ("count color", "Count the {color} shapes of the restored picture."),
    ("count color", "What is the number of {color} shapes in the original picture?"),
    ("count color", "If the tiles are put in order, how many {color} shapes can be seen?"),
    ("count all", "How many shapes are there in all?"),
    ("count all", "Count all shapes of the restored picture."),
)
TEMPLATES = tuple(text for _, text in FORMS)


def puzzle(template: str, letter: str, side: int, random: Random) -> Puzzle:
    """Fill a template for this answer letter."""
    form = next(form for form, text in FORMS if text == template)
    options = options_for(form, letter, random)
    place, color, shape = random.randrange(9), random.choice(list(COLORS)), random.choice(SHAPES)
    things = things_for(form, options, place, color, shape, random)
    whole = draw(Layout(tuple(at(thing, cell, random) for cell, thing in things.items()), ()), side)
    tiles = random.choice((2, 4))
    question = template.format(place=PLACES[place], color=color, shapes=PLURALS[shape])
    return Puzzle(question, options, shuffle(whole, tiles, random), whole, f"{tiles}x{tiles}")


def options_for(form: str, letter: str, random: Random) -> Options:
    if form == "color at":
        return four_of(list(COLORS), letter, random)
    if form == "shape at":
        return four_of(SHAPES, letter, random)
    if form == "place of":
        return four_of(PLACES, letter, random)
    return four_numbers(random.randint(1, 5 if form == "count all" else 3), letter, random)


def things_for(form: str, options: Options, place: int, color: str, shape: str, random: Random) -> dict[int, Thing]:
    """Cell -> thing, such that the options' answer is true of the picture."""
    if form.startswith("count"):
        right = int(options.answer)
        extra = 0 if form == "count all" else random.randint(0, 9 - right)
        cells = random.sample(range(9), right + extra)
        crowd = [random_thing(random) for _ in cells]
        other = Thing(
            random.choice([c for c in COLORS if c != color]), random.choice([s for s in SHAPES if s != shape])
        )
        for number, thing in enumerate(crowd):
            if form == "count shape":
                crowd[number] = Thing(thing.color, shape if number < right else avoid(thing.shape, shape, other.shape))
            elif form == "count color":
                crowd[number] = Thing(color if number < right else avoid(thing.color, color, other.color), thing.shape)
        return dict(zip(cells, crowd, strict=True))
    if form == "place of":
        place = PLACES.index(options.answer)
    things = {cell: random_thing(random) for cell in random.sample(range(9), random.randint(4, 8))}
    if form == "place of":
        others = [c for c in COLORS if c != color]
        things = {cell: Thing(random.choice(others), thing.shape) for cell, thing in things.items()}
        things[place] = Thing(color, shape)
    else:
        things[place] = Thing(options.answer, shape) if form == "color at" else Thing(color, options.answer)
    return things


def random_thing(random: Random) -> Thing:
    return Thing(random.choice(list(COLORS)), random.choice(SHAPES))


def avoid(value: str, forbidden: str, instead: str) -> str:
    return instead if value == forbidden else value


def at(thing: Thing, cell: int, random: Random) -> Placed:
    """A thing in one of nine cells."""
    row, column = divmod(cell, 3)
    radius = random.uniform(0.09, 0.12)
    x, y = ((place + 0.5) / 3 + random.uniform(-0.02, 0.02) for place in (column, row))
    return Placed(thing, x, y, radius)


def shuffle(whole: Image.Image, tiles: int, random: Random) -> Image.Image:
    """The picture with its tiles in another order; `tiles` divides its side."""
    step = whole.width // tiles
    boxes = [(x * step, y * step, (x + 1) * step, (y + 1) * step) for y in range(tiles) for x in range(tiles)]
    order = list(range(len(boxes)))
    mixed = whole.copy()
    while order == sorted(order) or mixed.tobytes() == whole.tobytes():
        random.shuffle(order)
        for box, source in zip(boxes, order, strict=True):
            mixed.paste(whole.crop(boxes[source]), box[:2])
    return mixed
