"""A training step (forward and backward) of the 29.9 M configuration, beside the reference's formulas, in one run.

    python benchmarks/bench_training.py [--rounds 5]

One row of 2048 tokens: four packed samples of 512, 256 of one picture each, 212 supervised tokens each. The other side
is `reference_formulas.py` with the same weights: images on a padded canvas, a dense 2048 x 2048 mask, scores
materialised, logits of every position. No optimiser on either side. Ours runs as it is and with compiled blocks; the
time to compile is not counted. The share of the peak counts only products that the loss needs: `needed_products`.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import copy

import torch
from bench_generation import models, prompt
from measure import Spread, in_turn, matrix_peak, ratios, write_result
from reference_formulas import Shape, packed_mask
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration

SAMPLES, LENGTH, SUPERVISED = 4, 512, 212


def packed_row() -> dict[str, Tensor]:
    """Ids, indices, labels, samples, images and pixels of four samples in one row of 2048."""
    parts = [prompt(LENGTH, 32, 32) for _ in range(SAMPLES)]
    ids, indices = torch.cat([part[0] for part in parts], dim=1), torch.cat([part[1] for part in parts], dim=1)
    sample = torch.arange(SAMPLES).repeat_interleave(LENGTH)
    image = torch.full((SAMPLES, LENGTH), -1)
    image[:, 32:288] = torch.arange(SAMPLES)[:, None]
    labels = torch.full((SAMPLES, LENGTH), -100)
    labels[:, -SUPERVISED:] = ids.view(SAMPLES, LENGTH)[:, -SUPERVISED:]
    return {
        "ids": ids,
        "indices": indices,
        "sample": sample,
        "image": image.flatten(),
        "labels": labels.view(1, -1),
        "pixels": torch.cat([part[2] for part in parts]),
    }


def needed_products(row: dict[str, Tensor], shape: Shape) -> float:
    """Floating point operations of the matrix products that loss and gradients need.

    A product of n vectors with a matrix is 2 n in out, and twice that again in backward (once again where the input
    needs no gradient: pixels). Attention counts the pairs that may meet. The last layer needs queries, attention and
    MLP only of tokens that are followed by a label; so does the head.
    """
    d, width, tokens = shape.head_dim, shape.hidden_size, row["ids"].shape[1]
    queries, keys, mlp = 2 * shape.heads * d * width, 3 * shape.kv_heads * d * width, 3 * width * shape.mlp_size
    asking = queries + shape.heads * d * width + mlp
    allowed = packed_mask(row["sample"], row["image"])[0, 0] == 0
    read = (row["labels"][0, 1:] != -100).nonzero().flatten()
    pairs = (shape.layers - 1) * int(allowed.sum()) + int(allowed[read].sum())
    linear = (shape.layers - 1) * tokens * (asking + keys) + len(read) * asking + tokens * keys
    head = len(read) * width * shape.vocabulary
    patches = len(row["pixels"])
    first = patches * row["pixels"].shape[1] * shape.vision_hidden
    second = patches * shape.vision_hidden * width
    return 2.0 * (3 * (linear + head + pairs * shape.heads * 3 * d + second) + 2 * first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    reference, ours = models()
    reference.train()
    ours.train()
    row = packed_row()
    weights = (row["labels"] != -100).float()
    grids = [(32, 32)] * SAMPLES

    def reference_step() -> Tensor:
        reference.zero_grad()
        mask = packed_mask(row["sample"], row["image"])
        given = (row["ids"], row["indices"], mask, row["pixels"], grids, row["labels"], weights)
        loss = reference.training_loss(*given)
        loss.backward()
        return loss.detach()

    compiled = copy.deepcopy(ours)
    for layer in compiled.model.language_model.layers:
        layer.compile()

    def our_step(model: NeoForConditionalGeneration = ours, dtype: torch.dtype | None = None) -> Tensor:
        model.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss: Tensor = model(
                input_ids=row["ids"],
                sample_ids=row["sample"][None],
                pixel_values=row["pixels"],
                image_grid_thw=torch.tensor([(1, *grid) for grid in grids]),
                labels=row["labels"],
                loss_weights=weights,
            ).loss
        loss.backward()
        return loss.detach()

    needed, peak = needed_products(row, Shape()), matrix_peak(torch.float32)
    notes = {
        "losses": f"{float(reference_step()):.6f}, {float(our_step()):.6f}, compiled {float(our_step(compiled)):.6f}",
        "needed GFLOP": round(needed / 1e9, 1),
        "float32 GFLOP/s": round(peak),
        "bfloat16 GFLOP/s": round(matrix_peak(torch.bfloat16)),
        "rounds": rounds,
    }
    print(notes, flush=True)
    sides = {
        "reference": reference_step,
        "float32": our_step,
        "float32, compiled": lambda: our_step(compiled),
        "bfloat16 products (autocast)": lambda: our_step(dtype=torch.bfloat16),
        "bfloat16 products (autocast), compiled": lambda: our_step(compiled, torch.bfloat16),
    }
    our_step(compiled, torch.bfloat16)
    seconds = in_turn(sides, rounds)
    rows = [
        {
            "what": f"training step, {name}",
            "s": str(Spread.of(seconds[name])),
            "tokens/s": round(SAMPLES * LENGTH / Spread.of(seconds[name]).median),
            "times faster": str(ratios(seconds["reference"], seconds[name])),
            "share of float32 peak": round(needed / 1e9 / Spread.of(seconds[name]).median / peak, 2),
        }
        for name in sides
    ]
    for one in rows:
        print(one)
    print("written:", write_result("training_step", rows, notes))


if __name__ == "__main__":
    main()
