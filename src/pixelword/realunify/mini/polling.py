"""The yes-or-no questions of a drawing item, and a judge that answers them exactly from the pixels.

Together the questions of an item say all that its target says, so a picture passes all of them just when it is right.
The exact judge reads the wording of the question and nothing of the item: it is a judge like any other.
"""

from __future__ import annotations

import re
from random import Random

from PIL import Image

from pixelword.errors import InputError
from pixelword.realunify.dataset import Question
from pixelword.realunify.mini.checker import Seen, is_in, see
from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, PLURALS, SHAPES, several

SINGULARS = {plural: shape for shape, plural in PLURALS.items()}
EXACTLY = re.compile(r"(?:Is|Are) there exactly (\d+) (\w+) (\w+) in the image\?")
SHAPES_IN_ALL = re.compile(r"(?:Is|Are) there exactly (\d+) shapes? in the whole image\?")
ANY = re.compile(r"Is there any (\w+) (\w+) in the image\?")
BEFORE = re.compile(r"Is the (\w+) (\w+) (further left|higher up) than the (\w+) (\w+)\?")
PLACE = re.compile(r"Does every shape lie in the (top|bottom|left|right) third of the image\?")


def questions_of(target: Target, random: Random) -> tuple[Question, ...]:
    """What to ask about a picture of this target: counts, the sum, order or place, and one thing that is not there."""
    number = len(target.things)
    asked = [
        Question(f"{'Is' if n == 1 else 'Are'} there exactly {several(n, *thing)} in the image?", "yes")
        for thing, n in target.counts.items()
    ]
    whole = f"{'Is' if number == 1 else 'Are'} there exactly {number} shape{'s' * (number > 1)} in the whole image?"
    asked.append(Question(whole, "yes"))
    side = "further left" if target.order == "left to right" else "higher up"
    for one, other in zip(target.things, target.things[1:], strict=False) if target.order else ():
        first, second, answer = (one, other, "yes") if random.random() < 0.5 else (other, one, "no")
        asked.append(Question(f"Is the {first} {side} than the {second}?", answer))
    if target.place:
        asked.append(Question(f"Does every shape lie in the {target.place} third of the image?", "yes"))
    absent = [Thing(c, s) for c in COLORS for s in SHAPES if Thing(c, s) not in target.counts]
    asked.append(Question("Is there any {} {} in the image?".format(*random.choice(absent)), "no"))
    return tuple(asked)


def exact_verdict(picture: Image.Image, question: str) -> str:
    """The true answer, "yes" or "no", to a question of `questions_of` about any picture.

    Raises:
        InputError: a question of another wording.
    """
    return "yes" if holds(see(picture), question) else "no"


def holds(seen: list[Seen], question: str) -> bool:
    """Whether a question's statement is true of what was seen."""
    things = [each.thing for each in seen]
    if found := EXACTLY.fullmatch(question):
        return things.count(Thing(found[2], SINGULARS.get(found[3], found[3]))) == int(found[1])
    if found := SHAPES_IN_ALL.fullmatch(question):
        return len(things) == int(found[1])
    if found := ANY.fullmatch(question):
        return Thing(found[1], found[2]) in things
    if found := PLACE.fullmatch(question):
        return bool(seen) and all(is_in(each, found[1]) for each in seen)
    if found := BEFORE.fullmatch(question):
        one, other = (
            [each for each in seen if each.thing == Thing(*words)] for words in (found.group(1, 2), found.group(4, 5))
        )
        if len(one) != 1 or len(other) != 1:
            return False
        return one[0].x < other[0].x - 0.03 if found[3] == "further left" else one[0].y < other[0].y - 0.03
    raise InputError("the exact judge knows only the mini's wordings", got=question, fix="ask a question of an item")
