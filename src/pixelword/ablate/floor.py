"""What a reader gets right who never sees a picture: the floor under every share of the exam.

It says the word that was most frequent, in descriptions for training, at the same point: the same kind of word, after
the same place, with as many objects named. That is nearly all that the words before tell.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from pixelword.world import LIST, Example, caption, examples

END = "end"
LEARNT = 2000
ORDER = ("color", "shape", "place", "more")
"""Kinds of the words of one object, in the order in which they are said."""


def steps(scene: Example) -> Iterator[tuple[tuple[str, str, int], str]]:
    """Every word of a description, behind what is known before it: its kind, the last place, objects named so far."""
    place, named = "", 0
    for number, word in enumerate([*caption(scene.scene, LIST, Random(0)).split(), END]):
        kind = ORDER[number % len(ORDER)]
        yield (kind, place, named), word
        if kind == "place":
            place, named = word, named + 1


def blind_floor(scenes: Sequence[Example], seed: int, learnt: int = LEARNT) -> float:
    """The share of words that the best guess without the picture gets right.

    Args:
        scenes: of the exam.
        seed: of the scenes for training.
        learnt: how many of these the guess is learnt from.
    """
    said: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
    for scene in islice(examples("train", seed, questions=1), learnt):
        for known, word in steps(scene):
            said[known][word] += 1
    guess = {known: words.most_common(1)[0][0] for known, words in said.items()}
    hits = [guess.get(known) == word for scene in scenes for known, word in steps(scene)]
    return sum(hits) / max(1, len(hits))
