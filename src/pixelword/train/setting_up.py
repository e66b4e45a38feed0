"""From a recipe to everything that a run needs: model, processor, what learns, and the loader of one rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pixelword.convert import fitting_processor, load_released, neo_from_qwen3, neo_tokenizer, token_settings
from pixelword.data import PackedLoader, build_loader, check_lanes, open_source
from pixelword.errors import ConfigError
from pixelword.model import NeoConfig, NeoForConditionalGeneration, neo_2b, neo_9b, neo_tiny
from pixelword.model.processing import NeoProcessor
from pixelword.recipe import ModelSettings, Recipe
from pixelword.train import learns
from pixelword.train.adapters import add_adapters, own_name
from pixelword.train.muon import optimiser_for

PRESETS = {"neo-2b": neo_2b, "neo-9b": neo_9b, "neo-tiny": neo_tiny}
FROM_THE_PRESET = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")


@dataclass(frozen=True)
class Prepared:
    """A run before its first step.

    Attributes:
        recipe: as it was given.
        model: on the CPU, in training mode; exactly `learning` requires gradients.
        processor: of the model; with the recipe's image settings it is `loader.encoder.processor`.
        loader: packed rows of this rank.
        learning: names of the parameters that train.
        parts: what trains and what is frozen, part by part.
        adapted: the model as peft sees it; None without adapters.
    """

    recipe: Recipe
    model: NeoForConditionalGeneration
    processor: NeoProcessor
    loader: PackedLoader
    learning: list[str]
    parts: list[learns.PartLearns]
    adapted: Any = None


def prepare(recipe: Recipe, *, rank: int = 0, ranks: int = 1) -> Prepared:
    """Open the data, build the model, choose what learns. No row is read and nothing is written.

    The data comes first: a model may take minutes to arrive, and a wrong path should not wait for it.

    Args:
        recipe: what to do.
        rank, ranks: which of how many processes; only the loader depends on them.

    Raises:
        PixelWordError: the recipe asks for something that is not there or does not fit; each says what.
    """
    check_lanes(recipe, rank, ranks)
    sources = [open_source(source) for source in recipe.data.sources]
    model, processor = build_model(recipe)
    learning, adapted = choose(recipe, model)
    loader = build_loader(recipe, processor, rank=rank, ranks=ranks, sources=sources)
    return Prepared(recipe, model, processor, loader, learning, table_of(recipe, model), adapted)


def build_model(recipe: Recipe) -> tuple[NeoForConditionalGeneration, NeoProcessor]:
    """The model that the stage starts from, in the recipe's dtype, and its processor.

    Raises:
        CheckpointError: a folder that is not what the recipe says.
        ConfigError: a preset that does not fit the language model, or no tokenizer.
    """
    settings, dtype = recipe.model, getattr(torch, recipe.model.dtype)
    if settings.checkpoint is not None:
        return load_released(settings.checkpoint, dtype=dtype)
    source = settings.tokenizer or settings.language_model
    if source is None:
        raise ConfigError(
            "a model whose weights are all drawn needs a tokenizer",
            got="model.language_model null, model.tokenizer null",
            fix="set model.tokenizer to a folder or hub name",
        )
    tokenizer = neo_tokenizer(source)
    assert settings.preset is not None
    preset = PRESETS[settings.preset]()
    if settings.language_model is None:
        model = drawn(settings, tokenizer, recipe.seed)
    else:
        model = neo_from_qwen3(
            settings.language_model,
            pre_buffer_layers=preset.llm_config.extra_num_layers,
            vision=vision_of(preset),
            seed=recipe.seed,
            rope_theta_hw=preset.llm_config.rope_theta_hw,
            **token_settings(tokenizer),
        )
        check_preset(settings, preset, model.config)
    return model.to(dtype), fitting_processor(model, tokenizer)


def drawn(settings: ModelSettings, tokenizer: Any, seed: int) -> NeoForConditionalGeneration:
    """A model of the preset's shape with random weights; the global generator is left as it was."""
    assert settings.preset is not None
    words = -(-len(tokenizer) // 64) * 64
    preset = PRESETS[settings.preset]()
    size = {"vocab_size": words} if words > preset.llm_config.vocab_size else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NeoForConditionalGeneration(PRESETS[settings.preset](**token_settings(tokenizer), **size))


def vision_of(preset: NeoConfig) -> dict[str, Any]:
    keys = ("patch_size", "hidden_size", "min_pixels", "max_pixels")
    return {key: getattr(preset.vision_config, key) for key in keys}


def check_preset(settings: ModelSettings, preset: NeoConfig, built: NeoConfig) -> None:
    """Raises:
    ConfigError: the language model does not have the preset's shape.
    """
    sizes = (*FROM_THE_PRESET, "num_hidden_layers")
    pairs = {key: (getattr(preset.llm_config, key), getattr(built.llm_config, key)) for key in sizes}
    if differing := [f"{key} {wanted}, not {got}" for key, (wanted, got) in pairs.items() if wanted != got]:
        raise ConfigError(
            f"{settings.language_model} does not have the shape of {settings.preset}",
            got="; ".join(differing),
            fix="choose the preset that belongs to the language model, pre-Buffer layers counted",
        )


def choose(recipe: Recipe, model: NeoForConditionalGeneration) -> tuple[list[str], Any]:
    """Let exactly train what the recipe says, in float32; put adapters in.

    Returns:
        The names of the parameters that train, and the model as peft sees it, or None.

    Raises:
        ConfigError: a pattern that matches nothing.
        MissingExtra: adapters without peft.
    """
    chosen = set(learns.select(model, recipe.learns)) if recipe.learns else set()
    adapted = None
    if recipe.lora is not None:
        adapted = add_adapters(model, recipe.lora, recipe.seed)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or own_name(name) in chosen)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    # With and without pictures alike: the optimiser and other ranks must meet the same gradients in every step.
    model.model.every_batch_looks = any(parameter.requires_grad for parameter in model.model.vision_model.parameters())
    model.train()
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad], adapted


def table_of(recipe: Recipe, model: nn.Module) -> list[learns.PartLearns]:
    """What trains, what is frozen, how many parameters, and with which rate."""
    rate = f"{recipe.optimizer.rate:g}"
    optimisers = {
        name: f"{optimiser_for(name, parameter) if recipe.optimizer.name == 'muon' else 'AdamW'} {rate}"
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    return learns.table(model, optimisers)
