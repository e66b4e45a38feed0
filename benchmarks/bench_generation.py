"""Decoding and prefill of the 29.9 M configuration, beside the reference's formulas, in one run.

    python benchmarks/bench_generation.py [--rounds 7]

Whole `generate()` calls are timed, transformers' own overhead included. Decoding is 64 tokens after a prompt of 512
(256 of one picture): a call for 65 tokens less a call for one. Prefill is 1024 tokens, 512 of them of one picture.
The other side is `reference_formulas.py` with the same weights, in float32 and one row, which is all it can do; the
ratios of batches compare tokens per second in total, and those of bfloat16 compare with its float32.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import copy
from typing import Any

import torch
from measure import Spread, in_turn, matrix_peak, ratios, reading_rate, write_result
from reference_formulas import ReferenceNeo, Shape
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration, neo_2b
from pixelword.model.checkpoint import released_name
from pixelword.model.decoding import prepare_for_decoding, use_plain_decoding

IMAGE, START, NEW = 8000, 8001, 64
GIGABYTES = 0.097
"""Weights that one decoded token reads in float32."""

Prompt = tuple[Tensor, Tensor, Tensor, tuple[int, int]]


def models() -> tuple[ReferenceNeo, NeoForConditionalGeneration]:
    """Both sides with one set of random weights."""
    torch.manual_seed(0)
    ours = NeoForConditionalGeneration(
        neo_2b(
            hidden_size=384,
            num_hidden_layers=8,
            extra_num_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=64,
            intermediate_size=1792,
            vocab_size=8192,
            vision_hidden_size=1024,
            img_context_token_id=IMAGE,
            img_start_token_id=START,
            min_pixels=1024,
            eos_token_id=None,
        )
    ).eval()
    ours.set_attn_implementation("sdpa")
    reference = ReferenceNeo(Shape(), IMAGE).eval()
    reference.load_state_dict({released_name(name): tensor for name, tensor in ours.state_dict().items()})
    return reference, ours


def prompt(tokens: int, rows: int, columns: int) -> Prompt:
    """Ids (1, n), indices (3, n), pixels and the patch grid of a prompt with one picture after 31 words."""
    generator = torch.Generator().manual_seed(1)
    image, start = rows * columns // 4, 32
    ids = torch.randint(0, 7900, (1, tokens), generator=generator)
    ids[0, start - 1], ids[0, start : start + image] = START, IMAGE
    t = torch.arange(tokens)
    t[start : start + image] = start
    t[start + image :] = torch.arange(tokens - start - image) + start + 1
    indices = torch.zeros(3, tokens, dtype=torch.long)
    nth = torch.arange(image)
    indices[0], indices[1, start : start + image] = t, nth // (columns // 2)
    indices[2, start : start + image] = nth % (columns // 2)
    return ids, indices, torch.randn(rows * columns, 768, generator=generator), (rows, columns)


def answer(model: NeoForConditionalGeneration, given: Prompt, batch: int, new: int) -> Tensor:
    ids, _, pixels, (rows, columns) = given
    out: Tensor = model.generate(
        input_ids=ids.expand(batch, -1),
        attention_mask=torch.ones_like(ids).expand(batch, -1),
        pixel_values=pixels.repeat(batch, 1).to(model.dtype),
        image_grid_thw=torch.tensor([(1, rows, columns)] * batch),
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return out


def reference_answer(model: ReferenceNeo, given: Prompt, new: int) -> Any:
    ids, indices, pixels, grid = given
    return model.greedy(ids, indices, pixels, [grid], new)


def decoding_rows(reference: ReferenceNeo, ours: NeoForConditionalGeneration, rounds: int) -> list[dict[str, Any]]:
    given, rows = prompt(512, 32, 32), []
    in_bfloat16 = copy.deepcopy(ours).to(torch.bfloat16)
    cases = [
        ("plain path, float32", ours, 1, None),
        ("eager, float32", ours, 1, False),
        ("compiled, float32", ours, 1, True),
        ("compiled, bfloat16", in_bfloat16, 1, True),
        ("eager, float32", ours, 16, False),
        ("compiled, float32", ours, 16, True),
        ("compiled, bfloat16", in_bfloat16, 16, True),
    ]
    for name, model, batch, compiled in cases:
        torch._dynamo.reset()  # the models share functions; together they would pass its limit of forms of one function
        if compiled is None:
            use_plain_decoding(model)
        else:
            prepare_for_decoding(model, compile=compiled)
        sides = {
            "reference, 1": lambda: reference_answer(reference, given, 1),
            "reference, all": lambda: reference_answer(reference, given, NEW + 1),
            "ours, 1": lambda model=model, batch=batch: answer(model, given, batch, 1),
            "ours, all": lambda model=model, batch=batch: answer(model, given, batch, NEW + 1),
        }
        seconds = in_turn(sides, rounds)
        slow = [every - one for every, one in zip(seconds["reference, all"], seconds["reference, 1"], strict=True)]
        fast = [every - one for every, one in zip(seconds["ours, all"], seconds["ours, 1"], strict=True)]
        rate = Spread.of([batch * NEW / second for second in fast])
        rows.append(
            {
                "what": f"decode, {name}",
                "batch": batch,
                "ours tokens/s": str(rate),
                "reference tokens/s": str(Spread.of([NEW / second for second in slow])),
                "times faster": str(ratios(slow, fast, batch)),
                "GB/s of weights": round(rate.median / batch * GIGABYTES * (0.5 if "bfloat16" in name else 1), 2),
            }
        )
        print(rows[-1], flush=True)
    return rows


def prefill_rows(reference: ReferenceNeo, ours: NeoForConditionalGeneration, rounds: int) -> list[dict[str, Any]]:
    given, rows = prompt(1024, 32, 64), []
    in_bfloat16 = copy.deepcopy(ours).to(torch.bfloat16)
    for name, model, compiled in (
        ("plain path, float32", ours, None),
        ("eager, float32", ours, False),
        ("compiled, float32", ours, True),
        ("eager, bfloat16", in_bfloat16, False),
        ("compiled, bfloat16", in_bfloat16, True),
    ):
        torch._dynamo.reset()  # the models share functions; together they would pass its limit of forms of one function
        if compiled is None:
            use_plain_decoding(model)
        else:
            prepare_for_decoding(model, compile=compiled)
        sides = {
            "reference": lambda: reference_answer(reference, given, 1),
            "ours": lambda model=model: answer(model, given, 1, 1),
        }
        seconds = in_turn(sides, rounds)
        rows.append(
            {
                "what": f"prefill of 1024, {name}",
                "ours s": str(Spread.of(seconds["ours"])),
                "reference s": str(Spread.of(seconds["reference"])),
                "times faster": str(ratios(seconds["reference"], seconds["ours"])),
            }
        )
        print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    reference, ours = models()
    given = prompt(512, 32, 32)
    same = (
        answer(ours, given, 1, 17)[0, 512:].tolist()
        == torch.as_tensor(reference_answer(reference, given, 17)).flatten().tolist()[-17:]
    )
    ceilings = {
        "same greedy tokens": same,
        "float32 GFLOP/s": round(matrix_peak(torch.float32)),
        "bfloat16 GFLOP/s": round(matrix_peak(torch.bfloat16)),
        "reading GB/s": round(reading_rate(), 1),
    }
    print(ceilings, flush=True)
    rows = decoding_rows(reference, ours, rounds) + prefill_rows(reference, ours, rounds)
    print("written:", write_result("generation", rows, ceilings | {"rounds": rounds}))


if __name__ == "__main__":
    main()
