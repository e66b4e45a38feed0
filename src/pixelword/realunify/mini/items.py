"""Items of the mini benchmark by category, number and seed: the same item anywhere, whichever others are drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from PIL import Image

from pixelword.errors import ConfigError
from pixelword.realunify import prompts
from pixelword.realunify.dataset import Question
from pixelword.realunify.mini import (
    arithmetic,
    commonsense,
    facts,
    focusing,
    logic,
    navigation,
    programs,
    reconstruction,
    science,
    tracking,
)
from pixelword.realunify.mini.checker import Check, check
from pixelword.realunify.mini.drawing import draw, lay_out
from pixelword.realunify.mini.faults import with_fault
from pixelword.realunify.mini.polling import questions_of
from pixelword.realunify.mini.puzzles import LETTERS, Puzzle
from pixelword.realunify.mini.targets import Target, in_words
from pixelword.realunify.taxonomy import ItemId, Track, categories_of

RIDDLES = MappingProxyType(
    {
        "world_knowledge": facts,
        "commonsense_reasoning": commonsense,
        "mathematical_reasoning": arithmetic,
        "logical_reasoning": logic,
        "scientific_reasoning": science,
        "code_to_image": programs,
    }
)
PUZZLES = MappingProxyType(
    {
        "mental_reconstruction": reconstruction,
        "mental_tracking": tracking,
        "attentional_focusing": focusing,
        "cognitive_navigation": navigation,
    }
)

SIDES = (64, 512)
"""Smallest and largest side of a picture, in pixels; a multiple of 4, so that tiles come out whole."""

RULES = "Plain white background, nothing else in the picture, no shape touching another."
PLACE_RULE = "The centre of the shape lies in the outer third of the picture where it belongs."
"""What every prompt ends with, because the checker holds a picture to it."""

AN = re.compile(r"\b([Aa]) (?=orange)")


@dataclass(frozen=True)
class MiniDrawing:
    """A UEG item with its target. `gold_prompt` is the true first stage: nothing is left to work out."""

    id: ItemId
    template: int
    prompt: str
    questions: tuple[Question, ...]
    target: Target
    gold_prompt: str

    @property
    def new_prompt(self) -> str:
        return prompts.refine_prompt(self.prompt)

    def picture(self, side: int, seed: int = 0) -> Image.Image:
        """A right picture; each seed gives another."""
        return draw(lay_out(self.target, Random(f"picture {self.id} {seed}")), check_side(side))

    def faulty_picture(self, fault: str, side: int, seed: int = 0) -> Image.Image:
        """A picture with one fault; see `faults_of(item.target)`."""
        random = Random(f"fault {fault} {self.id} {seed}")
        return draw(with_fault(lay_out(self.target, random), fault, random), check_side(side))

    def check(self, picture: Image.Image) -> Check:
        """Whether a picture of any size shows the target."""
        return check(picture, self.target)


@dataclass(frozen=True)
class MiniChoice:
    """A GEU item with its picture and the true intermediate one."""

    id: ItemId
    template: int
    puzzle: Puzzle

    @property
    def question(self) -> str:
        return self.puzzle.question

    @property
    def options(self) -> tuple[str, ...]:
        return self.puzzle.options.texts

    @property
    def answer(self) -> str:
        return self.puzzle.options.letter

    @property
    def evaluation_prompt(self) -> str:
        return prompts.choice_prompt(self.question, self.options)

    @property
    def edit_prompt(self) -> str:
        return prompts.edit_prompt(self.id.category, self.question)


def check_side(side: int) -> int:
    if not SIDES[0] <= side <= SIDES[1] or side % 4:
        raise ConfigError(
            f"a mini picture has {SIDES[0]} to {SIDES[1]} pixels a side, a multiple of 4",
            got=side,
            fix="use 64, 128, 256 or 512",
        )
    return side


def deck(name: str, cards: int, number: int) -> int:
    """Card `number` of an endless row of shuffled decks: every card once before any comes again."""
    block, place = divmod(number, cards)
    return Random(f"{name} {block}").sample(range(cards), cards)[place]


def mini_drawing(category: str, number: int, *, seed: int = 0, index: int | None = None) -> MiniDrawing:
    """UEG item `number` of a category. `index` is its number in a file, if that is another one."""
    templates = RIDDLES[category].TEMPLATES
    template = deck(f"template {seed} {category}", len(templates), number)
    random = Random(f"item {seed} {category} {number}")
    prompt, target = RIDDLES[category].riddle(templates[template], random)
    prompt = "\n".join([prompt, *([PLACE_RULE] if target.place else []), RULES])
    questions = tuple(Question(article(q.question), q.answer) for q in questions_of(target, random))
    return MiniDrawing(
        ItemId(category, number if index is None else index),
        template,
        article(prompt),
        questions,
        target,
        article(in_words(target)),
    )


def mini_choice(category: str, number: int, *, seed: int = 0, side: int = 128, index: int | None = None) -> MiniChoice:
    """GEU item `number` of a category. Every four items in a row have the four letters as answers."""
    templates = PUZZLES[category].TEMPLATES
    template = deck(f"template {seed} {category}", len(templates), number)
    letter = LETTERS[deck(f"letter {seed} {category}", len(LETTERS), number)]
    random = Random(f"item {seed} {category} {number}")
    puzzle = PUZZLES[category].puzzle(templates[template], letter, check_side(side), random)
    return MiniChoice(ItemId(category, number if index is None else index), template, puzzle)


def article(text: str) -> str:
    """`an orange square` for `a orange square`."""
    return AN.sub(r"\1n ", text)


def mini_drawings(per_category: int, *, seed: int = 0) -> Iterator[MiniDrawing]:
    """The items of the six UEG categories, numbered through as in one file."""
    for place, category in enumerate(categories_of(Track.UEG)):
        for number in range(per_category):
            yield mini_drawing(category, number, seed=seed, index=place * per_category + number)


def mini_choices(per_category: int, *, seed: int = 0, side: int = 128) -> Iterator[MiniChoice]:
    """The items of the four GEU categories, numbered through as in one file."""
    for place, category in enumerate(categories_of(Track.GEU)):
        for number in range(per_category):
            yield mini_choice(category, number, seed=seed, side=side, index=place * per_category + number)
