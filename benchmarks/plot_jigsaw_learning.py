"""The curves of `benchmarks/results/jigsaw_learning.json` as one figure for the docs.

python benchmarks/plot_jigsaw_learning.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
WINDOW = 5
"""Steps that are averaged: 512 responses each."""


def smooth(values: list[float]) -> list[float]:
    """Mean of the last few."""
    return [sum(part) / len(part) for part in (values[max(0, n - WINDOW + 1) : n + 1] for n in range(len(values)))]


def draw(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Sampled exact rate of GRPO over its steps, a curve per run; a mark at its held-out rate before and after."""
    mpl.rcParams.update({"svg.hashsalt": "jigsaw", "svg.fonttype": "none", "font.size": 10})
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    runs = [(name, run) for name, run in results.items() if name.startswith("2x2") and "grpo" in run]
    for number, (name, run) in enumerate(runs):
        curve, colour = smooth(run["grpo"]["sampled exact, step by step"]), f"C{number}"
        axes.plot(range(1, len(curve) + 1), [100 * value for value in curve], colour, label=name)
        for step, part in ((0, "start"), (len(curve), "grpo")):
            exact = run[part]["held out"]["exact"]
            ends = [[100 * (exact["value"] - exact["low"])], [100 * (exact["high"] - exact["value"])]]
            axes.errorbar([step], [100 * exact["value"]], ends, fmt="o", color=colour, capsize=3, markersize=4)
    axes.set(xlabel="steps of GRPO, 512 responses each", ylabel="exact, %", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    found = json.loads((HERE / "results" / "jigsaw_learning.json").read_text(encoding="utf-8"))
    draw(found["runs"], HERE.parent / "docs" / "jigsaw_learning.svg")
