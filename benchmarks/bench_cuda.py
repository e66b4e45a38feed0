"""The 2B shape in bfloat16 on one CUDA GPU: prefill, decoding and a packed training step, flex beside the dense mask.

    python benchmarks/bench_cuda.py [--peak-tflops 989] [--tokens 8192]
    python benchmarks/bench_cuda.py --device cpu --shape tiny --tokens 256    # does the script itself run?

MFU counts the products that the mask needs (2 per weight and token, and per pair of tokens that may attend), over the
peak given; 989 TFLOP/s is the dense bfloat16 figure of an H100 or H200. Random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import Spread, write_result
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration, neo_2b, neo_tiny
from pixelword.model.layout import token_layout

ROUNDS = 5


def build(shape: str, device: str) -> NeoForConditionalGeneration:
    torch.manual_seed(0)
    config = neo_2b() if shape == "2b" else neo_tiny()
    with torch.device(device):
        return NeoForConditionalGeneration(config).to(torch.bfloat16)


def packed(model: NeoForConditionalGeneration, tokens: int, device: str) -> dict[str, Tensor]:
    """A row of samples of a quarter of the tokens each, half of every sample one picture."""
    config, patch = model.config, model.config.vision_config.patch_size
    side = max(int((tokens // 8) ** 0.5) // 2 * 2, 2)
    image, sample = side * side, tokens // 4
    one = torch.randint(0, 200, (sample,))
    one[0], one[1 : 1 + image] = config.image_start_token_id, config.image_token_id
    grids = torch.tensor([(1, 2 * side, 2 * side)] * 4)
    inputs = {
        "input_ids": one.repeat(4)[None],
        "sample_ids": torch.arange(4).repeat_interleave(sample)[None],
        "image_grid_thw": grids,
        "pixel_values": torch.randn(int(grids.prod(-1).sum()), 3 * patch * patch).to(torch.bfloat16),
    }
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def needed_flops(model: NeoForConditionalGeneration, inputs: dict[str, Tensor]) -> float:
    """Floating-point operations of one forward pass, counting only the pairs that the mask allows."""
    text = model.config.llm_config
    layout = token_layout(
        model.config, inputs["input_ids"], inputs["image_grid_thw"], sample_ids=inputs.get("sample_ids")
    )
    pairs = float((layout.own_last - layout.own_first + 1).sum())
    weights = sum(p.numel() for p in model.model.language_model.layers.parameters()) + model.lm_head.weight.numel()
    vision = sum(p.numel() for p in model.model.vision_model.parameters()) * len(inputs["pixel_values"]) / 4
    attention = pairs * text.num_hidden_layers * text.num_attention_heads * 2 * 3 * text.head_dim
    return 2 * weights * inputs["input_ids"].numel() + 2 * vision + attention


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
    inputs = packed(model, tokens, device)
    flops, rows = needed_flops(model, inputs), []
    for kernel in ("flex_attention", "sdpa"):
        model.set_attn_implementation(kernel)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def step() -> None:
            model.zero_grad()
            model(**inputs, labels=inputs["input_ids"].where(inputs["input_ids"] < 200, -100)).loss.backward()

        model.train()
        model.activation_checkpointing_enable()
        rows.append(row(f"training step, {kernel}", timed(step, device), tokens, 3 * flops, peak, device))
        model.eval()
        with torch.no_grad():
            forward = timed(lambda: model(**inputs, logits_to_keep=1, use_cache=False), device)
        rows.append(row(f"forward, {kernel}", forward, tokens, flops, peak, device))
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
