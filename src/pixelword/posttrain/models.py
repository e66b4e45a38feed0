"""The model of a recipe and its processor: ours, or any image-text-to-text model of transformers."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from pixelword.answering import load_processor
from pixelword.answering.answerer import UNREADABLE
from pixelword.errors import BackendError, CheckpointError, MissingExtra, PixelWordError
from pixelword.model import NeoConfig, NeoForConditionalGeneration, NeoProcessor
from pixelword.posttrain.settings import PosttrainRecipe, StartSettings
from pixelword.recipe import LoraSettings


def load_start(start: StartSettings, *, thinks: bool) -> tuple[PreTrainedModel, Any]:
    """The model in training dtype, and its processor.

    Args:
        thinks: prompts name `<think>`, which our processor obeys in every turn then.

    Raises:
        CheckpointError: the folder is none of a model that reads pictures.
    """
    name = start.checkpoint
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        if isinstance(config, NeoConfig):
            bounds = {"min_pixels": start.min_pixels, "max_pixels": start.max_pixels}
            pixels = {key: value for key, value in bounds.items() if value is not None}
            processor: Any = NeoProcessor.from_pretrained(
                name, **pixels, markup="everywhere" if thinks else "assistant"
            )
            model: PreTrainedModel = NeoForConditionalGeneration.from_pretrained(
                name, dtype=getattr(torch, start.dtype)
            )
        else:
            processor = load_processor(name, config.model_type, start.min_pixels, start.max_pixels)
            model = AutoModelForImageTextToText.from_pretrained(
                name, dtype=getattr(torch, start.dtype), trust_remote_code=False
            )
    except PixelWordError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(
            "no model that reads pictures can be loaded from here",
            got=f"{name}: {' '.join(str(error).split())}",
            fix="set model.checkpoint to a folder or hub name of such a model of transformers, or of ours",
        ) from error
    return model, processor


def lora_config(lora: LoraSettings) -> Any:
    """peft's configuration.

    Raises:
        MissingExtra: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ModuleNotFoundError as error:
        raise MissingExtra("peft", "train") from error
    make: Any = LoraConfig
    return make(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=f"({'|'.join(lora.targets)})"
    )


def check_engine(recipe: PosttrainRecipe, model: PreTrainedModel) -> None:
    """vLLM only where it is installed and knows the model.

    Raises:
        BackendError: it does not know the model.
        MissingExtra: it is not installed.
    """
    if recipe.grpo.vllm == "off":
        return
    if isinstance(model, NeoForConditionalGeneration):
        raise BackendError(
            "vLLM does not know our model", got=f"grpo.vllm {recipe.grpo.vllm}", fix="set grpo.vllm: off"
        )
    if importlib.util.find_spec("vllm") is None:
        raise BackendError(
            "vLLM is not installed", got=f"grpo.vllm {recipe.grpo.vllm}", fix="install vllm, or set grpo.vllm: off"
        )
    registry: Any = importlib.import_module("vllm").ModelRegistry
    known = set(registry.get_supported_archs())
    wanted = list(model.config.architectures or [type(model).__name__])
    if not known & set(wanted):
        raise BackendError(
            "this vLLM does not know the model", got=", ".join(wanted), fix="set grpo.vllm: off, or another version"
        )
