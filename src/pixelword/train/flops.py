"""Floating-point operations that a step needs, and how many the machine could do.

Needed means: of the tokens that are no padding, the pairs that attention allows, logits of supervised positions, and
no gradient of what is frozen. What is recomputed under checkpointing is not counted.
"""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from pixelword.data import PackedBatch
from pixelword.model import NeoConfig, NeoForConditionalGeneration
from pixelword.model.loss import IGNORED

DENSE_BF16 = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "L4": 121e12,
    "A10": 125e12,
}
"""Dense bfloat16 operations per second of the data sheets, by a part of the device's name, the longer first."""


def needed_flops(model: NeoForConditionalGeneration, batch: PackedBatch) -> float:
    """Operations of forward and backward of a micro-batch (one multiplication and addition counts two).

    The last layer needs queries, output and MLP of the supervised positions only, keys and values of all.
    """
    inputs = batch.inputs
    patches = len(inputs.get("pixel_values", ()))
    merge = model.config.vision_config.merge_size
    read_BN = nn.functional.pad(inputs["labels"][:, 1:] != IGNORED, (0, 1))
    supervised = int(read_BN.sum())
    layers, vision = model.model.language_model.layers, model.model.vision_model.embeddings
    flops = 0.0
    for module, rows in (
        (layers[:-1], batch.tokens),
        (_keys_values(layers[-1]), batch.tokens),
        (vision.dense_embedding, patches // merge**2),
        (model.lm_head, supervised),
    ):
        flops += sum(2.0 * size * (2 + trains) * rows for size, trains in matrices(module))
    flops += sum(2.0 * size * (2 + trains) * supervised for size, trains in matrices(layers[-1]))
    flops -= sum(2.0 * size * (2 + trains) * supervised for size, trains in matrices(_keys_values(layers[-1])))
    flops += sum(2.0 * size * (1 + trains) * patches for size, trains in matrices(vision.patch_embedding))
    pairs_BN = pairs(batch, model.config)
    text = model.config.llm_config
    # Forward: scores with 2d channels and values with d, per pair and head; backward twice that.
    per_pair = 3 * 6.0 * text.head_dim * text.num_attention_heads
    return flops + per_pair * (float(pairs_BN.sum()) * (len(layers) - 1) + float(pairs_BN[read_BN].sum()))


def _keys_values(layer: nn.Module) -> nn.ModuleList:
    attention: Any = layer.self_attn
    return nn.ModuleList([attention.k_proj, attention.k_proj_hw, attention.v_proj])


def matrices(module: nn.Module) -> list[tuple[int, bool]]:
    """Size of every matrix or kernel inside, and whether it trains."""
    # DeepSpeed's ZeRO-3 leaves nothing in a parameter between two uses, and keeps its shape beside it.
    shapes = [(getattr(p, "ds_shape", p.shape), p.requires_grad) for p in module.parameters()]
    return [(math.prod(shape), trains) for shape, trains in shapes if len(shape) >= 2]


def pairs(batch: PackedBatch, config: NeoConfig) -> Tensor:
    """(B, N) float64: how many keys attention allows each token: those before it in its sample, all of its image."""
    inputs = batch.inputs
    samples_BN = inputs["sample_ids"]
    place_N = torch.arange(samples_BN.shape[1], device=samples_BN.device)
    begins_BN = nn.functional.pad(samples_BN[:, 1:] != samples_BN[:, :-1], (1, 0), value=True)
    first_BN = torch.where(begins_BN, place_N, 0).cummax(1).values
    allowed_BN = torch.where(samples_BN >= 0, place_N - first_BN + 1, 0).double()
    if "image_grid_thw" in inputs:
        tokens = inputs["image_grid_thw"].prod(-1) // config.vision_config.merge_size**2
        behind = torch.cat([torch.arange(int(count) - 1, -1, -1) for count in tokens]).double()
        allowed_BN[inputs["input_ids"] == config.image_token_id] += behind.to(allowed_BN.device)
    return allowed_BN


@cache
def peak_flops(device: torch.device, dtype: str) -> float:
    """Operations per second of the device: of its data sheet (bfloat16) where known, else of a product."""
    if device.type == "cuda" and dtype == "bfloat16":
        name = torch.cuda.get_device_name(device)
        for part in sorted(DENSE_BF16, key=len, reverse=True):
            if part in name:
                return DENSE_BF16[part]
    return measured_flops(device, dtype)


def measured_flops(device: torch.device, dtype: str) -> float:
    side = 8192 if device.type == "cuda" else 1024
    matrix = torch.ones(side, side, dtype=getattr(torch, dtype), device=device)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        product = matrix @ matrix
        product[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2.0 * side**3 / best
