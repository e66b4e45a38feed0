"""A tiny model in place of a large one, for a trial of the resume in little time; what learns stays what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from pixelword.convert import save_released
from pixelword.model import NeoForConditionalGeneration, NeoProcessor, neo_tiny
from pixelword.recipe import Recipe
from pixelword.train.adapters import is_adapter, own_name

VISION = "model.vision_model."
LAYER = re.compile(r"(model\.language_model\.layers\.)(\d+)(\..+)")


def small_recipe(
    recipe: Recipe, model: NeoForConditionalGeneration, processor: NeoProcessor, folder: Path
) -> tuple[Recipe, str]:
    """The recipe with a tiny model of the same vocabulary and patches in place of its own.

    What learns and what gets adapters is named anew: every pattern by the parts of the tiny model that stand for those
    it matches in the large one.

    Args:
        recipe: whose data, packing, optimiser and schedule stay.
        model, processor: of the recipe.
        folder: where the tiny model is written.

    Returns:
        The recipe, and what stands in for what, in words for a note.
    """
    tiny = drawn(recipe, model)
    save_released(tiny, processor, folder)
    learns = _standing(
        recipe.learns, [own_name(n) for n, _ in model.named_parameters() if not is_adapter(n)], model, tiny
    )
    lora, told = recipe.lora, " of a tiny model in place of the large one"
    if lora is not None:
        targets = _standing(lora.targets, linear_layers(model), model, tiny, linear_layers(tiny))
        lora = lora.model_copy(update={"targets": targets}) if targets else None
        told += f", with adapters on {len(targets)} layers" if targets else ", adapters not tried"
    if lora is None and not learns:
        learns = (".*",)
    start = recipe.model.model_copy(update={"preset": None, "language_model": None, "checkpoint": str(folder)})
    changes = {
        "model": start,
        "learns": learns,
        "lora": lora,
        "data": recipe.data.model_copy(update={"lanes": 1}),
        "rows_per_batch": 1,
        "rows_per_step": 1,
    }
    return recipe.model_copy(update=changes), told


def drawn(recipe: Recipe, model: NeoForConditionalGeneration) -> NeoForConditionalGeneration:
    """Two layers, the first of them a pre-Buffer if the large model has one, and a patch embedding."""
    text, vision = model.config.llm_config, model.config.vision_config
    config = neo_tiny(
        vocab_size=text.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        extra_num_layers=min(1, text.extra_num_layers),
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=text.tie_word_embeddings,
        patch_size=vision.patch_size,
        vision_hidden_size=16,
        img_context_token_id=model.config.img_context_token_id,
        img_start_token_id=model.config.img_start_token_id,
        eos_token_id=text.eos_token_id,
        template=model.config.template,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return NeoForConditionalGeneration(config)


def linear_layers(model: nn.Module) -> list[str]:
    """Names of the layers that can have an adapter, as they were before adapters came."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [name.removesuffix(".base_layer") for name in linear if not is_adapter(name)]


def _standing(
    patterns: Sequence[str],
    names: Iterable[str],
    model: NeoForConditionalGeneration,
    tiny: NeoForConditionalGeneration,
    known: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Patterns of the names in the tiny model that stand for the names that these patterns match in the large one."""
    known = [name for name, _ in tiny.named_parameters()] if known is None else known
    depth, tiny_depth = (one.config.llm_config.extra_num_layers for one in (model, tiny))
    meant = {
        place
        for name in names
        if any(re.fullmatch(pattern, name) for pattern in patterns)
        for place in _places(name, depth, tiny_depth, known)
    }
    return tuple(re.escape(name) for name in known if name in meant)


def _places(name: str, depth: int, tiny_depth: int, known: Sequence[str]) -> list[str]:
    """The pre-Buffer is the first layer of the tiny model, the rest its last; an encoder is all that sees."""
    if layer := LAYER.fullmatch(name):
        before, number, rest = layer[1], int(layer[2]), layer[3]
        name = f"{before}{0 if number < depth else min(tiny_depth + number - depth, 1)}{rest}"
    if name not in known and name.startswith(VISION):
        return [other for other in known if other.startswith(VISION)]
    return [name]
