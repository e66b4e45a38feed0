"""The mini benchmark as a folder in RealUnify's own layout, with the gold intermediates beside it, and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pixelword.realunify.mini.items import MiniChoice, MiniDrawing, mini_choices, mini_drawings
from pixelword.realunify.taxonomy import Track, categories_of

CARD = """\
---
license: apache-2.0
language: en
---
# RealUnify-mini

Items in each of ten categories: {number}. Seed {seed}, drawn by `pixelword`; the same seed gives the same items.

UEG asks for pictures: {drawn}.

GEU asks about pictures of {side} x {side} pixels: {asked}.

Fields are named as RealUnify names its own, so that its readers read them; `gold_prompt` and `gold_image` are the true
intermediate steps, which only the mini has.

## Limits

No item is of RealUnify, and none is made from one: a score here is no score there, and cannot be compared with
published ones. The items are plain coloured shapes, so that a program can check every answer. Letters of right answers
are balanced, and the words alone do not tell them.

Licence: Apache-2.0, as the program that drew them. Nothing in it was made by anybody else.
"""


def write_mini(folder: Path, per_category: int = 100, *, seed: int = 0, side: int = 128) -> None:
    """Write the four files, the images, and the true intermediate images; `read_benchmark` reads the folder.

    Two fields are ours: `gold_prompt` in UEG_step.json and `gold_image` in GEU_step.json.

    Raises:
        ConfigError: a side that is not a multiple of 4 from 64 to 512.
    """
    folder.mkdir(parents=True, exist_ok=True)
    choices = []
    for item in mini_choices(per_category, seed=seed, side=side):
        save_pictures(folder, item)
        choices.append(item)
    drawings = list(mini_drawings(per_category, seed=seed))
    write_rows(folder / "UEG_direct.json", [{**drawing_row(item), "prompt": item.prompt} for item in drawings])
    step = [{**drawing_row(item), "new_prompt": item.new_prompt, "gold_prompt": item.gold_prompt} for item in drawings]
    write_rows(folder / "UEG_step.json", step)
    write_rows(folder / "GEU_direct.json", [choice_row(item) for item in choices])
    edit = [
        {**choice_row(item), "edit_prompt": item.edit_prompt, "gold_image": f"./{gold_path(item)}"} for item in choices
    ]
    write_rows(folder / "GEU_step.json", edit)
    drawn, asked = (", ".join(categories_of(track)).replace("_", " ") for track in (Track.UEG, Track.GEU))
    card = CARD.format(number=per_category, seed=seed, side=side, drawn=drawn, asked=asked)
    (folder / "README.md").write_text(card, encoding="utf-8")


def drawing_row(item: MiniDrawing) -> dict[str, Any]:
    questions = [{"question": each.question, "answer": each.answer} for each in item.questions]
    return {"index": item.id.index, "task_type": item.id.category, "question_list": questions}


def choice_row(item: MiniChoice) -> dict[str, Any]:
    return {
        "index": item.id.index,
        "task_type": item.id.category,
        "input_image": f"./{image_path(item)}",
        "question": item.question,
        "option": list(item.options),
        "answer": item.answer,
        "evaluation_prompt": item.evaluation_prompt,
    }


def image_path(item: MiniChoice) -> str:
    return f"image/{item.id.category}/{item.puzzle.subtask}/images/img_{item.id.index:05d}.png"


def gold_path(item: MiniChoice) -> str:
    return f"gold/{item.id.category}/{item.puzzle.subtask}/images/img_{item.id.index:05d}.png"


def save_pictures(folder: Path, item: MiniChoice) -> None:
    for name, picture in ((image_path(item), item.puzzle.picture), (gold_path(item), item.puzzle.gold)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
