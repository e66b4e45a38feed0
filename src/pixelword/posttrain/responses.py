"""Responses of a generation, judged, as one table of numbers that can be gathered from all processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from pixelword.jigsaw import Puzzle
from pixelword.jigsaw.scoring import Asked, score
from pixelword.posttrain.questions import Item, Judged, SceneQuestion

EXAMPLE = "Answer format example:\n"
COLUMNS = ("total", "exact", "places", "form", "copied", "answer", "pieces", "length", "cut")


@dataclass(frozen=True)
class Table:
    """(responses, columns) float64, whole groups one after another.

    Columns: total reward; exact, 0 or 1; share of right places; readable as an answer, 0 or 1; the prompt's example, 0
    or 1; a number that names the answer, 0 for none; pieces, or answers to choose from; tokens; cut off, 0 or 1.
    """

    values: Tensor

    def column(self, name: str) -> Tensor:
        return self.values[:, COLUMNS.index(name)]

    def mean(self, name: str) -> float:
        return float(self.column(name).mean())

    @property
    def chance_places(self) -> float:
        """Share of right places of a random permutation: one of all; of a question, one of its possible answers."""
        return float((1 / self.column("pieces")).mean())

    @property
    def readable(self) -> float:
        """Share of responses whose answer can be read: a permutation, or a word that answers."""
        return float((self.column("answer") > 0).double().mean())

    @property
    def same_answer(self) -> float:
        """Share of readable answers that are the most frequent one, or the prompt's example."""
        answers = self.column("answer")
        readable = answers[answers > 0].tolist()
        if not readable:
            return 0.0
        return max(
            Counter(readable).most_common(1)[0][1] / len(readable), float(self.column("copied").sum()) / len(readable)
        )


def judge(puzzles: Sequence[Item], texts: Sequence[str], lengths: Sequence[int], cut: Sequence[bool]) -> Table:
    """Judge responses, one per puzzle; a group's puzzle stands there once for each of its responses.

    Args:
        lengths: tokens of each response.
        cut: whether the limit of tokens ended it.
    """
    rows = []
    for puzzle, text, length, ended in zip(puzzles, texts, lengths, cut, strict=True):
        judged = judge_one(puzzle, text)
        rows.append(
            [
                judged.total,
                float(judged.exact),
                judged.places,
                float(judged.form),
                float(judged.copied),
                float(name_of(judged.answer)),
                float(puzzle.pieces),
                float(length),
                float(ended),
            ]
        )
    return Table(torch.tensor(rows, dtype=torch.float64))


def judge_one(item: Item, text: str) -> Judged:
    """A response to a puzzle or to a question."""
    if isinstance(item, SceneQuestion):
        return item.judged(text)
    scored = score(Asked.of(item), text)
    copied = bool(scored.answer) and scored.answer == shown_example(item)
    places = scored.places / item.pieces
    return Judged(scored.reward, scored.exact, places, scored.formatted, scored.answer, copied)


def shown_example(puzzle: Puzzle) -> tuple[int, ...]:
    """The example answer of the prompt; empty where it shows none."""
    _, found, after = puzzle.text().partition(EXAMPLE)
    line = after.partition("\n")[0] if found else ""
    return tuple(int(item) for item in line.split(",")) if line else ()


def name_of(answer: Sequence[object]) -> int:
    """A number below 2^48 that is the same for the same answer; 0 for none."""
    text = ",".join(map(str, answer)).encode()
    return int.from_bytes(blake2b(text, digest_size=6).digest()) or 1 if answer else 0
