"""What the four choice categories share: a puzzle, its options, and an answer that the words alone do not betray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

LETTERS = "ABCD"


@dataclass(frozen=True)
class Options:
    """Four different texts; the right one is at `letter`.

    The texts are drawn and mixed first, and the letter decides which of them will be true, so nothing about the texts
    tells it. The picture is made for the answer afterwards.
    """

    texts: tuple[str, ...]
    letter: str

    @property
    def answer(self) -> str:
        return self.texts[LETTERS.index(self.letter)]

    @property
    def others(self) -> list[str]:
        return [text for text in self.texts if text != self.answer]


def four_of(texts: Sequence[str], letter: str, random: Random) -> Options:
    """Any four of these texts."""
    return Options(tuple(random.sample(list(texts), 4)), letter)


def four_numbers(first: int, letter: str, random: Random) -> Options:
    """Four numbers in a row from `first` on."""
    return four_of([str(first + step) for step in range(4)], letter, random)


@dataclass(frozen=True)
class Puzzle:
    """A choice item before it has a number: what is shown, what is asked, and the true intermediate picture."""

    question: str
    options: Options
    picture: Image.Image
    gold: Image.Image
    subtask: str
