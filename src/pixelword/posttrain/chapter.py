"""A short lesson in jigsaws for a tiny model: SFT until it knows the form, then GRPO; and what became of it.

lesson = teach_jigsaw(model, processor, Path("runs/demo/jigsaw"))
print(lesson.before.exact, lesson.after_sft.exact, lesson.after.exact, lesson.verdict)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pixelword.jigsaw import Puzzle
from pixelword.jigsaw.scoring import Reply
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.processing import NeoProcessor
from pixelword.posttrain.held_out import Examination, examine
from pixelword.posttrain.run import posttrain
from pixelword.posttrain.settings import PosttrainRecipe, levels
from pixelword.posttrain.stream import held_out_puzzles, open_stream
from pixelword.train.stages import write_json

TILE_PIXELS = 32 * 32
"""A tile of a drawn picture, which is shown as it is."""
ANSWER_TOKENS = 8
"""Four numbers, three commas, the end."""


@dataclass(frozen=True)
class Lesson:
    """What a short course of jigsaws did.

    Args:
        puzzles: held out, the same in all three examinations.
        before, after_sft, after: what the model said, with scores and intervals.
        curve: one row per step of GRPO: `step`, `reward`, `exact` (sampled), `entropy`, `flat` (share of groups).
        verdict: the monitor's, in words.
        health: everything the monitor saw, as JSON.
    """

    puzzles: tuple[Puzzle, ...]
    before: Examination
    after_sft: Examination
    after: Examination
    curve: tuple[dict[str, float], ...]
    verdict: str
    health: dict[str, Any]

    @property
    def replies(self) -> list[tuple[Puzzle, Reply, Reply]]:
        """Each puzzle with the reply before and after."""
        return list(zip(self.puzzles, self.before.replies, self.after.replies, strict=True))


def lesson_recipe(kind: str, steps: int, autocast: bool, seed: int) -> PosttrainRecipe:
    """2x2 puzzles of drawn pictures in words of the world; the numbers of recipes/jigsaw/tiny.yaml."""
    sft = kind == "sft"
    rate = {"rate": 0.002, "schedule": "constant"} if sft else {"rate": 0.001, "schedule": "cosine"}
    return PosttrainRecipe.model_validate(
        {
            "kind": kind,
            "model": {"checkpoint": "given", "dtype": "float32", "autocast": autocast},
            "samples": {"layout": "drawn", "drawn": 200_000, "held_out": 512},
            "image": {"rows": 2, "columns": 2, "min_side": 64, "rule": {"gamma": 0.4, "partial_min_k": 4}},
            "wording": "short",
            "sft": {"puzzles": 32, "rows_per_batch": 32},
            "grpo": {
                "group": 16,
                "prompts": 16,
                "rows_per_batch": 256,
                "rollout_rows": 256,
                "max_tokens": ANSWER_TOKENS,
                "entropy_bonus": 0.01,
            },
            "held_out": {"puzzles": 0},
            "optimizer": {"name": "muon", "warmup_steps": min(5, steps - 1), "clip": None, **rate},
            "steps": steps,
            "checkpointing": False,
            "save_every": 25,
            "seed": seed + (0 if sft else 1),
        }
    )


def teach_jigsaw(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    out: Path,
    *,
    sft_steps: int = 200,
    grpo_steps: int = 30,
    puzzles: int = 128,
    autocast: bool = False,
    seed: int = 0,
    callbacks: Sequence[TrainerCallback] = (),
) -> Lesson:
    """Teach and examine; stopped half way, the same call continues.

    Args:
        model: of the demo, or any other whose words are those of the drawn world; changed in place.
        processor: its processor; tiles are read at their own size.
        out: folder of the lesson.
        sft_steps, grpo_steps: of 32 puzzles, and of 16 puzzles with 16 responses each.
        puzzles: held out.
        autocast: matrix products in bfloat16, for CPUs that are fast at it.
        callbacks: told about every step of both.
    """
    sft, grpo = (
        lesson_recipe(kind, steps, autocast, seed) for kind, steps in (("sft", sft_steps), ("grpo", grpo_steps))
    )
    reader = NeoProcessor(
        processor.image_processor.with_settings(min_pixels=TILE_PIXELS), processor.tokenizer, max_length=None
    )
    found = held_out_puzzles(open_stream(grpo)[1], levels(grpo), puzzles, "short")
    asked = [puzzle for puzzle in found if isinstance(puzzle, Puzzle)]

    def exam() -> Examination:
        return examine(model, reader, asked, max_tokens=ANSWER_TOKENS, rows=64)

    before = remembered(out / "before.json", exam, asked)
    posttrain(sft, out / "sft", model=model, processor=reader, cpu=True, callbacks=callbacks)
    after_sft = remembered(out / "after_sft.json", exam, asked)
    posttrain(grpo, out / "grpo", model=model, processor=reader, cpu=True, callbacks=callbacks)
    after = remembered(out / "after.json", exam, asked)
    health: dict[str, Any] = json.loads((out / "grpo" / "health.json").read_text(encoding="utf-8"))
    curve = tuple(
        {name: row[name] for name in ("step", "reward", "exact", "entropy", "flat")} for row in health["vitals"]
    )
    return Lesson(tuple(asked), before, after_sft, after, curve, health["verdict"], health)


def remembered(file: Path, exam: Any, puzzles: Sequence[Puzzle]) -> Examination:
    """The examination in a file, else a new one that is written there."""
    if file.exists():
        said = [Reply(text, cut) for text, cut in json.loads(file.read_text(encoding="utf-8"))]
        return Examination.of(puzzles, said)
    file.parent.mkdir(parents=True, exist_ok=True)
    made: Examination = exam()
    write_json(file, [[reply.text, reply.cut] for reply in made.replies])
    return made
