"""What GRPO on puzzles teaches a tiny model, beside SFT continued for the same CPU time; one seed a call, resumable.

The start is a model that the demo trained, taught by SFT until it solves 30 to 60 % of the held-out puzzles. From there
each arm trains for the same CPU seconds (generation and updates; examinations are not counted), with a constant rate:

    grpo         reward with a share for right places
    exact        the same without that share
    sft          the right answers, continued

After each, the demo's held-out questions say what became of seeing: position and relation are the paper's claim.

    OMP_NUM_THREADS=1 python benchmarks/jigsaw_learning.py runs/demo/model runs/jigsaw --seed 0 --minutes 30
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from pixelword.demo.exam import prompts_of, sit_exam
from pixelword.jigsaw import Puzzle
from pixelword.model import NeoForConditionalGeneration, NeoProcessor
from pixelword.posttrain import PosttrainRecipe
from pixelword.posttrain.held_out import examine
from pixelword.posttrain.run import posttrain
from pixelword.posttrain.settings import levels
from pixelword.posttrain.stream import held_out_puzzles, open_stream
from pixelword.train import look_at_machine

RESULT = Path(__file__).parent / "results" / "jigsaw_learning.json"
ARMS = ("grpo", "exact", "sft")
ENOUGH = {2: 0.33, 3: 0.05}
"""Held-out exact rate at which the SFT start ends, per side of the grid."""


class CpuClock(TrainerCallback):
    """Ends a run after so many CPU seconds of training; the count survives a restart.

    Args:
        file: holds the seconds up to the last checkpoint.
        seconds: to train for; None only counts.
    """

    def __init__(self, file: Path, seconds: float | None = None) -> None:
        self.file, self.limit, self.began = file, seconds, 0.0
        self.spent = float(json.loads(file.read_text())) if file.exists() else 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = time.process_time()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.spent += time.process_time() - self.began

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.limit is not None and self.spent >= self.limit:
            control.should_training_stop = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.file.write_text(json.dumps(self.spent))


class Enough(TrainerCallback):
    """Ends the SFT start in the steep part of its curve."""

    def __init__(self, file: Path, exact: float) -> None:
        self.file, self.exact = file, exact

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.file.exists() and json.loads(self.file.read_text())[-1]["exact"] >= self.exact:
            control.should_training_stop = control.should_save = True


def recipe(kind: str, side: int, seed: int, puzzles: int, *, partial: bool = True) -> PosttrainRecipe:
    """The numbers of recipes/jigsaw/tiny.yaml, with a constant rate."""
    start = kind == "start"
    rule = {"gamma": 0.4, "partial_min_k": 4} if partial else {"gamma": 0.0}
    grpo = {
        "group": 16,
        "prompts": 32,
        "rows_per_batch": 512,
        "rollout_rows": 512,
        "max_tokens": 2 * side * side,
        "entropy_bonus": 0.01,
    }
    return PosttrainRecipe.model_validate(
        {
            "kind": "sft" if kind in ("start", "sft") else "grpo",
            "model": {"checkpoint": "given", "dtype": "float32", "autocast": look_at_machine(short=True).bfloat16},
            "samples": {"layout": "drawn", "drawn": 1_000_000, "held_out": puzzles},
            "image": {"rows": side, "columns": side, "min_side": 64, "rule": rule},
            "wording": "short",
            "sft": {"puzzles": 32, "rows_per_batch": 32},
            "grpo": grpo,
            "held_out": {"puzzles": 256 if start else puzzles, "every": 5 if start else 100, "rows": 128},
            "optimizer": {
                "name": "muon",
                "rate": 0.002 if start else 0.001,
                "schedule": "constant",
                "warmup_steps": 10,
                "clip": None,
            },
            "steps": 100_000,
            "checkpointing": False,
            "save_every": 25,
            "seed": seed if start else seed + 1000,
        }
    )


def load(folder: Path, side: int) -> tuple[NeoForConditionalGeneration, NeoProcessor]:
    """Model and processor; tiles stay at their size, and numbers up to nine are words."""
    processor = NeoProcessor.from_pretrained(folder, min_pixels=(64 // side // 8 * 8) ** 2)
    known = processor.tokenizer.get_vocab()
    processor.tokenizer.add_tokens([str(label) for label in range(1, side * side + 1) if str(label) not in known])
    model = NeoForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model, processor


def sees(model: NeoForConditionalGeneration, original: Path, seed: int, scenes: int = 160) -> dict[str, float]:
    """Accuracy on held-out questions of the drawn world, per kind."""
    model.train(False)
    model.config.use_cache = True
    processor = NeoProcessor.from_pretrained(original)
    replies = sit_exam(model, processor, prompts_of("test", seed + 77, scenes, 0), "test")
    kinds = sorted({reply.kind for reply in replies})
    of = {kind: [reply.right for reply in replies if reply.kind == kind] for kind in kinds}
    return {kind: round(sum(right) / len(right), 3) for kind, right in of.items()}


def solves(model: NeoForConditionalGeneration, processor: NeoProcessor, asked: list[Puzzle]) -> dict[str, Any]:
    """Exact rate and right places of held-out puzzles, with intervals."""
    (group,) = examine(model, processor, asked, max_tokens=2 * asked[0].pieces, rows=128).groups
    found = group.as_json()
    return {"asked": found["asked"], "exact": found["exact"], "places": found["places"]}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("model", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--side", type=int, default=2, choices=(2, 3))
    words.add_argument("--minutes", type=float, default=30.0, help="CPU minutes of each arm")
    words.add_argument("--puzzles", type=int, default=2000)
    words.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    given = words.parse_args()
    home = given.out / f"{given.side}x{given.side}-seed{given.seed}"
    model, processor = load(given.model, given.side)
    ends = [Enough(home / "start" / "held_out.json", ENOUGH[given.side]), CpuClock(home / "start.seconds")]
    start = recipe("start", given.side, given.seed, given.puzzles)
    posttrain(start, home / "start", model=model, processor=processor, cpu=True, callbacks=ends)
    found: dict[str, Any] = {"before jigsaws": {"questions": sees(load(given.model, 2)[0], given.model, given.seed)}}
    asked = held_out_puzzles(open_stream(start)[1], levels(start), given.puzzles, start.wording)
    found["start"] = {"held out": solves(model, processor, asked), "questions": sees(model, given.model, given.seed)}
    for arm in given.arms:
        model, _ = load(home / "start" / "model", given.side)
        clock = CpuClock(home / f"{arm}.seconds", 60 * given.minutes)
        wanted = recipe(arm, given.side, given.seed, given.puzzles, partial=arm != "exact")
        done = posttrain(wanted, home / arm, model=model, processor=processor, cpu=True, callbacks=[clock])
        health = home / arm / "health.json"
        vitals = json.loads(health.read_text())["vitals"] if health.exists() else []
        found[arm] = {
            "cpu seconds": round(clock.spent),
            "verdict": done.get("verdict"),
            "held out": solves(model, processor, asked),
            "sampled exact, step by step": [round(row["exact"], 3) for row in vitals],
            "questions": sees(model, given.model, given.seed),
        }
        record(f"{given.side}x{given.side} seed {given.seed}", found)
        print(arm, json.dumps(found[arm]["held out"]), found[arm]["questions"])


def record(name: str, found: dict[str, Any]) -> None:
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    before[name] = {**before.get(name, {}), **found}
    RESULT.write_text(json.dumps(before, indent=1) + "\n")


if __name__ == "__main__":
    main()
