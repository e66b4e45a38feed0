"""Trains the arms of an experiment, each once for each seed, and writes what came out.

The folder of all runs of one budget holds
    run.json                    budget, machine and versions
    log.txt                     what was said while it ran
    language/seed-0/            the language models, one for each seed, shared by all arms
    runs/H/seed-0/              one run; its stages while it trains
    runs/H/seed-0/result.json   written last: its presence alone means that the run is finished
    sources/native/seed-0/      for `reuse`: the three stages that pre-Buffers (and encoders) are taken from
    rows.json, rows.md, rows.svg, rows-differences.svg, rows.html   and the same for `depth` and `reuse`
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import Qwen3ForCausalLM

from pixelword.ablate.build import Builder
from pixelword.ablate.exam import EXAM_LENGTH, exam_scenes, sit_exam
from pixelword.ablate.floor import blind_floor
from pixelword.ablate.folder import begin, logged_to, read_back, written_in
from pixelword.ablate.outcome import Outcome
from pixelword.ablate.page import write_results
from pixelword.ablate.plan import NATIVE, Arm, Budget, arms_of, budget_of, learns_of
from pixelword.ablate.progress import Bars
from pixelword.demo.folder import quiet_transformers
from pixelword.demo.language import WordCollator
from pixelword.demo.rows import RowWriter, WorldRows
from pixelword.demo.run import compile_layers
from pixelword.errors import ConfigError
from pixelword.model import NeoForConditionalGeneration
from pixelword.train import (
    EVERYTHING,
    BranchCollator,
    Machine,
    Stage,
    first_stage,
    look_at_machine,
    run_stage,
    write_json,
)

logger = logging.getLogger(__name__)

DATA = {"words": 0, "see": 1, "answer": 2, "source-see": 4, "source-join": 5, "source-finish": 6}
"""Every stage has a stream of examples of its own; arms of one seed share it."""

LESSONS = {"words": (1, 8), "see": (4, 0), "join": (4, 0), "answer": (4, 0), "finish": (4, 0)}
"""Captions and questions of each picture."""

OTHER_LANGUAGE_MODEL = 1000
"""Added to the seed of a run for the language model of the host `other`."""


def run(experiment: str, out: Path, seeds: int, minutes: float, host: str) -> Path:
    """See `pixelword.ablate.run_ablation`."""
    arms, budget = arms_of(experiment, host), budget_of(minutes)
    if seeds < 1:
        raise ConfigError("an ablation needs at least one seed", got=seeds, fix="use 3, so that intervals are possible")
    with written_in(out):
        machine = look_at_machine()
        begin(out, budget, minutes, machine)
        with Bars(len(arms) * seeds) as bars, logged_to(out / "log.txt"), quiet_transformers():
            ablation = Ablation(out, budget, machine, bars)
            outcomes = [ablation.outcome(arm, seed) for seed in range(seeds) for arm in arms]
        floor = fmean(blind_floor(exam_scenes(seed, budget.scenes), seed) for seed in range(seeds))
        return write_results(out, experiment if host == "parent" else f"{experiment}-{host}", arms, outcomes, floor)


class Ablation:
    """All runs of one budget in one folder."""

    def __init__(self, out: Path, budget: Budget, machine: Machine, bars: Bars) -> None:
        self.out, self.budget, self.machine, self.bars = out, budget, machine, bars
        self.build = Builder(budget)

    def outcome(self, arm: Arm, seed: int) -> Outcome:
        """What came out of a run; a finished one is read."""
        folder = self.out / "runs" / arm.name / f"seed-{seed}"
        if not (folder / "result.json").exists():
            write_json(folder / "result.json", self.train(arm, seed, folder).model_dump(mode="json"))
            for stage in ("see", "answer"):
                shutil.rmtree(folder / stage / "model")
        self.bars.finished()
        return Outcome.model_validate(read_back(folder / "result.json"))

    def train(self, arm: Arm, seed: int, folder: Path) -> Outcome:
        """Train an arm by its two stages and question it."""
        # Prepared outside the count of seconds: shared with other arms.
        llm = self.language_model(seed if arm.host == "parent" else OTHER_LANGUAGE_MODEL + seed)
        source = self.source(arm, seed) if arm.source else None
        continued = folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        torch._dynamo.reset()  # kernels come back from the cache on disk; the limit on variants starts anew
        start, wall = time.process_time(), time.perf_counter()
        model = self.build.model(arm, llm, seed, source, folder)
        patterns = first_stage(model.config)
        learning = {name: learns_of(arm, name, patterns) for name in ("see", "answer")}
        trained = {}
        compile_layers(model, self.machine)
        for name, learns in learning.items():
            self.stage(f"{arm.name} seed {seed}", self.budget.stage(name, learns), folder / name, model, seed)
            parts = json.loads((folder / name / "learns.json").read_text(encoding="utf-8"))["parts"]
            trained[name] = sum(part["trains"] for part in parts)
        seconds = {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall}
        scenes = exam_scenes(seed, self.budget.scenes)
        marks = sit_exam(model, scenes, self.build.tokenizer, self.collator(EXAM_LENGTH), self.machine)
        outcome = Outcome(
            arm=arm.name,
            seed=seed,
            marks=marks.of_kind,
            parameters=sum(weight.numel() for weight in model.parameters()),
            trained=trained,
            losses={name: losses(folder / name) for name in learning},
            seconds={name: round(value, 1) for name, value in seconds.items()},
            continued=continued,
        )
        logger.info("%s seed %d: %.1f %% right, %.0f CPU s", arm.name, seed, 100 * marks.share, seconds["cpu"])
        return outcome

    def language_model(self, seed: int) -> Qwen3ForCausalLM:
        """The language model of a seed, which has only ever read words."""
        qwen3 = self.build.language_model(seed)
        compile_layers(qwen3, self.machine)
        stage = self.budget.stage("words", EVERYTHING)
        self.stage(f"words seed {seed}", stage, self.out / "language" / f"seed-{seed}", qwen3, seed)
        return qwen3

    def source(self, arm: Arm, seed: int) -> Path:
        """The model of one stage of the source run of an arm."""
        folder = self.out / "sources" / arm.role / f"seed-{seed}"
        origin = NATIVE if arm.role == "native" else arm.model_copy(update={"source": "", "host": "parent"})
        torch._dynamo.reset()
        model = self.build.model(origin, self.language_model(seed), seed, None, folder)
        patterns = first_stage(model.config)
        compile_layers(model, self.machine)
        for name in ("see", "join", "finish"):
            stage = self.budget.stage(name, learns_of(origin, name, patterns))
            self.stage(f"source seed {seed}", stage, folder / name, model, seed, data=f"source-{name}")
            if name == arm.source:
                break
        return folder / arm.source / "model"

    def stage(self, part: str, stage: Stage, folder: Path, model: Any, seed: int, data: str = "") -> None:
        """Run one stage, continue it, or load its result."""
        captions, questions = LESSONS[stage.name]
        seeing = isinstance(model, NeoForConditionalGeneration)
        write = RowWriter(self.build.tokenizer, self.build.image_tokens if seeing else 0, captions, questions > 0)
        rows = WorldRows(
            "train",
            10 * seed + DATA[data or stage.name],
            write,
            stage.steps * stage.rows,
            questions=max(1, questions),
        )
        collate: Any = (
            self.collator(stage.length) if seeing else WordCollator(self.collator(stage.length), self.build.tokenizer)
        )
        watch = self.bars.watch(f"{part}, {stage.name}", stage.steps)
        run_stage(stage, model, rows, collate, folder, machine=self.machine, seed=seed, callbacks=[watch])

    def collator(self, length: int) -> BranchCollator:
        return BranchCollator(length, self.build.tokenizer.pad_token_id, self.build.processor.image_processor)


def losses(folder: Path) -> list[float]:
    """The loss of every step of a stage."""
    log = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    return [round(entry["loss"], 4) for entry in log if "loss" in entry]
