"""What GRPO on puzzles teaches a tiny model, beside SFT continued for the same CPU time; one seed a call, resumable.

The start is a model that the demo trained, taught by SFT until it solves 30 to 60 % of the held-out puzzles. From there
each arm trains for the same CPU seconds (generation and updates; examinations are not counted), with a constant rate:

    grpo         reward with a share for right places
    exact        the same without that share
    sft          the right answers, continued

Jigsaw before reasoning: GRPO on counts, sums and differences, for the same CPU seconds each,

    questions         from the demo's model
    then-questions    from what `grpo` has become
    questions-then    the other order: from what `questions` has become, SFT for as long as the start took, then GRPO

A quarter of the rows of supervised training are questions of the drawn world, so that the model keeps what it knew.
After each arm, 2,000 fixed held-out questions say what became of it: position and relation are the paper's claim.

    OMP_NUM_THREADS=1 python benchmarks/jigsaw_learning.py runs/demo/model runs/jigsaw --seed 0 --minutes 7
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from pixelword.model import NeoForConditionalGeneration, NeoProcessor
from pixelword.posttrain import PosttrainRecipe
from pixelword.posttrain.held_out import examine
from pixelword.posttrain.questions import DrawnScenes, Item, SceneQuestions
from pixelword.posttrain.run import posttrain
from pixelword.posttrain.settings import levels
from pixelword.posttrain.stream import held_out_puzzles, open_stream
from pixelword.report import Proportion
from pixelword.train import look_at_machine

RESULT = Path(__file__).parent / "results" / "jigsaw_learning.json"
ARMS = ("grpo", "exact", "sft")
ORDERS = ("questions", "then-questions", "questions-then")
ENOUGH = {2: 0.33, 3: 0.005}
"""Held-out exact rate at which the SFT start ends, per side of the grid."""
TILE = 32
"""Pixels of a tile's side; smaller tiles are enlarged."""
REPLAY = 0.25
"""Share of questions in the rows of supervised training."""
ASKED = {"color-at": 300, "shape-at": 300, "where": 300, "relation": 600, "color": 125, "shape": 125}
ASKED |= {"count": 125, "exists": 125}
"""Held-out questions of each kind, always the same ones."""
REASONING = {"count": 250, "sum": 250, "difference": 250}
"""Held-out questions for the orders of jigsaw and reasoning."""
POSITION = ("color-at", "shape-at", "where")
"""What is where, by looking there or by looking for it."""


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
            "sft": {"puzzles": 32, "rows_per_batch": 32, "replay": {"share": REPLAY} if REPLAY else None},
            "grpo": grpo,
            "held_out": {"puzzles": 192, "every": 10 if start else 20, "rows": 96},
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
    """Model and processor; a tile is four tokens at any side, and numbers up to nine are words. Layers are compiled.

    At its own 16 pixels a tile of 3x3 would be one token: 250 supervised steps taught nothing then.
    """
    processor = NeoProcessor.from_pretrained(folder, min_pixels=TILE**2)
    known = processor.tokenizer.get_vocab()
    processor.tokenizer.add_tokens([str(label) for label in range(1, side * side + 1) if str(label) not in known])
    model = NeoForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    if look_at_machine().compiled:
        for layer in model.model.language_model.layers:
            layer.compile(dynamic=False)
    return model, processor


def sees(model: NeoForConditionalGeneration, processor: NeoProcessor, wanted: dict[str, int]) -> dict[str, Any]:
    """Held-out questions of the drawn world, kind by kind, with intervals; position is several kinds together."""
    asked: list[Item] = [
        SceneQuestions(kinds=(kind,)).puzzle(sample, seed=0)
        for kind, number in wanted.items()
        for sample in DrawnScenes(number, f"held-out {kind}")
    ]
    kinds = {one.kind: one.exact for one in examine(model, processor, asked, max_tokens=4, rows=100).kinds}
    found = dict(kinds)
    if set(POSITION) <= set(kinds):
        places = [kinds[name] for name in POSITION]
        found["position"] = Proportion(sum(one.right for one in places), sum(one.asked for one in places))
    return {name: [round(end, 3) for end in (one.value, one.low, one.high)] for name, one in found.items()}


def solves(model: NeoForConditionalGeneration, processor: NeoProcessor, asked: list[Item]) -> dict[str, Any]:
    """Exact rate and right places of held-out puzzles, with intervals."""
    (group,) = examine(model, processor, asked, max_tokens=2 * len(asked[0].images), rows=100).groups
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
    words.add_argument("--arms", nargs="*", default=list(ARMS), choices=(*ARMS, *ORDERS))
    given = words.parse_args()
    name = f"{given.side}x{given.side} seed {given.seed}"
    home = given.out / name.replace(" ", "-")
    model, processor = load(given.model, given.side)
    if "before jigsaws" not in known("all seeds"):
        record("all seeds", {"before jigsaws": {"questions": sees(model, processor, ASKED)}})
    ends = [Enough(home / "start" / "held_out.json", ENOUGH[given.side]), CpuClock(home / "start.seconds")]
    start = recipe("start", given.side, given.seed, given.puzzles)
    posttrain(start, home / "start", model=model, processor=processor, cpu=True, callbacks=ends)
    asked = held_out_puzzles(open_stream(start)[1], levels(start), given.puzzles, start.wording)
    if "start" not in known(name):
        seconds = json.loads((home / "start.seconds").read_text())
        result = {"cpu seconds": round(seconds), "held out": solves(model, processor, asked)}
        record(name, {"start": {**result, "questions": sees(model, processor, ASKED)}})
    for arm in given.arms:
        if arm in ORDERS:
            record(name, {arm: in_order(arm, given, home, asked)})
            continue
        model, _ = load(home / "start" / "model", given.side)
        clock = CpuClock(home / f"{arm}.seconds", 60 * given.minutes)
        wanted = recipe(arm, given.side, given.seed, given.puzzles, partial=arm != "exact")
        done = posttrain(wanted, home / arm, model=model, processor=processor, cpu=True, callbacks=[clock])
        record(name, {arm: result_of(home / arm, done, clock.spent, model, processor, asked)})


