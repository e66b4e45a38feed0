"""Peak memory of the loss at Qwen3's vocabulary: ours, in chunks, beside the naive form. Forward and backward.

    python benchmarks/bench_loss_memory.py [--tokens 4096] [--width 256]

The naive form makes logits of every position in float32, then the cross-entropy of all of them. Each side runs in a
process of its own; its peak is the largest resident memory above what it had with hidden states and head in place.
All positions are supervised, which is the case that helps ours least.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from measure import write_result
from torch import Tensor, nn

from pixelword.model.loss import next_token_loss

VOCABULARY = 151_936


def naive(hidden_BND: Tensor, head: nn.Linear, labels_BN: Tensor) -> Tensor:
    """What a model without care does."""
    logits_BNV = head(hidden_BND).float()
    return F.cross_entropy(logits_BNV[:, :-1].flatten(0, 1), labels_BN[:, 1:].flatten())


SIDES = {"naive": naive, "ours": next_token_loss}


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(side: str, tokens: int, width: int, dtype: torch.dtype) -> None:
    """Print the peak above the inputs in MB, the seconds of the processor, and the loss."""
    torch.manual_seed(0)
    hidden = torch.randn(1, tokens, width, dtype=dtype, requires_grad=True)
    head = nn.Linear(width, VOCABULARY, bias=False, dtype=dtype)
    labels = torch.randint(0, VOCABULARY, (1, tokens))
    before, began = peak(), time.process_time()
    loss = SIDES[side](hidden, head, labels)
    loss.backward()
    print(peak() - before, time.process_time() - began, float(loss.detach()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--side", choices=tuple(SIDES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.side:
        measure(given.side, given.tokens, given.width, getattr(torch, given.dtype))
        return
    rows = []
    for side in SIDES:
        command = [sys.executable, __file__, "--side", side, "--tokens", str(given.tokens)]
        command += ["--width", str(given.width), "--dtype", given.dtype]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        row = {"form": side, "peak MB": round(float(said[0])), "cpu s": round(float(said[1]), 1), "loss": said[2]}
        rows.append(row)
        print(row, flush=True)
    share = rows[1]["peak MB"] / rows[0]["peak MB"]
    notes = {"tokens": given.tokens, "width": given.width, "dtype": given.dtype, "ours / naive": round(share, 3)}
    print(notes, "written:", write_result("loss_memory", rows, notes))


if __name__ == "__main__":
    main()
