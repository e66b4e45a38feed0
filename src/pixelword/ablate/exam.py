"""The exam: held-out pictures described in reading order, word by word, each word marked right or wrong.

A word counts as right when it is the likeliest one after the true words before it, so each asks for one thing: the
colour, the shape or the place of the object that comes next on the picture, or whether another one comes at all. All
arms of a seed are marked on the same words in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from transformers import PreTrainedTokenizerBase

from pixelword.demo.rows import RowWriter
from pixelword.demo.vocabulary import TURN_END
from pixelword.model import NeoForConditionalGeneration
from pixelword.train import BranchCollator, Machine
from pixelword.world import COLORS, REGIONS, SHAPES, Example, examples

IMAGE_TOKENS = 64
ROWS_AT_ONCE = 32
EXAM_LENGTH = 96
"""Tokens of a row: a picture and its description."""
KINDS: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "more": (",", TURN_END),
    "place": REGIONS,
    "shape": SHAPES,
}
"""What a word of a description can be."""


@dataclass(frozen=True)
class Marks:
    """Marks by kind of word: a string of 1 (right) and 0 (wrong), in the order of the exam."""

    of_kind: dict[str, str]

    @property
    def share(self) -> float:
        every = "".join(self.of_kind.values())
        return every.count("1") / max(1, len(every))


def exam_scenes(seed: int, scenes: int) -> list[Example]:
    """The scenes of the exam: never in training, others for every seed."""
    return list(islice(examples("test", seed), scenes))


@torch.no_grad()
def sit_exam(
    model: NeoForConditionalGeneration,
    scenes: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    collate: BranchCollator,
    machine: Machine,
) -> Marks:
    """Mark a model on every word of the description of every scene."""
    write = RowWriter(tokenizer, IMAGE_TOKENS, captions=1, questions=False)
    kind_of = {tokenizer.vocab[word]: kind for kind, words in KINDS.items() for word in words}
    marks: dict[str, list[str]] = {kind: [] for kind in KINDS}
    was_training = model.training
    model.eval()  # type: ignore[no-untyped-call]
    for start in range(0, len(scenes), ROWS_AT_ONCE):
        batch = collate([write(scene) for scene in scenes[start : start + ROWS_AT_ONCE]])
        labels = batch.pop("labels")
        with (
            torch.compiler.set_stance("force_eager"),
            torch.autocast("cpu", torch.bfloat16, enabled=machine.bfloat16),
        ):
            likeliest = model(**batch, use_cache=False).logits.argmax(-1)
        true, said = labels[:, 1:], likeliest[:, :-1]
        for word, guess in zip(true[true >= 0].tolist(), said[true >= 0].tolist(), strict=True):
            marks[kind_of[word]].append("1" if word == guess else "0")
    model.train(was_training)
    return Marks({kind: "".join(marks[kind]) for kind in KINDS})