def in_order(arm: str, given: Any, home: Path, asked: list[Item]) -> dict[str, Any]:
    """One order of jigsaw and questions; what it knows of both at the end."""
    before = {"questions": given.model, "then-questions": home / "grpo" / "model"}
    model, processor = load(before.get(arm, home / "questions" / "model"), given.side)
    seconds = 60 * given.minutes
    if arm == "questions-then":
        clock = CpuClock(home / f"{arm}-sft.seconds", json.loads((home / "start.seconds").read_text()))
        again = recipe("sft", given.side, given.seed, given.puzzles)
        rate = {"optimizer": {**again.model_dump()["optimizer"], "rate": 0.002}}
        again = PosttrainRecipe.model_validate({**again.model_dump(), **rate})
        posttrain(again, home / f"{arm}-sft", model=model, processor=processor, cpu=True, callbacks=[clock])
        wanted = recipe("grpo", given.side, given.seed, given.puzzles)
    else:
        jigsaw = recipe("grpo", given.side, given.seed, given.puzzles).model_dump()
        changes = {"image": None, "questions": {"kinds": list(REASONING)}, "held_out": {"puzzles": 0}}
        wanted = PosttrainRecipe.model_validate({**jigsaw, **changes, "grpo": {**jigsaw["grpo"], "max_tokens": 3}})
    clock = CpuClock(home / f"{arm}.seconds", seconds)
    first = sees(model, processor, REASONING)
    done = posttrain(wanted, home / arm, model=model, processor=processor, cpu=True, callbacks=[clock])
    vitals = json.loads((home / arm / "health.json").read_text())["vitals"]
    found = {
        "cpu seconds": round(clock.spent),
        "steps": done["steps"],
        "verdict": done["verdict"],
        "reasoning before": first,
        "reasoning": sees(model, processor, REASONING),
        "held out": solves(model, processor, asked),
        "sampled exact, step by step": [round(row["exact"], 3) for row in vitals],
    }
    print(home, arm, found["reasoning"], json.dumps(found["held out"]), flush=True)
    return found


def result_of(
    home: Path, done: dict[str, Any], seconds: float, model: Any, processor: NeoProcessor, asked: list[Item]
) -> dict[str, Any]:
    """What an arm has become."""
    health, held_out = home / "health.json", json.loads((home / "held_out.json").read_text())
    vitals = json.loads(health.read_text())["vitals"] if health.exists() else []
    found = {
        "cpu seconds": round(seconds),
        "steps": done["steps"],
        "verdict": done.get("verdict"),
        "held out": solves(model, processor, asked),
        "questions": sees(model, processor, ASKED),
        "exact of 192 held out, by step": [[row["step"], round(row["exact"], 3)] for row in held_out],
        "sampled exact, step by step": [round(row["exact"], 3) for row in vitals],
        "entropy, step by step": [round(row["entropy"], 3) for row in vitals],
    }
    print(home, json.dumps(found["held out"]), found["questions"], flush=True)
    return found


def recorded() -> dict[str, Any]:
    """The result file: `about`, a table of `rows`, and all numbers of the `runs`."""
    found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def known(name: str) -> dict[str, Any]:
    """What is recorded of a run."""
    found: dict[str, Any] = recorded()["runs"].get(name, {})
    return found


def record(name: str, found: dict[str, Any]) -> None:
    content = recorded()
    content["runs"][name] = {**content["runs"].get(name, {}), **found}
    kept = [row for row in content["rows"] if row["run"] not in content["runs"]]
    content["rows"] = kept + [
        row_of(run, arm, part) for run, arms in content["runs"].items() for arm, part in arms.items()
    ]
    text = json.dumps(content, indent=1)
    flat = re.sub(r"\[[-0-9.,e\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    RESULT.write_text(flat.replace("[ ", "[").replace(" ]", "]") + "\n", encoding="utf-8")


def row_of(run: str, arm: str, part: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    row: dict[str, Any] = {"run": run, "arm": arm, "CPU seconds": part.get("cpu seconds", "")}
    if "held out" in part:
        exact, places = part["held out"]["exact"], part["held out"]["places"]
        row |= {"exact, %": percent([exact["value"], exact["low"], exact["high"]]), "right places": places["value"]}
    asked = part.get("questions") or part.get("reasoning") or {}
    row |= {f"{kind}, %": percent(asked[kind]) for kind in ("position", "relation", *REASONING) if kind in asked}
    return {**row, "steps": part.get("steps", ""), "monitor": part.get("verdict") or ""}


def percent(ends: list[float]) -> str:
    value, low, high = (100 * end for end in ends)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
