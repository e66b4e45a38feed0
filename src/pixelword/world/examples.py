"""Endless examples of a split: a scene, one caption, several questions; the same bytes for the same seed anywhere.

Examples come in blocks. A block depends on (split, seed, its number) only, so any of them can be drawn without the
ones before it, and its questions are balanced by one ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from pixelword.errors import ConfigError, nearest
from pixelword.world.captions import DESCRIBE, LIST, caption
from pixelword.world.picture import draw_picture
from pixelword.world.questions import KINDS, Ledger, Question, well_posed
from pixelword.world.scene import Scene, draw_scene

SPLITS = ("train", "test", "new")
"""`train` and `test` never show a pair of `NEW_PAIRS`; every question of `new` hangs on one."""

BLOCK = 256
"""Scenes of one block."""


@dataclass(frozen=True)
class Example:
    """A scene, the request for a caption (`list` or `describe`), the caption, and questions."""

    scene: Scene
    request: str
    caption: str
    questions: tuple[Question, ...]

    @property
    def picture(self) -> NDArray[np.uint8]:
        """uint8 [64, 64, 3], RGB; drawn anew at each call."""
        return draw_picture(self.scene)


def examples(
    split: str,
    seed: int,
    *,
    questions: int = 8,
    weights: Mapping[str, float] | None = None,
    start: int = 0,
    random_order: float = 0.5,
) -> Iterator[Example]:
    """All examples of a split from number `start` on, without end.

    Args:
        split: one of `SPLITS`.
        seed: another seed gives another world.
        questions: questions about each scene; a scene of `new` may have fewer.
        weights: how often each kind of question is asked; see `Ledger`.
        start: number of the first example.
        random_order: share of captions in random order; the others are in reading order.

    Raises:
        ConfigError: unknown split, or a weight for an unknown kind.
    """
    if split not in SPLITS:
        raise ConfigError("the world has no such split", got=split, fix=nearest(split, SPLITS))
    for kind in weights or ():
        if kind not in KINDS:
            raise ConfigError("the world has no such kind of question", got=kind, fix=nearest(kind, KINDS))
    full = {kind: weights.get(kind, 0.0) for kind in KINDS} if weights else None
    number, skip = divmod(start, BLOCK)
    while True:
        drawn = block(split, seed, number, questions=questions, weights=full, random_order=random_order)
        yield from drawn[skip:]
        number, skip = number + 1, 0


def block(
    split: str,
    seed: int,
    number: int,
    *,
    questions: int,
    weights: Mapping[str, float] | None,
    random_order: float,
) -> list[Example]:
    """The examples of one block, see `examples`."""
    random, ledger = Random(f"{split} {seed} {number}"), Ledger(weights)
    drawn = []
    for _ in range(BLOCK):
        scene = draw_scene(random, new=split == "new")
        request = DESCRIBE if random.random() < random_order else LIST
        words = caption(scene, request, random)
        possible = (question for question in well_posed(scene) if question.new or split != "new")
        drawn.append(Example(scene, request, words, ledger.choose(possible, questions, random)))
    return drawn
