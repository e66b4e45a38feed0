"""Scientific reasoning: the outcome of a rule of nature as colours, counts, or an order of layers."""

from __future__ import annotations

from random import Random

from pixelword.realunify.mini.targets import Order, Target, Thing
from pixelword.realunify.mini.vocabulary import PLURALS, SHAPES

OUTCOMES: tuple[tuple[str, str], ...] = (
    ("Litmus solution mixed with lemon juice: draw one {shape} in its colour.", "red"),
    ("Litmus paper dipped in soapy water: draw one {shape} in its colour.", "blue"),
    ("Litmus paper dipped in vinegar: draw one {shape} in its colour.", "red"),
    ("A clean wire with table salt held in a flame: draw one {shape} in the flame's colour.", "yellow"),
    ("A clean wire with a copper salt held in a flame: draw one {shape} in the flame's colour.", "green"),
    ("A clean wire with a potassium salt held in a flame: draw one {shape} in the flame's colour.", "purple"),
    ("A clean wire with a strontium salt held in a flame: draw one {shape} in the flame's colour.", "red"),
    ("A drop of iodine solution turns starch blue or yellow: draw one {shape} in the right colour.", "blue"),
    ("Solid potassium permanganate dissolved in water: draw one {shape} in the colour of the solution.", "purple"),
    ("Copper sulfate with its crystal water: draw one {shape} in the colour of the crystals.", "blue"),
    ("Iron left for a year in damp air turned from grey to red or to blue: draw one {shape} in that colour.", "red"),
    ("Red light and green light shine on one white wall: draw one {shape} in the colour that is seen.", "yellow"),
    ("A red apple in a room with only blue light: draw one {shape} in the colour it seems to have.", "black"),
    ("The pigment with which leaves catch light: draw one {shape} in its colour.", "green"),
)
MOLECULES: tuple[tuple[str, dict[str, int]], ...] = (
    ("One molecule of water: each hydrogen a blue {shape}, each oxygen a red {shape}.", {"blue": 2, "red": 1}),
    ("One molecule of carbon dioxide: carbon a black {shape}, each oxygen a red {shape}.", {"black": 1, "red": 2}),
    ("One molecule of methane: carbon a black {shape}, each hydrogen a blue {shape}.", {"black": 1, "blue": 4}),
    ("One molecule of ammonia: nitrogen a purple {shape}, each hydrogen a blue {shape}.", {"purple": 1, "blue": 3}),
    ("The nucleus of helium-4: each proton a red {shape}, each neutron a green {shape}.", {"red": 2, "green": 2}),
    ("The outer shell of a carbon atom: each electron a yellow {shape}.", {"yellow": 4}),
    ("A cell with three chromosomes divides by mitosis: draw the chromosomes of one daughter cell as red {shapes}.",
     {"red": 3}),
)  # fmt: skip
LAYERS: tuple[tuple[str, Order, tuple[str, ...]], ...] = (
    ("Oil (yellow), water (blue) and syrup (red) at rest in a glass: one {shape} for each layer, from top to bottom.",
     "top to bottom", ("yellow", "blue", "red")),
    ("White light through a prism: red, green and blue {shapes}, from the least bent to the most, left to right.",
     "left to right", ("red", "green", "blue")),
    ("A piece of ice (blue) and a steel ball (black) at rest in water: one {shape} each, from top to bottom.",
     "top to bottom", ("blue", "black")),
    ("The Sun (yellow), the Moon (black) and the Earth (blue) at a solar eclipse: one {shape} each, left to right, the "
     "Sun first.", "left to right", ("yellow", "black", "blue")),
    ("A food chain from left to right: grass (green), a rabbit (orange), a fox (red), one {shape} each, eaten first.",
     "left to right", ("green", "orange", "red")),
)  # fmt: skip
TEMPLATES = tuple(row[0] for row in (*OUTCOMES, *MOLECULES, *LAYERS))


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    shape = random.choice(SHAPES)
    prompt = template.format(shape=shape, shapes=PLURALS[shape])
    for text, color in OUTCOMES:
        if text == template:
            return prompt, Target((Thing(color, shape),))
    for text, counts in MOLECULES:
        if text == template:
            return prompt, Target(tuple(Thing(color, shape) for color, n in counts.items() for _ in range(n)))
    order, layers = next(row[1:] for row in LAYERS if row[0] == template)
    return prompt, Target(tuple(Thing(color, shape) for color in layers), order)
