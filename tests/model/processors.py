"""A processor of small pictures, and messages for it."""

from __future__ import annotations

from typing import Any

from pixelword.model.image_processing import NeoImageProcessor
from pixelword.model.processing import NeoProcessor
from tests.model.prompts import tokenizer

SMALL = {"patch_size": 4, "min_pixels": 64, "max_pixels": 1024}


def small_processor(**options: Any) -> NeoProcessor:
    return NeoProcessor(NeoImageProcessor(**SMALL), tokenizer(), **options)


def user(*parts: Any) -> list[dict[str, Any]]:
    """A user's message: strings are texts, None a place for a picture, anything else a picture."""
    content = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            content.append({"type": "image"} if part is None else {"type": "image", "image": part})
    return [{"role": "user", "content": content}]
