"""Tiny models and the recorded reference runs that the tests of the model share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pixelword.model import NeoConfig, NeoForConditionalGeneration, neo_tiny

FIXTURES = Path(__file__).parent.parent / "fixtures" / "neo"
IMAGE, START, END, PAD = 261, 262, 263, 256


class Recorded:
    """One recorded run of the reference implementation."""

    def __init__(self, variant: str, case: str) -> None:
        self.tensors = load_file(FIXTURES / f"infer_{variant}_{case}.safetensors")
        pixels = self.tensors.get("pixel_values")
        if pixels is None:  # the untied files leave out pixels, which are those of the tied ones
            pixels = load_file(FIXTURES / f"infer_tied_{case}.safetensors").get("pixel_values")
        self.pixel_values = pixels
        grids = self.tensors.get("grid_hw")
        self.image_grid_thw = None if grids is None else grids_of(grids)
        self.input_ids = self.tensors["input_ids"][None]
        self.generated_ids = self.tensors["generated_ids"]

    @property
    def inputs(self) -> dict[str, Tensor]:
        images = {"pixel_values": self.pixel_values, "image_grid_thw": self.image_grid_thw}
        return {"input_ids": self.input_ids} | {name: tensor for name, tensor in images.items() if tensor is not None}


def grids_of(grid_hw: Tensor) -> Tensor:
    return torch.cat((torch.ones(len(grid_hw), 1, dtype=torch.long), grid_hw), dim=1)


@pytest.fixture(scope="session")
def recorded() -> Callable[[str, str], Recorded]:
    return Recorded


@pytest.fixture(scope="session")
def goldens() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / "goldens.json").read_text())
    return loaded


@pytest.fixture(scope="session")
def reference_model() -> Callable[[str], NeoForConditionalGeneration]:
    """The reference's random checkpoint, loaded once per variant; tests set the kernel they want."""
    loaded: dict[str, NeoForConditionalGeneration] = {}

    def load(variant: str) -> NeoForConditionalGeneration:
        if variant not in loaded:
            loaded[variant] = NeoForConditionalGeneration.from_pretrained(FIXTURES / variant).eval()
        return loaded[variant]

    return load


def small_config(**overrides: Any) -> NeoConfig:
    """Grouped heads, a pre-Buffer, two-pixel patches: every part of the model, in a few thousand weights."""
    small: dict[str, Any] = {
        "vocab_size": 384,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "extra_num_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 2,
        "vision_hidden_size": 16,
        "img_context_token_id": IMAGE,
        "img_start_token_id": START,
        "min_pixels": 16,
        "max_pixels": 4096,
    }
    return neo_tiny(**small | overrides)


def small_model(seed: int = 0, **overrides: Any) -> NeoForConditionalGeneration:
    """Random weights large enough that every term of the attention matters."""
    torch.manual_seed(seed)
    model = NeoForConditionalGeneration(small_config(**overrides)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def prompt(*parts: str | tuple[int, int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids and patch grids of a prompt: a string is its bytes, (rows, columns) an image of merged tokens."""
    ids: list[int] = []
    grids: list[tuple[int, int]] = []
    for part in parts:
        if isinstance(part, str):
            ids += list(part.encode())
        else:
            ids += [START, *[IMAGE] * (part[0] * part[1]), END]
            grids.append((2 * part[0], 2 * part[1]))
    return ids, grids


def batch(*prompts: tuple[list[int], list[tuple[int, int]]], seed: int = 1) -> dict[str, Tensor]:
    """Left-padded model inputs with random pixels; the pixels of an image depend on its number in the batch only."""
    longest = max(len(ids) for ids, _ in prompts)
    input_ids = torch.full((len(prompts), longest), PAD)
    attention_mask = torch.zeros_like(input_ids)
    for row, (ids, _) in enumerate(prompts):
        input_ids[row, longest - len(ids) :] = torch.tensor(ids)
        attention_mask[row, longest - len(ids) :] = 1
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    grids = [grid for _, row in prompts for grid in row]
    if grids:
        generator = torch.Generator().manual_seed(seed)
        inputs["image_grid_thw"] = torch.tensor([(1, *grid) for grid in grids])
        inputs["pixel_values"] = torch.cat(
            [torch.randn(rows * columns, 12, generator=generator) for rows, columns in grids]
        )
    return inputs
