"""The released sizes on the meta device: every count and every tensor name of NEO-2B and NEO-9B.

The numbers are those of the published tables and of arithmetic on the published shapes, not of this code.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
import torch

from pixelword.convert import parameter_counts
from pixelword.model import NeoForConditionalGeneration, neo_2b, neo_9b
from pixelword.model.checkpoint import released_name

SIZES = {"2B": neo_2b, "9B": neo_9b}
COUNTS = {
    "2B": {
        "patch embedding": 9_178_112,
        "pre-Buffer": 679_532_544,
        "language model": 1_585_575_936 - 176_167_936,
        "height and width weights": 176_167_936,
        "final norm": 2_048,
        "word embedding": 311_164_928,
        "head": 311_164_928,
    },
    "9B": {
        "patch embedding": 17_568_768,
        "pre-Buffer": 1_283_509_248,
        "language model": 7_701_055_488 - 754_983_936,
        "height and width weights": 754_983_936,
        "final norm": 4_096,
        "word embedding": 622_329_856,
        "head": 622_329_856,
    },
}
TOTALS = {("2B", False): 2_896_618_496, ("2B", True): 2_585_453_568, ("9B", False): 10_246_797_312}
STAGE_1 = {"2B": 864_878_592, "9B": 2_056_061_952}
BLOCK = {"2B": 56_627_712, "9B": 213_918_208}


@cache
def on_meta(size: str, tied: bool = False) -> NeoForConditionalGeneration:
    with torch.device("meta"):
        return NeoForConditionalGeneration(SIZES[size](tie_word_embeddings=tied))


@pytest.mark.parametrize("size", SIZES)
def test_every_part_has_its_published_number_of_parameters(size):
    assert parameter_counts(on_meta(size)) == COUNTS[size]
    layers = on_meta(size).model.language_model.layers
    assert {sum(parameter.numel() for parameter in layer.parameters()) for layer in layers} == {BLOCK[size]}


@pytest.mark.parametrize(("size", "tied"), TOTALS)
def test_the_parts_add_up_to_the_published_total(size, tied):
    model = on_meta(size, tied)
    assert sum(parameter_counts(model).values()) == TOTALS[size, tied]
    assert sum(parameter.numel() for parameter in model.parameters()) == TOTALS[size, tied]


@pytest.mark.parametrize("size", SIZES)
def test_what_stage_1_trains_adds_up_to_the_published_number(size):
    """The published rule by released names: pixels, the first layers, and the new weights of all others."""
    model, total = on_meta(size), 0
    depth = {"2B": 12, "9B": 6}[size]
    for ours, parameter in model.named_parameters():
        name = released_name(ours)
        layer = re.match(r"language_model\.model\.layers\.(\d+)\.", name)
        new = name.endswith(
            tuple(
                f"{part}.weight" for part in ("q_proj_hw", "k_proj_hw", "q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w")
            )
        )
        if name.startswith("vision_model.") or (layer and int(layer[1]) < depth) or new:
            total += parameter.numel()
    assert total == STAGE_1[size]
    counts = parameter_counts(model)
    assert total == counts["patch embedding"] + counts["pre-Buffer"] + counts["height and width weights"]


def published_shapes(size: str) -> dict[str, tuple[int, ...]]:
    """The tensor list of a released checkpoint, written out from the tables."""
    width, queries, mlp, layers = {"2B": (2048, 2048, 6144, 40), "9B": (4096, 4096, 12288, 42)}[size]
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.patch_embedding.weight": (1024, 3, 16, 16),
        "vision_model.embeddings.patch_embedding.bias": (1024,),
        "vision_model.embeddings.dense_embedding.weight": (width, 1024, 2, 2),
        "vision_model.embeddings.dense_embedding.bias": (width,),
        "language_model.model.embed_tokens.weight": (151936, width),
        "language_model.model.norm.weight": (width,),
        "language_model.lm_head.weight": (151936, width),
    }
    for number in range(layers):
        block: dict[str, tuple[int, ...]] = {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (queries, width),
            "self_attn.q_proj_hw": (queries, width),
            "self_attn.k_proj": (1024, width),
            "self_attn.k_proj_hw": (1024, width),
            "self_attn.v_proj": (1024, width),
            "self_attn.o_proj": (width, queries),
            "self_attn.q_norm": (128,),
            "self_attn.k_norm": (128,),
            "self_attn.q_norm_h": (64,),
            "self_attn.q_norm_w": (64,),
            "self_attn.k_norm_h": (64,),
            "self_attn.k_norm_w": (64,),
            "mlp.gate_proj": (mlp, width),
            "mlp.up_proj": (mlp, width),
            "mlp.down_proj": (width, mlp),
        }
        shapes |= {f"language_model.model.layers.{number}.{name}.weight": shape for name, shape in block.items()}
    return shapes


@pytest.mark.parametrize(("size", "tensors"), [("2B", 687), ("9B", 721)])
def test_the_tensors_on_disk_have_the_published_names_and_shapes(size, tensors):
    stored = {released_name(name): tuple(tensor.shape) for name, tensor in on_meta(size).state_dict().items()}
    assert stored == published_shapes(size)
    assert len(stored) == tensors
