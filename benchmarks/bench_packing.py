"""How full and how fast rows are packed, on a defined mix of lengths.

The mix, as shares of samples: 30 % text (log-normal, median 350 tokens), 45 % one picture (64 to 1,024 image tokens
and a caption or short dialogue), 20 % a large picture or document (1,024 to 4,096), 5 % several pictures (1,500 to
6,000). Lengths are cut off at 6,000 tokens. The budget is 8,192 tokens. The time is that of the packing alone, on
one core; the last rows, which nothing is left to fill, count.

    python benchmarks/bench_packing.py
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import numpy as np

from pixelword.data.packing import pack

BUDGET, LONGEST, SAMPLES, REPEATS = 8192, 6000, 200_000, 5
RESULT = Path(__file__).parent / "results" / "packing.json"


def lengths(samples: int, seed: int = 0) -> list[int]:
    """Tokens of each sample, in random order."""
    random = np.random.default_rng(seed)
    kind = random.choice(4, size=samples, p=(0.30, 0.45, 0.20, 0.05))
    text = np.exp(random.normal(np.log(350), 0.9, samples))
    picture = random.uniform(64, 1024, samples) + np.exp(random.normal(np.log(60), 0.7, samples))
    document = random.uniform(1024, 4096, samples) + np.exp(random.normal(np.log(150), 0.8, samples))
    several = random.uniform(1500, 6000, samples)
    chosen = np.choose(kind, (text, picture, document, several))
    return [int(length) for length in np.clip(chosen, 8, LONGEST)]


def measure(mix: list[int], look_ahead: int) -> dict[str, float | int]:
    best, rows = float("inf"), 0
    for _ in range(REPEATS):
        start = time.process_time()
        rows = sum(1 for _ in pack(((length, length) for length in mix), BUDGET, look_ahead))
        best = min(best, time.process_time() - start)
    return {
        "look_ahead": look_ahead,
        "rows": rows,
        "used": round(sum(mix) / (rows * BUDGET), 5),
        "samples_per_second": round(len(mix) / best),
    }


def main() -> None:
    mix = lengths(SAMPLES)
    result = {
        "budget": BUDGET,
        "samples": len(mix),
        "mean_length": round(float(np.mean(mix)), 1),
        "longest": max(mix),
        "packing": [measure(mix, look_ahead) for look_ahead in (64, 256, 1024, 4096)],
        "python": platform.python_version(),
        "timing": f"best of {REPEATS} runs, processor time of one core",
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
