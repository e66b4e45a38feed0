"""Made-up items in the benchmark's layout, and made-up results. Nothing here is from the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from pixelword.realunify import prompts
from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import ItemId, Protocol, Status, Track, categories_of


def write_folder(folder: Path, per_category: int = 2) -> Path:
    """The four files and the images, `per_category` items each, numbered through each track."""
    ueg, geu = [], []
    for place in range(6 * per_category):
        category = categories_of(Track.UEG)[place // per_category]
        questions = [{"question": f"Are there {place} jars?", "answer": "yes"}, {"question": "A cup?", "answer": "no"}]
        ueg.append({"index": place, "task_type": category, "prompt": f"Draw {place} jars.", "question_list": questions})
    for place in range(4 * per_category):
        category = categories_of(Track.GEU)[place // per_category]
        image = f"./image/{category}/sort/images/img_{place}.png"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(folder / image)
        options = ["one", "two", "three", "four"]
        question = f"Which of {place}?"
        geu.append(
            {"index": place, "task_type": category, "input_image": image, "question": question, "option": options}
            | {"answer": "ABCD"[place % 4], "evaluation_prompt": prompts.choice_prompt(question, options)}
        )
    steps = [
        {key: row[key] for key in ("index", "task_type", "question_list")}
        | {"new_prompt": prompts.refine_prompt(row["prompt"])}
        for row in ueg
    ]
    edits = [row | {"edit_prompt": prompts.edit_prompt(row["task_type"], row["question"])} for row in geu]
    for name, rows in (("UEG_direct", ueg), ("UEG_step", steps), ("GEU_direct", geu), ("GEU_step", edits)):
        write(folder, f"{name}.json", rows)
    return folder


def write(folder: Path, name: str, rows: object) -> None:
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")


def read(folder: Path, name: str) -> list[dict]:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def results(category: str, points: str, protocol: Protocol = Protocol.DIRECT) -> list[ItemResult]:
    """One result for each character: `1`, `0`, or `f` for a failure, `j` for an open judge, `u` for unread, `n`."""
    kinds = {"f": Status.TIMEOUT, "j": Status.JUDGE_FAILED, "u": Status.ANSWER_UNPARSED, "n": Status.NOT_SUPPORTED}
    return [
        ItemResult(ItemId(category, index), protocol, Status.OK, point == "1")
        if point in "01"
        else ItemResult(ItemId(category, index), protocol, kinds[point])
        for index, point in enumerate(points)
    ]
