"""World knowledge: colours, shapes and numbers named by facts, and flags by their countries."""

from __future__ import annotations

from random import Random

from pixelword.realunify.mini.targets import Order, Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, PLURALS, SHAPES

COLOR_FACTS = {
    "red": ("a stop sign", "a ripe strawberry", "a ruby", "the planet Mars seen by eye"),
    "orange": ("a ripe carrot", "a basketball", "a ripe pumpkin"),
    "yellow": ("a ripe lemon", "a ripe banana", "the petals of a sunflower"),
    "green": ("fresh grass", "an emerald", "the light that lets cars go"),
    "blue": ("a cloudless sky at noon", "a sapphire"),
    "purple": ("the skin of an aubergine", "an amethyst"),
    "black": ("coal", "a raven", "an eight ball in pool"),
}
SHAPE_FACTS = {
    "circle": ("that has the outline of the full moon", "whose every edge point is equally far from its centre"),
    "square": ("with four equal sides and four right angles", "that has the outline of a chessboard"),
    "triangle": ("whose angles add up to 180 degrees", "with the fewest corners a polygon can have"),
    "cross": ("that marks addition in arithmetic", "that stands on the flag of Switzerland"),
}
NUMBER_FACTS = {
    2: ("wheels on an ordinary bicycle", "halves in a football match"),
    3: ("wheels on a tricycle", "sides of a triangle"),
    4: ("seasons in a year of the temperate zones", "strings on a violin"),
    5: ("rings of the Olympic symbol", "arms of a usual starfish"),
    6: ("legs of an insect", "faces of a cube", "strings of a usual guitar"),
    7: ("days in a week", "dwarfs in the tale of Snow White"),
    8: ("legs of a spider", "planets of the Solar System"),
}
FLAGS: tuple[tuple[str, Order, tuple[str, str, str]], ...] = (
    ("Germany (gold drawn as yellow)", "top to bottom", ("black", "red", "yellow")),
    ("Belgium", "left to right", ("black", "yellow", "red")),
    ("Romania", "left to right", ("blue", "yellow", "red")),
    ("Lithuania", "top to bottom", ("yellow", "green", "red")),
    ("Mali", "left to right", ("green", "yellow", "red")),
    ("Guinea", "left to right", ("red", "yellow", "green")),
    ("Gabon", "top to bottom", ("green", "yellow", "blue")),
    ("Armenia", "top to bottom", ("red", "blue", "orange")),
)
LISTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the lights of a traffic light, beginning with the one that means stop", ("red", "yellow", "green")),
    ("the first three colours of the rainbow, beginning on its outer side", ("red", "orange", "yellow")),
)

COUNTED = (
    "Draw as many {color} {shapes} as there are {number}.",
    "The number of {number}: show it as {color} {shapes}.",
    "Draw {color} {shapes}, one for each of the {number}.",
    "Let each {color} {shape} stand for one of the {number}, and draw them all.",
    "How many {number} are there? Answer with {color} {shapes}.",
    "Show {shapes} in the colour of {fact}, as many as there are {number}.",
    "For the {number}, draw one {shape} each, coloured like {fact}.",
)
SINGLE = (
    "Draw one {shape} in the colour of {fact}.",
    "A single {shape} that has the same colour as {fact}.",
    "Paint a {shape} with the colour you know from {fact}.",
    "A shape {outline}, coloured like {fact}.",
    "Draw in {color} the shape {outline}.",
    "One {color} shape {outline}.",
    "Think of {fact}. Draw a {shape} of that colour.",
    "Draw the shape {outline} in the colour of {fact}.",
)
ORDERED = (
    "Draw {shapes} in the colours of the flag of {flag}, from {order}.",
    "The flag of {flag}: one {shape} for each stripe, from {order}.",
    "From {order}, put one {shape} for each colour of the flag of {flag}.",
    "List the stripes of the flag of {flag} as coloured {shapes} from {order}.",
    "From left to right, draw as {shapes} {list}.",
    "A row of {shapes}, left to right: {list}.",
    "In one line from left to right, {shapes} coloured like {list}.",
)
TEMPLATES = (*COUNTED, *SINGLE, *ORDERED)


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    color, shape = random.choice(list(COLORS)), random.choice(SHAPES)
    number = random.choice(list(NUMBER_FACTS))
    flag, order, stripes = random.choice(FLAGS)
    name, listed = random.choice(LISTS)
    prompt = template.format(
        color=color,
        shape=shape,
        shapes=PLURALS[shape],
        number=random.choice(NUMBER_FACTS[number]),
        fact=random.choice(COLOR_FACTS[color]),
        outline=random.choice(SHAPE_FACTS[shape]),
        flag=flag,
        order=order,
        list=name,
    )
    if template in COUNTED:
        return prompt, Target((Thing(color, shape),) * number)
    if template in SINGLE:
        return prompt, Target((Thing(color, shape),))
    if "{list}" in template:
        return prompt, Target(tuple(Thing(each, shape) for each in listed), "left to right")
    return prompt, Target(tuple(Thing(each, shape) for each in stripes), order)
