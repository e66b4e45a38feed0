"""The 2B shape in bfloat16 on one CUDA GPU: packed training steps, forward passes and decoding.

    python benchmarks/bench_cuda.py [--peak-tflops 989] [--tokens 8192]
    python benchmarks/bench_cuda.py --device cpu --shape tiny --tokens 256    # does the script itself run?

Three ways to the same attention: flex_attention with our mask from spans, flex_attention with the mask that torch's
`create_block_mask` builds from every pair in every step, and the dense mask under SDPA. A step is forward and backward
under activation checkpointing and a fused AdamW; half of the tokens are supervised.

MFU counts what `pixelword.train.flops.needed_flops` calls needed (only pairs that the mask allows, logits of supervised
positions, no recomputation), over the peak given; 989 TFLOP/s is the dense bfloat16 figure of an H100 or H200. Random
weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from measure import Spread, write_result
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from pixelword.data import PackedBatch
from pixelword.model import NeoForConditionalGeneration, attention, masks, neo_2b, neo_tiny
from pixelword.model.layout import TokenLayout
from pixelword.train.flops import needed_flops

ROUNDS = 5


def build(shape: str, device: str) -> NeoForConditionalGeneration:
    torch.manual_seed(0)
    config = neo_2b() if shape == "2b" else neo_tiny()
    with torch.device(device):
        return NeoForConditionalGeneration(config).to(torch.bfloat16)


def packed(model: NeoForConditionalGeneration, tokens: int, device: str) -> PackedBatch:
    """A row of four samples; one picture is half of each sample, and the words after it are supervised."""
    config, patch = model.config, model.config.vision_config.patch_size
    side = max(int((tokens // 8) ** 0.5) // 2 * 2, 2)
    image, sample = side * side, tokens // 4
    one = torch.randint(0, 200, (sample,))
    one[0], one[1 : 1 + image] = config.image_start_token_id, config.image_token_id
    labels = one.clone()
    labels[: 1 + image] = -100
    grids = torch.tensor([(1, 2 * side, 2 * side)] * 4)
    inputs = {
        "input_ids": one.repeat(4)[None],
        "labels": labels.repeat(4)[None],
        "sample_ids": torch.arange(4).repeat_interleave(sample)[None],
        "image_grid_thw": grids,
        "pixel_values": torch.randn(int(grids.prod(-1).sum()), 3 * patch * patch).to(torch.bfloat16),
    }
    on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
    supervised = 4 * int((labels != -100).sum())
    return PackedBatch(inputs=on_device, weight=float(supervised), tokens=4 * sample, names=(), sources=())


def slow_block_mask(layout: TokenLayout, keys: int, block: int = masks.FLEX_BLOCK) -> BlockMask:
    """The same rule, every pair evaluated."""
    rows, new = layout.own_first.shape
    return create_block_mask(
        masks._mask_mod(layout, keys), rows, None, new, keys, device=layout.own_first.device, BLOCK_SIZE=block
    )


@contextmanager
def mask_built(slowly: bool) -> Iterator[None]:
    fast = attention.block_mask
    attention.block_mask = slow_block_mask if slowly else fast
    try:
        yield
    finally:
        attention.block_mask = fast


def timed(run: Callable[[], object], device: str) -> Spread:
    seconds = []
    for number in range(ROUNDS + 2):  # two warm-ups: the first compiles
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        if number > 1:
            seconds.append(time.perf_counter() - began)
    return Spread.of(seconds)


def peak_gigabytes(device: str) -> float | None:
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else None


def row(what: str, seconds: Spread, tokens: int, flops: float, peak: float, device: str) -> dict[str, Any]:
    made = {
        "what": what,
        "seconds": str(seconds),
        "tokens/s": round(tokens / seconds.median),
        "MFU %": round(100 * flops / seconds.median / (peak * 1e12), 1) if flops else None,
        "peak GiB": peak_gigabytes(device),
    }
    print(made, flush=True)
    return made


def measure(model: NeoForConditionalGeneration, tokens: int, peak: float, device: str) -> list[dict[str, Any]]:
    batch = packed(model, tokens, device)
    step_flops, rows = needed_flops(model, batch), []
    tokens = batch.tokens
    forward_inputs = {name: tensor for name, tensor in batch.inputs.items() if name != "labels"}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> Tensor:
        loss: Tensor = model(**batch.inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    model.activation_checkpointing_enable()
    for name, kernel, slowly in (
        ("flex, mask from spans", "flex_attention", False),
        ("flex, mask from every pair", "flex_attention", True),
        ("sdpa, dense mask", "sdpa", False),
    ):
        model.set_attn_implementation(kernel)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with mask_built(slowly):
            model.train()
            if device == "cuda" or kernel == "sdpa":  # flex_attention has no backward on CPU
                rows.append(row(f"training step, {name}", timed(step, device), tokens, step_flops, peak, device))
            model.eval()
            with torch.no_grad():
                forward = timed(lambda: model(**forward_inputs, logits_to_keep=1, use_cache=False), device)
            rows.append(row(f"forward, {name}", forward, tokens, 0, peak, device))
    ids = torch.randint(0, 200, (16, 64), device=device)
    options = {"max_new_tokens": 64, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    rows.append(row("decode, 16 rows", timed(lambda: model.generate(ids, **options), device), 16 * 64, 0, peak, device))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=("2b", "tiny"), default="2b")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--peak-tflops", type=float, default=989.0)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here; try --device cpu --shape tiny --tokens 256 to see the script run")
        return
    rows = measure(build(asked.shape, asked.device), asked.tokens, asked.peak_tflops, asked.device)
    if asked.device == "cuda":
        print("written:", write_result(f"neo_{asked.shape}", rows, {"tokens": asked.tokens, "rounds": ROUNDS}))


if __name__ == "__main__":
    main()
