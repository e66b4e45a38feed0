"""Jigsaws in the demo: a short supervised start, then GRPO, on cut-up drawn pictures; and what became of it.

`jigsaw.json` holds all that the page needs; the pictures that it shows lie in `jigsaw/shown`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pixelword.demo.plan import Plan
from pixelword.jigsaw import Puzzle
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.processing import NeoProcessor
from pixelword.posttrain.chapter import Lesson, teach_jigsaw
from pixelword.posttrain.held_out import Examination
from pixelword.train import Machine

SHOWN = 12
"""Puzzles whose pictures are kept for the page."""

GAP = 4
"""Pixels between the tiles of a shown puzzle."""


class Steps(TrainerCallback):
    """Tells that a step is done."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.advance(1)


def learn_jigsaw(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    out: Path,
    plan: Plan,
    machine: Machine,
    seed: int,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Teach and examine.

    Args:
        model: changed in place.
        out: folder of the lesson; what was done there is not repeated.
        advance: told about every step.

    Returns:
        What the page needs, ready for JSON.
    """
    with torch.compiler.set_stance("force_eager"):  # answers have many lengths, each would be compiled anew
        lesson = teach_jigsaw(
            model,
            processor,
            out,
            sft_steps=plan.jigsaw_sft_steps,
            grpo_steps=plan.jigsaw_grpo_steps,
            puzzles=plan.jigsaw_puzzles,
            autocast=machine.bfloat16,
            seed=seed,
            callbacks=[Steps(advance)],
        )
    shown = out / "shown"
    shown.mkdir(exist_ok=True)
    examined = {"before": lesson.before, "after_sft": lesson.after_sft, "after": lesson.after}
    return {
        **{name: counted(examination) for name, examination in examined.items()},
        "puzzles": len(lesson.puzzles),
        "curve": list(lesson.curve),
        "verdict": lesson.verdict,
        "findings": lesson.health["findings"],
        "shown": [one_shown(lesson, number, shown) for number in range(min(SHOWN, len(lesson.puzzles)))],
    }


def counted(examination: Examination) -> dict[str, float]:
    """Exactly right puzzles, mean right places, and what guessing gives."""
    (group,) = examination.groups
    return {
        "right": group.exact.right,
        "asked": group.exact.asked,
        "places": group.places.value if group.places is not None else 0.0,
        "pieces": group.pieces,
        "chance": group.chance_exact,
    }


def one_shown(lesson: Lesson, number: int, folder: Path) -> dict[str, Any]:
    """One puzzle with its pictures on disk, and the replies at each examination."""
    puzzle = lesson.puzzles[number]
    files = {"cut": folder / f"{number}-cut.png", "whole": folder / f"{number}-whole.png"}
    laid_out(puzzle, range(puzzle.pieces), GAP).save(files["cut"])
    laid_out(puzzle, [label - 1 for label in puzzle.target], 0).save(files["whole"])
    replies = {
        name: (examination.replies[number].text or "")
        for name, examination in (("before", lesson.before), ("after_sft", lesson.after_sft), ("after", lesson.after))
    }
    truth = " , ".join(map(str, puzzle.target))
    right = {name: puzzle.reward(text).exact for name, text in replies.items()}
    return {**{k: file.name for k, file in files.items()}, "truth": truth, "replies": replies, "right": right}


def laid_out(puzzle: Puzzle, order: Any, gap: int) -> Image.Image:
    """The tiles in a grid, in this order of the ones shown."""
    rows, columns = puzzle.about["grid"]
    width, height = puzzle.images[0].size
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for place, tile in enumerate(order):
        row, column = divmod(place, columns)
        sheet.paste(puzzle.images[tile], (column * (width + gap), row * (height + gap)))
    return sheet
