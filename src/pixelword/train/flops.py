"""Floating-point operations that a step needs, and how many the machine could do.

Needed means: of the tokens that are no padding, the pairs that attention allows, logits of supervised positions, and
no gradient of what is frozen. What is recomputed under checkpointing is not counted.
"""

from __future__ import annotations

import time
from functools import cache

import torch
from torch import nn

from pixelword.data import PackedBatch
from pixelword.model import NeoForConditionalGeneration
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
    """Operations of forward and backward of a micro-batch (one multiplication and addition counts two)."""
    inputs = batch.inputs
    patches = len(inputs.get("pixel_values", ()))
    merge = model.config.vision_config.merge_size
    supervised = int((inputs["labels"][:, 1:] != IGNORED).sum())
    backbone, vision = model.model.language_model, model.model.vision_model.embeddings
    flops = 0.0
    for module, rows in (
        (backbone.layers, batch.tokens),
        (vision.dense_embedding, patches // merge**2),
        (model.lm_head, supervised),
    ):
        flops += sum(2.0 * size * (2 + trains) * rows for size, trains in matrices(module))
    flops += sum(2.0 * size * (1 + trains) * patches for size, trains in matrices(vision.patch_embedding))
    text = model.config.llm_config
    # Forward: scores with 2d channels and values with d, per pair and head; backward twice that.
    per_pair = 3 * 6.0 * text.head_dim * text.num_attention_heads * text.num_hidden_layers
    return flops + per_pair * pairs(batch, merge)


def matrices(module: nn.Module) -> list[tuple[int, bool]]:
    """Size of every matrix or kernel inside, and whether it trains."""
    return [(p.numel(), p.requires_grad) for p in module.parameters() if p.ndim >= 2]


def pairs(batch: PackedBatch, merge: int) -> float:
    """Query and key pairs that attention allows: causal in a sample, all inside an image."""
    inputs = batch.inputs
    total = 0.0
    for row in inputs["sample_ids"]:
        lengths = torch.bincount(row[row >= 0]).double()
        total += float((lengths * (lengths + 1) / 2).sum())
    if "image_grid_thw" in inputs:
        tokens = inputs["image_grid_thw"].prod(-1).double() / merge**2
        total += float((tokens * (tokens - 1) / 2).sum())
    return total


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
