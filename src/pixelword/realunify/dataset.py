"""Reading the four files of RealUnify from a folder: items of both tracks, joined, checked, and nothing copied.

Deviations are counted as findings and refused only with `strict`. An image path that leaves the folder, a file that is
no list of objects, and a folder without any of the files are always refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelword.errors import DataError
from pixelword.realunify.findings import Finding, Findings
from pixelword.realunify.paths import inside
from pixelword.realunify.prompts import prompt_inside
from pixelword.realunify.rows import Row, check_row
from pixelword.realunify.taxonomy import CATEGORIES, ITEMS_PER_CATEGORY, ItemId, Track, categories_of

FILES = {
    Track.UEG: ("UEG_direct.json", "UEG_step.json"),
    Track.GEU: ("GEU_direct.json", "GEU_step.json"),
}


@dataclass(frozen=True)
class Question:
    """A question to the judge and the verdict, "yes" or "no", that a right picture gets."""

    question: str
    answer: str


@dataclass(frozen=True)
class DrawingItem:
    """A UEG item: a prompt, the request to rewrite it, and the judge's questions. `extra` keeps unknown fields."""

    id: ItemId
    prompt: str | None
    new_prompt: str | None
    questions: tuple[Question, ...]
    subtask: str | None
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class ChoiceItem:
    """A GEU item: an image, a question with options, its letter, and the requests of both protocols."""

    id: ItemId
    image: Path
    question: str
    options: tuple[str, ...]
    answer: str
    evaluation_prompt: str
    edit_prompt: str | None
    subtask: str | None
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """The items of a folder.

    Args:
        expected: every item that a row names, also those whose row cannot be used: the denominators.
        sha256: file name -> hash of the file as it was read.
    """

    folder: Path
    drawing: tuple[DrawingItem, ...]
    choice: tuple[ChoiceItem, ...]
    expected: frozenset[ItemId]
    findings: tuple[Finding, ...]
    sha256: Mapping[str, str]


def read_benchmark(folder: Path, *, strict: bool = False, subtasks: Mapping[ItemId, str] | None = None) -> Benchmark:
    """Read whichever of the four files a folder holds.

    Args:
        strict: refuse deviations instead of counting them.
        subtasks: names that the files do not hold; for GEU they follow from the image paths.

    Raises:
        DataError: see the top of this module.
    """
    findings, hashes = Findings(), {}
    rows: dict[str, dict[ItemId, Row]] = {}
    for name in (name for names in FILES.values() for name in names if (folder / name).is_file()):
        content = (folder / name).read_bytes()
        hashes[name] = hashlib.sha256(content).hexdigest()
        rows[name] = index_rows(name, parse_rows(name, content), findings)
    if not rows:
        raise DataError(
            "the folder holds none of the benchmark's files",
            got=folder,
            fix="give the folder with " + ", ".join(name for names in FILES.values() for name in names),
        )
    known = dict(subtasks or {})
    drawing = [drawing_item(*pair, known) for pair in joined(Track.UEG, rows, findings)]
    choice = [choice_item(*pair, folder, known, findings) for pair in joined(Track.GEU, rows, findings)]
    expected = frozenset(item for by_item in rows.values() for item in by_item)
    check_numbers(expected, [track for track, names in FILES.items() if set(names) & set(rows)], findings)
    if strict:
        findings.refuse_any()
    return Benchmark(
        folder,
        tuple(item for item in drawing if item is not None),
        tuple(item for item in choice if item is not None),
        expected,
        findings.result(),
        hashes,
    )


def parse_rows(name: str, content: bytes) -> list[Any]:
    """The rows of a file, which is an array."""
    try:
        rows = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON in UTF-8", got=error, fix="fetch the file again") from error
    if not isinstance(rows, list):
        raise DataError(f"{name} is not an array of items", got=type(rows).__name__, fix="fetch the file again")
    return rows


def index_rows(name: str, rows: list[Any], findings: Findings) -> dict[ItemId, Row]:
    """Item -> row; unusable rows keep their place in the denominators and hold None."""
    found: dict[ItemId, Row] = {}
    indices: Counter[int] = Counter()
    track = next(track for track, names in FILES.items() if name in names)
    for place, row in enumerate(rows):
        task = row.get("task_type") if isinstance(row, dict) else None
        index = row.get("index") if isinstance(row, dict) else None
        if not isinstance(task, str) or task not in categories_of(track):
            findings.add(name, "row without a known task_type", f"row {place}")
        elif not isinstance(index, int) or isinstance(index, bool):
            findings.add(name, "row without a whole number as index", f"row {place}")
        elif (item := ItemId(task, index)) in found:
            findings.add(name, "the same item twice (the first is kept)", item)
        else:
            indices[index] += 1
            if indices[index] == 2:
                findings.add(name, "one index in two categories", index)
            found[item] = check_row(name, item, row, findings)
    return found


def joined(track: Track, rows: Mapping[str, Mapping[ItemId, Row]], findings: Findings) -> list[tuple[ItemId, Row, Row]]:
    """(item, direct row, step row) of a track in the order of the files; a row is None where it is absent."""
    direct, step = (rows.get(name) for name in FILES[track])
    for here, there, name in ((direct, step, FILES[track][1]), (step, direct, FILES[track][0])):
        for item in here or {}:
            if there is not None and item not in there:
                findings.add(name, "item of the other file missing", item)
    both = dict.fromkeys([*(direct or {}), *(step or {})])
    return [(item, (direct or {}).get(item), (step or {}).get(item)) for item in both]


def drawing_item(item: ItemId, direct: Row, step: Row, subtasks: Mapping[ItemId, str]) -> DrawingItem | None:
    if direct is None and step is None:
        return None
    row = {**(step or {}), **(direct or {})}
    new_prompt = (step or {}).get("new_prompt")
    return DrawingItem(
        item,
        row.get("prompt") or (prompt_inside(new_prompt) if new_prompt else None),
        new_prompt,
        tuple(Question(asked["question"], asked["answer"]) for asked in row["question_list"]),
        subtasks.get(item) or row.get("subtask"),
        {key: value for key, value in row.items() if key not in {"index", "task_type", "question_list", "prompt"}},
    )


def choice_item(
    item: ItemId, direct: Row, step: Row, folder: Path, subtasks: Mapping[ItemId, str], findings: Findings
) -> ChoiceItem | None:
    if direct is None and step is None:
        return None
    row = {**(step or {}), **(direct or {})}
    image = inside(folder, row["input_image"])
    if not image.is_file():
        findings.add(FILES[Track.GEU][0], "image missing", row["input_image"])
    return ChoiceItem(
        item,
        image,
        row["question"],
        tuple(row["options"]),
        row["answer"],
        row["evaluation_prompt"],
        (step or {}).get("edit_prompt"),
        subtasks.get(item) or subtask_in(row["input_image"], item.category),
        {
            key: value
            for key, value in row.items()
            if key not in {"index", "task_type", "question", "options", "answer"}
        },
    )


def subtask_in(image: str, category: str) -> str | None:
    """The folder between the category and `images` in an image path."""
    parts = image.replace("\\", "/").split("/")
    for before, name, after in zip(parts, parts[1:], parts[2:], strict=False):
        if (before, after) == (category, "images"):
            return name
    return None


def check_numbers(expected: frozenset[ItemId], tracks: list[Track], findings: Findings) -> None:
    numbers = Counter(item.category for item in expected)
    for name, category in CATEGORIES.items():
        if category.track in tracks and numbers[name] != ITEMS_PER_CATEGORY:
            findings.add(f"{category.track} files", "category without exactly 100 items", f"{name}: {numbers[name]}")
