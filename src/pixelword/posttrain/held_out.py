"""Greedy answers to held-out puzzles, scored with intervals; called while a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from pixelword.jigsaw import Puzzle
from pixelword.jigsaw.scoring import Asked, Group, Reply, score_all, summarize
from pixelword.posttrain.prompts import Prompts, read_prompt


@dataclass(frozen=True)
class Examination:
    """What a model said to held-out puzzles, and how good that is.

    Args:
        replies: one per puzzle.
        groups: one per kind and size.
    """

    replies: tuple[Reply, ...]
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, puzzles: Sequence[Puzzle], replies: Sequence[Reply]) -> Examination:
        """Judge replies, one per puzzle."""
        scored = score_all([Asked.of(puzzle) for puzzle in puzzles], replies)
        return cls(tuple(replies), tuple(summarize(scored)))

    @property
    def exact(self) -> float:
        """Share of all puzzles in the right order."""
        return sum(group.exact.right for group in self.groups) / max(1, len(self.replies))

    def as_json(self) -> list[dict[str, Any]]:
        return [group.as_json() for group in self.groups]

    def __str__(self) -> str:
        return "; ".join(
            f"{group.difficulty}: exact {group.exact}, right places {group.places} of {group.pieces} "
            f"(chance {group.chance_exact:.3g} and 1)"
            for group in self.groups
        )


@torch.no_grad()
def examine(
    model: PreTrainedModel, processor: Any, puzzles: Sequence[Puzzle], *, max_tokens: int, rows: int = 32
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
