"""Processors of transformers, also where a library for films is not installed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

from pixelword.errors import ConfigError

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Families whose processors want torchvision for films, and do without for pictures."""


def load_processor(name: str, family: str, min_pixels: int | None = None, max_pixels: int | None = None) -> Any:
    """The processor of a folder or hub repository.

    Args:
        family: the model type, such as `qwen2_5_vl`.
        min_pixels, max_pixels: area of a picture; the folder's own where None.

    Raises:
        ConfigError: bounds for a processor that has none.
    """
    if family in QWEN and importlib.util.find_spec("torchvision") is None:
        processor = picture_processor(
            family, AutoImageProcessor.from_pretrained(name), AutoTokenizer.from_pretrained(name)
        )
    else:
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=False)
    wanted = {"shortest_edge": min_pixels, "longest_edge": max_pixels}
    bounds = {side: pixels for side, pixels in wanted.items() if pixels is not None}
    if not bounds:
        return processor
    if family not in QWEN:
        raise ConfigError(
            "this model's processor has no bounds of its own", got=family, fix="leave out min_pixels and max_pixels"
        )
    pictures = processor.image_processor
    # What these two sides bound is, whatever they are called, the area.
    pictures.size = type(pictures.size)(**{**dict(pictures.size), **bounds})
    return processor


def picture_processor(family: str, pictures: Any, tokenizer: Any, chat_template: str | None = None) -> Any:
    """A processor of one of Qwen's families that reads pictures alone, which needs no torchvision.

    Args:
        family: the model type, such as `qwen2_5_vl`.
        pictures: its image processor.
        chat_template: that of the tokenizer where None.
    """
    known = importlib.import_module("transformers.models.auto.processing_auto")
    whole = known.processor_class_from_name(known.PROCESSOR_MAPPING_NAMES[family])
    # The constructor asks the class which parts it has; the one for films would import torchvision.
    parts = classmethod(lambda _: ["image_processor", "tokenizer"])
    alone = type(whole.__name__, (whole,), {"get_attributes": parts})
    return alone(pictures, tokenizer, chat_template=chat_template or tokenizer.chat_template)
