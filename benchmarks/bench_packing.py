"""How full and how fast rows are packed, on a defined mix of lengths; and what opening a million rows costs.

The mix, as shares of samples: 30 % text (log-normal, median 350 tokens), 45 % one picture (64 to 1,024 image tokens
and a caption or short dialogue), 20 % a large picture or document (1,024 to 4,096), 5 % several pictures (1,500 to
6,000). Lengths are cut off at 6,000 tokens. The budget is 8,192 tokens. The time is that of the packing alone, on
one core; the last rows, which nothing is left to fill, count.

The million rows are LLaVA-style JSON about 64 small pictures, as JSON Lines and as one array, read in 8 lanes of 256
waiting samples. Memory is the highest resident size of the process, one for each form, less what it held after the
imports.

    python benchmarks/bench_packing.py
"""

from __future__ import annotations

import json
import platform
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from pixelword.data.packing import pack

BUDGET, LONGEST, SAMPLES, REPEATS = 8192, 6000, 200_000, 5
ROWS, PICTURES, LANES = 1_000_000, 64, 8
FORMS = {"jsonl": ("", "\n", "\n"), "json": ("[", ",\n", "]")}
"""What is written before, between and behind the rows."""
FORMS_IN_WORDS = {"jsonl": "JSON Lines", "json": "one array"}
ROOT = Path(__file__).parent
RESULT = ROOT / "results" / "packing.json"
TOKENIZER = ROOT.parent / "tests" / "fixtures" / "neo" / "tied"


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


def write_rows(folder: Path, form: str) -> None:
    for number in range(PICTURES):
        Image.new("RGB", (64 + number, 96), (number, 90, 30)).save(folder / f"{number}.jpg")
    first, between, last = FORMS[form]
    with (folder / f"rows.{form}").open("w") as file:
        for number in range(ROWS):
            asked = {"from": "human", "value": f"<image>\nWhat is shown in picture {number}?"}
            answer = {"from": "gpt", "value": f"Picture {number} shows " + "one thing after the other " * 8}
            row = {"id": number, "image": f"{number % PICTURES}.jpg", "conversations": [asked, answer]}
            file.write((between if number else first) + json.dumps(row))
        file.write(last)


def resident() -> float:
    """Resident size now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def opening(folder: Path, form: str) -> dict[str, float | int | str]:
    from transformers import AutoTokenizer

    from pixelword.data import build_loader
    from pixelword.model import NeoImageProcessor, NeoProcessor
    from pixelword.recipe import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "opening",
            "model": {"preset": "neo-tiny"},
            "images": {"min_pixels": 1024, "max_pixels": 4096},
            "data": {
                "sources": [{"name": "rows", "kind": "json", "path": str(folder / f"rows.{form}")}],
                "lanes": LANES,
            },
            "packing": {"budget": BUDGET, "look_ahead": 256},
            "optimizer": {"rate": 1e-3},
            "steps": 1,
            "rows_per_step": LANES,
        }
    )
    processor = NeoProcessor(NeoImageProcessor(), AutoTokenizer.from_pretrained(TOKENIZER))
    before, start, cpu = resident(), time.perf_counter(), time.process_time()
    loader = build_loader(recipe, processor)
    loader.next()
    first, first_cpu = time.perf_counter() - start, time.process_time() - cpu
    batches = [loader.next() for _ in range(LANES)]
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "form": FORMS_IN_WORDS[form],
        "rows": ROWS,
        "file_mb": round((folder / f"rows.{form}").stat().st_size / 2**20),
        "first_batch_seconds": round(first, 2),
        "first_batch_cpu_seconds": round(first_cpu, 2),
        "all_lanes_filled_seconds": round(time.perf_counter() - start, 2),
        "memory_above_imports_mb": round(highest - before, 1),
        "used": round(sum(batch.used for batch in batches if batch) / len(batches), 4),
    }


def opened(form: str) -> dict[str, float | int | str]:
    """In a process of its own, so that its memory is its own; the rows are written before."""
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1) as alone:
        write_rows(Path(folder), form)
        return alone.apply(opening, (Path(folder), form))


def main() -> None:
    openings = [opened(form) for form in FORMS]
    mix = lengths(SAMPLES)
    result = {
        "budget": BUDGET,
        "samples": len(mix),
        "mean_length": round(float(np.mean(mix)), 1),
        "longest": max(mix),
        "packing": [measure(mix, look_ahead) for look_ahead in (64, 256, 1024, 4096)],
        "opening": openings,
        "python": platform.python_version(),
        "timing": f"packing: best of {REPEATS} runs, processor time of one core; opening: wall clock",
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
