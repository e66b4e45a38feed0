"""Low-rank adapters through peft, put into the model in place: it keeps its class and its forward."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from pixelword.errors import MissingExtra
from pixelword.recipe import LoraSettings
from pixelword.train.learns import matched


def add_adapters(model: nn.Module, settings: LoraSettings, seed: int) -> Any:
    """Freeze the model and give the named linear layers adapters, which do nothing yet.

    Returns:
        peft's view of the same model, for saving and merging the adapters.

    Raises:
        ConfigError: a pattern that is no regular expression or matches no linear layer.
        MissingExtra: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise MissingExtra("peft", "train") from error
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for pattern in settings.targets:
        matched(pattern, linear, "a pattern of lora.targets", "linear layer")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number does
        lora_dropout=settings.dropout,
        target_modules="|".join(f"(?:{pattern})" for pattern in settings.targets),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers for checkpointing by its older name.
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        warnings.filterwarnings("ignore", category=FutureWarning, module="peft")
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def own_name(name: str) -> str:
    """The name that a parameter had before adapters came."""
    return name.replace(".base_layer.", ".")


def is_adapter(name: str) -> bool:
    """Whether a parameter is part of an adapter."""
    return ".lora_" in name
