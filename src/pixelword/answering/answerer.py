"""A model that answers: messages and pictures in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText

from pixelword.answering.processors import load_processor
from pixelword.convert import load_released, local_folder
from pixelword.convert.released import MODEL_TYPES, TELLING
from pixelword.errors import CheckpointError, PixelWordError, PromptError
from pixelword.model.checkpoint import stored_shapes

Message = Mapping[str, Any]
UNREADABLE = (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError)
"""What transformers raises for folders that hold no model it can load: files, keys, shapes."""


@dataclass(frozen=True)
class Answer:
    """What a model wrote.

    Args:
        text: without special tokens.
        cut: it did not end by itself.
        tokens: how many it wrote.
    """

    text: str
    cut: bool
    tokens: int


@dataclass(frozen=True)
class Answerer:
    """A model with its processor, asked greedily.

    Args:
        name: where it came from.
        max_new_tokens: longest answer.
    """

    name: str
    model: Any
    processor: Any
    max_new_tokens: int

    def __call__(self, messages: Sequence[Message], images: Sequence[Image]) -> Answer:
        """Ask once.

        Args:
            messages: turns whose content is a list of parts; picture parts are filled from `images` in order.

        Raises:
            PromptError: films, another number of pictures than of places for them, or no room for an answer.
        """
        inputs = self.inputs(filled(messages, images))
        asked = inputs["input_ids"].shape[1]
        room = context(self.model) - asked
        if room < 1:
            raise PromptError(
                "the prompt is longer than the model's context",
                got=f"{asked} tokens, the context holds {context(self.model)}",
                fix="lower --max-pixels, or show fewer or smaller pictures",
            )
        ends = end_ids(self.model, self.processor.tokenizer)
        with torch.inference_mode():
            made = self.model.generate(
                **inputs,
                max_new_tokens=min(self.max_new_tokens, room),
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                num_beams=1,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
        said = made[0, asked:].tolist()
        text = self.processor.tokenizer.decode(said, skip_special_tokens=True)
        return Answer(text, not said or said[-1] not in ends, len(said))

    def inputs(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Ids, mask and media of a prompt, [1, T] and on the model's device."""
        made = self.processor.apply_chat_template(
            [list(messages)], tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
        )
        return {name: value.to(self.model.device) for name, value in made.items()}


def filled(messages: Sequence[Message], images: Sequence[Image]) -> list[dict[str, Any]]:
    """The messages with a picture in each place for one."""
    left, turns, places = iter(images), [], 0
    for message in messages:
        parts = []
        for part in message["content"]:
            if part["type"] == "video":
                raise PromptError(
                    "films cannot be shown to a model here", got="a video part", fix="show frames: as_frames=true"
                )
            places += part["type"] == "image"
            parts.append({**part, "image": next(left, None)} if part["type"] == "image" else part)
        turns.append({**message, "content": parts})
    if places != len(images):
        raise PromptError(
            "each picture has one place in the messages",
            got=f"{places} places, {len(images)} pictures",
            fix="match them",
        )
    return turns


def context(model: Any) -> int:
    """Tokens that the model can hold."""
    config = model.config
    text = getattr(config, "llm_config", None) or config.get_text_config()
    return int(text.max_position_embeddings)


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the model's and the tokenizer's."""
    named = getattr(model.generation_config, "eos_token_id", None)
    own = [named] if isinstance(named, int) else list(named or [])
    return [one for one in dict.fromkeys([*own, tokenizer.eos_token_id]) if one is not None]


def load_answerer(
    name: str | Path,
    *,
    max_new_tokens: int,
    thinks: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> Answerer:
    """A model from a folder or hub repository: ours where it holds a NEO, else one of transformers.

    Args:
        thinks: prompts name `<think>`, which our processor then obeys in every turn, as in post-training.
        dtype: of the weights; that of the files when not given.
        min_pixels, max_pixels: area of a picture; the folder's own when not given.

    Raises:
        CheckpointError: no model that reads pictures.
        ConfigError: bounds for a processor that has none.
    """
    folder = local_folder(name)
    bounds = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    if is_ours(folder):
        settings: dict[str, Any] = {key: value for key, value in bounds.items() if value is not None}
        if thinks:
            settings["markup"] = "everywhere"
        model: Any
        model, processor = load_released(folder, dtype=dtype, **settings)
        return Answerer(str(name), model.to(device), processor, max_new_tokens)
    try:
        family = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
        processor = load_processor(str(folder), family, **bounds)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype or "auto", trust_remote_code=False)
    except PixelWordError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(
            "no model that reads pictures can be loaded from here",
            got=f"{name}: {' '.join(str(error).split())}",
            fix="give a folder or hub name of an image-text-to-text model of transformers, or of ours",
        ) from error
    if not (getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)):
        raise CheckpointError(
            "this model has no chat template, so nobody knows how to ask it",
            got=f"{name}, a {family}",
            fix="save a processor with a chat_template into the folder, or hand in its replies as a file",
        )
    return Answerer(str(name), model.to(device).eval(), processor, max_new_tokens)


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a NEO; some releases call themselves what InternVL calls itself."""
    kind = model_type(folder)
    return kind == "neo_chat" or (kind in MODEL_TYPES and all(name in stored_shapes(folder) for name in TELLING))


def model_type(folder: Path) -> str:
    """What config.json says; empty where it says nothing."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("model_type", "")) if isinstance(content, dict) else ""
