"""Greedy answers to held-out puzzles and questions, scored with intervals; called while a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel

from pixelword.jigsaw import Puzzle
from pixelword.jigsaw.scoring import Asked, Group, Reply, ends, score_all, summarize
from pixelword.posttrain.prompts import Prompts, read_prompt
from pixelword.posttrain.questions import Item, Judged, SceneQuestion
from pixelword.report import Proportion


@dataclass(frozen=True)
class KindOfQuestion:
    """All answers to questions of one kind.

    Args:
        judged: one per question.
        chance: share that a blind guess among the possible answers gets right.
    """

    kind: str
    judged: tuple[Judged, ...]
    chance: float

    @property
    def exact(self) -> Proportion:
        return Proportion(sum(one.exact for one in self.judged), len(self.judged))

    @property
    def readable(self) -> Proportion:
        """Share of answers that are one of the possible words."""
        return Proportion(sum(one.form for one in self.judged), len(self.judged))

    def as_json(self) -> dict[str, Any]:
        return {
            "task": "question",
            "difficulty": self.kind,
            "asked": len(self.judged),
            "exact": {"right": self.exact.right, **ends(self.exact)},
            "chance_exact": self.chance,
            "readable": self.readable.value,
        }


@dataclass(frozen=True)
class Examination:
    """What a model said to held-out puzzles or questions, and how good that is.

    Args:
        replies: one per puzzle or question.
        groups: of puzzles, one per kind and size.
        kinds: of questions.
    """

    replies: tuple[Reply, ...]
    groups: tuple[Group, ...]
    kinds: tuple[KindOfQuestion, ...] = ()

    @classmethod
    def of(cls, asked: Sequence[Item], replies: Sequence[Reply]) -> Examination:
        """Judge replies, one per puzzle or question."""
        pairs = list(zip(asked, replies, strict=True))
        puzzles = [(one, reply) for one, reply in pairs if isinstance(one, Puzzle)]
        questions = [(one, reply) for one, reply in pairs if isinstance(one, SceneQuestion)]
        scored = score_all([Asked.of(puzzle) for puzzle, _ in puzzles], [reply for _, reply in puzzles])
        return cls(tuple(replies), tuple(summarize(scored)), tuple(by_kind(questions)))

    @property
    def exact(self) -> float:
        """Share of all that are right."""
        right = sum(part.exact.right for part in self.parts)
        return right / max(1, len(self.replies))

    @property
    def parts(self) -> list[Group | KindOfQuestion]:
        return [*self.groups, *self.kinds]

    def as_json(self) -> list[dict[str, Any]]:
        return [part.as_json() for part in self.parts]

    def __str__(self) -> str:
        puzzles = [
            f"{group.difficulty}: exact {group.exact}, right places {group.places} of {group.pieces} "
            f"(chance {group.chance_exact:.3g} and 1)"
            for group in self.groups
        ]
        return "; ".join([*puzzles, *(f"{one.kind}: {one.exact} (chance {one.chance:.3g})" for one in self.kinds)])


def by_kind(answered: Sequence[tuple[SceneQuestion, Reply]]) -> list[KindOfQuestion]:
    """One for each kind, in order of first appearance."""
    found: dict[str, list[tuple[SceneQuestion, Reply]]] = {}
    for question, reply in answered:
        found.setdefault(question.asked.kind, []).append((question, reply))
    return [
        KindOfQuestion(
            kind,
            tuple(question.judged(reply.text or "") for question, reply in members),
            fmean(1 / question.pieces for question, _ in members),
        )
        for kind, members in found.items()
    ]


@torch.no_grad()
def examine(
    model: PreTrainedModel, processor: Any, puzzles: Sequence[Item], *, max_tokens: int, rows: int = 32
) -> Examination:
    """Ask all puzzles with greedy decoding.

    Args:
        max_tokens: of an answer; what is cut off there is marked as such.
        rows: puzzles side by side.
    """
    replies: list[Reply] = []
    generate: Any = model.generate
    training, tokenizer = model.training, processor.tokenizer
    model.train(False)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ends = end_ids(model, tokenizer)
    for start in range(0, len(puzzles), rows):
        prompts = Prompts([read_prompt(processor, puzzle) for puzzle in puzzles[start : start + rows]])
        inputs = prompts.padded(range(len(prompts)), pad, model.device)
        # A compiled model would be compiled anew for each length.
        with torch.compiler.set_stance("force_eager"):
            made = generate(**inputs, max_new_tokens=max_tokens, do_sample=False, use_cache=True, eos_token_id=ends)
        for answer in made[:, inputs["input_ids"].shape[1] :].tolist():
            stop = next((place for place, token in enumerate(answer) if token in ends), None)
            text = tokenizer.decode(answer[:stop], skip_special_tokens=True)
            replies.append(Reply(text, cut=stop is None))
    model.train(training)
    return Examination.of(puzzles, replies)


def end_ids(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the model's and the tokenizer's."""
    named = getattr(model.generation_config, "eos_token_id", None)
    own = [named] if isinstance(named, int) else list(named or [])
    return list(dict.fromkeys([*own, tokenizer.eos_token_id]))
