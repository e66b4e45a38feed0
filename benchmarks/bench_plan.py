"""A plan against a run of 100 steps: step time, processor time and peak memory.

    python benchmarks/bench_plan.py
    python benchmarks/bench_plan.py recipes/tiny/pretrain.yaml --set packing.budget=512 --set retention=null

The first form is the second, and writes data/tiny before if it is not there. Plan and run are processes of their own,
one after the other, so that each has its own peak of memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import write_result
from transformers import TrainerCallback

from pixelword.recipe import load_recipe
from pixelword.train.plan.memory import peak_of_process
from pixelword.train.run import run_recipe

TINY, DATA, SMALLER = Path("recipes/tiny/pretrain.yaml"), Path("data/tiny"), ["packing.budget=512", "retention=null"]
PIXELWORD = [sys.executable, "-c", "from pixelword.cli.main import run; run()"]


class Clock(TrainerCallback):
    """Wall and processor time at the end of every step."""

    def __init__(self) -> None:
        self.moments: list[tuple[float, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.moments.append((time.perf_counter(), time.process_time()))


def run_steps(recipe: Path, settings: list[str]) -> None:
    """Train 100 steps and print what they cost as JSON."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run_recipe(load_recipe(recipe, [*settings, "steps=100"]), Path(folder), callbacks=[clock])
    steps = len(clock.moments) - 1
    wall, processor = ((last - first) / steps for first, last in zip(clock.moments[0], clock.moments[-1], strict=True))
    print(json.dumps({"wall": wall, "processor": processor, "memory": peak_of_process()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--run-only", action="store_true", help="what this file calls itself with")
    given = parser.parse_args()
    if given.recipe is None:
        given.recipe, given.settings = TINY, [*SMALLER, *given.settings]
        if not DATA.exists():
            subprocess.run([*PIXELWORD, "tiny", str(DATA)], check=True)
    if given.run_only:
        run_steps(given.recipe, given.settings)
        return
    words = [str(given.recipe), *(word for setting in given.settings for word in ("--set", setting))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        command = [*PIXELWORD, "plan", *words, "--out", str(file)]
        subprocess.run([*command, "--steps", "12", "--seconds", "120"], check=True)
        plan = json.loads(file.read_text())
    done = subprocess.run([sys.executable, __file__, *words, "--run-only"], check=True, capture_output=True, text=True)
    ran = json.loads(done.stdout.splitlines()[-1])
    planned = {
        "wall": plan["step_seconds"],
        "processor": plan["probe"]["processor_seconds"],
        "memory": plan["memory"],
    }
    rows = []
    for name, value in planned.items():
        difference = f"{value / ran[name] - 1:+.1%}"
        print(f"{name:<10} planned {value:.5g}, run {ran[name]:.5g}, {difference}")
        rows.append({"what": name, "planned": value, "run": ran[name], "difference": difference})
    notes = {"recipe": given.recipe.as_posix(), "settings": given.settings, "steps": 100, "wall, processor": "s a step"}
    print("written:", write_result("plan", rows, notes))


if __name__ == "__main__":
    main()
