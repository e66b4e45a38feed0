"""Claims of the shipped recipes: the published numbers, each with its source; stage 1 trains what the paper says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from pixelword.model import NeoForConditionalGeneration, neo_2b, neo_9b
from pixelword.recipe import Recipe, load_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(FOLDER.glob("neo-*/*.yaml"))
MODELS = {"neo-2b": neo_2b, "neo-9b": neo_9b}

# NEO, table 5, the same for both sizes: rate, end of the cosine, warm-up, steps, side of the largest picture.
PAPER = {
    "pretrain": (8e-4, 0.05, 2000, 190_000, 1024),
    "midtrain": (4e-5, 0.1, 200, 50_000, 2048),
    "sft": (5e-5, 0.0, 200, 6_000, 2048),
}
# The released scripts, where the paper says nothing: tokens of a packed row.
PACKED = {
    ("neo-2b", "pretrain"): 16_384,
    ("neo-2b", "midtrain"): 32_768,
    ("neo-2b", "sft"): 34_816,
    ("neo-9b", "pretrain"): 16_384,
    ("neo-9b", "midtrain"): 18_432,
    ("neo-9b", "sft"): 18_432,
}
ROWS = {"pretrain": 5 * 8, "midtrain": 2 * 8, "sft": 1 * 8}


def shipped(size: str, stage: str) -> Recipe:
    return load_recipe(FOLDER / size / f"{stage}.yaml")


@pytest.mark.parametrize(("size", "stage"), PACKED)
def test_the_stages_have_the_published_numbers(size, stage):
    recipe = shipped(size, stage)
    optimizer = recipe.optimizer
    side = round(recipe.images.max_pixels**0.5)
    assert (optimizer.rate, optimizer.min_rate_share, optimizer.warmup_steps, recipe.steps, side) == PAPER[stage]
    assert (optimizer.name, optimizer.betas, optimizer.eps, optimizer.weight_decay) == (
        "adamw",
        (0.9, 0.999),
        1e-8,
        0.01,
    )
    assert (recipe.images.min_pixels, recipe.packing.max_sample, optimizer.clip) == (256**2, 8192, 1.0)
    assert (recipe.packing.budget, recipe.rows_per_step) == (PACKED[size, stage], ROWS[stage])
    assert recipe.packing.weighting == "square"
    assert recipe.rows_per_step % recipe.data.lanes == 0
    assert recipe.name == f"{size}-{stage}"
    assert (recipe.model.preset == size) == (stage == "pretrain")


@pytest.mark.parametrize("size", MODELS)
def test_text_is_three_tenths_of_the_first_two_stages(size):
    for stage in ("pretrain", "midtrain"):
        weights = {source.name: source.weight for source in shipped(size, stage).data.sources}
        assert weights["text"] / sum(weights.values()) == pytest.approx(0.3)


@pytest.mark.parametrize(("size", "trainable"), [("neo-2b", 864_878_592), ("neo-9b", 2_056_061_952)])
def test_the_first_stage_trains_exactly_the_published_parameters(size, trainable):
    with torch.device("meta"):
        model = NeoForConditionalGeneration(MODELS[size]())
    patterns = shipped(size, "pretrain").learns
    parameters = dict(model.named_parameters())
    learns = [name for name in parameters if any(re.fullmatch(pattern, name) for pattern in patterns)]
    assert sum(parameters[name].numel() for name in learns) == trainable
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in parameters), pattern
    assert all(re.fullmatch(r".*", name) for name in parameters)
    assert shipped(size, "midtrain").learns == shipped(size, "sft").learns == (".*",)


def test_the_recipe_for_24_gigabytes_keeps_weights_and_adapters_within_them():
    """Weights in bf16 and adapters in float32 with gradient and two averages; activations have the rest."""
    recipe = shipped("neo-2b", "sft-24gb")
    with torch.device("meta"):
        model = NeoForConditionalGeneration(neo_2b(tie_word_embeddings=False))
    assert recipe.lora is not None
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    adapted = [module for name, module in linear.items() if any(re.fullmatch(p, name) for p in recipe.lora.targets)]
    assert len(adapted) == len(linear) - 1, "every linear layer but the head"
    adapters = sum(recipe.lora.rank * (module.in_features + module.out_features) for module in adapted)
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert 2 * weights + 16 * adapters < 8e9
    assert recipe.packing.budget <= 8192
    assert recipe.data.lanes == recipe.rows_per_batch == 1
    assert recipe.model.checkpoint == shipped("neo-2b", "sft-released").model.checkpoint == "Paranioar/NEO1_0-2B-SFT"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_number_has_its_source_beside_or_above_it(path):
    load_recipe(path)
    lines = path.read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        key, colon, value = line.partition("#")[0].partition(":")
        number = isinstance(yaml.safe_load(value.strip() or "x"), int | float | list | bool)
        if colon and number and not key.strip().startswith("-"):
            assert re.search(r"#.*\b(paper|script|ours)\b", f"{above if above[:1] == '#' else ''}{line}"), line


def test_all_recipes_are_shipped():
    names = {f"{path.parent.name}/{path.stem}" for path in SHIPPED}
    assert {f"{size}/{stage}" for size, stage in PACKED} <= names
    assert {"neo-2b/sft-released", "neo-2b/sft-24gb"} <= names
