"""Puzzles as the model reads them: each is processed once, however many responses are asked for.

A generation holds a `Prompts`. A row of a batch is a number into it; its pixels are put together when a batch is
computed, for the rows of that batch alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from pixelword.errors import PromptError
from pixelword.posttrain.questions import Item

PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
"""What processors return along the tokens; everything else runs along pictures or patches."""
NOT_MEDIA = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Prompt:
    """One puzzle or question, processed.

    Args:
        ids: token ids of the prompt, ending where the answer begins.
        media: what the processor makes of the pictures: pixels, grids, sizes.
        per_token: what it says of each token.
        pictures: those of the puzzle.
    """

    puzzle: Item
    ids: list[int]
    media: dict[str, Tensor]
    per_token: dict[str, Tensor]
    pictures: list[Image]

    @property
    def tiles(self) -> int | None:
        """How many tiles a model counts that cuts its pictures into tiles of one size; None for others."""
        pixels = self.media.get("pixel_values")
        tiled = pixels is not None and pixels.ndim == 4 and len(pixels) != len(self.pictures)
        return len(pixels) if tiled and pixels is not None else None


def read_prompt(processor: Any, puzzle: Item, *, longest: int | None = None) -> Prompt:
    """Process one puzzle or question.

    Args:
        processor: of our model, or any of transformers with a chat template.
        longest: tokens that a prompt may have.

    Raises:
        PromptError: it is longer.
    """
    left = iter(puzzle.images)
    messages = [
        {
            **turn,
            "content": [{**part, "image": next(left)} if part["type"] == "image" else part for part in turn["content"]],
        }
        for turn in puzzle.messages()
    ]
    made = processor.apply_chat_template(
        [messages], tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
    )
    ids = made["input_ids"][0].tolist()
    if longest is not None and len(ids) > longest:
        raise PromptError(
            "a puzzle's prompt is longer than allowed",
            got=f"{len(ids)} tokens for {puzzle.key.sample}, allowed {longest}",
            fix="lower model.max_pixels, use fewer pieces or frames, or raise grpo.max_prompt_tokens",
        )
    per_token = {name: made[name] for name in PER_TOKEN if name in made}
    media = {name: value for name, value in made.items() if name not in (*NOT_MEDIA, *PER_TOKEN)}
    return Prompt(puzzle, ids, media, per_token, puzzle.images)


@dataclass
class Prompts:
    """The prompts of a generation.

    Args:
        known: in the order of their numbers.
    """

    known: list[Prompt] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.known)

    def add(self, prompt: Prompt) -> int:
        self.known.append(prompt)
        return len(self.known) - 1

    def ids(self, rows: Sequence[int]) -> list[list[int]]:
        return [self.known[row].ids for row in rows]

    def pictures(self, rows: Sequence[int]) -> list[list[Image]]:
        return [self.known[row].pictures for row in rows]

    def fields(self, rows: Sequence[int], length: int, behind: int, device: torch.device) -> dict[str, Any]:
        """What a model needs beside the ids.

        Args:
            rows: numbers of prompts, one per row of the batch.
            length: tokens of a prompt with its padding on the left.
            behind: tokens of responses that follow.

        Returns:
            Media of all rows one after another, per-token values (rows, length + behind), and `num_images` as TRL
            names the pictures per row.
        """
        some = [self.known[row] for row in rows]
        made: dict[str, Any] = {name: torch.cat([one.media[name] for one in some]).to(device) for name in some[0].media}
        for name in some[0].per_token:
            filled = torch.zeros((len(some), length + behind), dtype=torch.long)
            for number, one in enumerate(some):
                filled[number, length - len(one.ids) : length] = one.per_token[name][0]
            made[name] = filled.to(device)
        made["num_images"] = [len(one.pictures) for one in some]
        if some[0].tiles is not None:
            made["num_tiles"] = [one.tiles for one in some]
        return made

    def padded(self, rows: Sequence[int], pad_id: int, device: torch.device) -> dict[str, Any]:
        """Inputs of `generate` for these rows: ids and mask (rows, longest), padded on the left, and media."""
        found = self.ids(rows)
        length = max(map(len, found))
        ids = torch.full((len(rows), length), pad_id)
        mask = torch.zeros((len(rows), length), dtype=torch.long)
        for number, row in enumerate(found):
            ids[number, length - len(row) :], mask[number, length - len(row) :] = torch.tensor(row), 1
        media = self.fields(rows, length, 0, device)
        without = {name: value for name, value in media.items() if name not in ("num_images", "num_tiles")}
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device), **without}
