"""Import of finished runs in the released layout: the benchmark's rows with a model's replies and paths filled in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelword.errors import DataError
from pixelword.realunify.dataset import Benchmark, ChoiceItem, DrawingItem
from pixelword.realunify.findings import Finding, Findings
from pixelword.realunify.letters import Mode
from pixelword.realunify.results import ItemResult, score_choice
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Status


@dataclass(frozen=True)
class Imported:
    """What a finished file holds.

    Args:
        results: one for each row that is decided or failed.
        to_judge: item -> picture of UEG rows that have no score yet.
        replies: item -> the stored reply, for reading it again in another mode.
    """

    results: tuple[ItemResult, ...]
    to_judge: dict[ItemId, str]
    replies: dict[ItemId, object]
    findings: tuple[Finding, ...]


def import_results(path: Path, benchmark: Benchmark, protocol: Protocol, *, mode: Mode = "strict") -> Imported:
    """Read a finished `.json` (an array) or `.jsonl` file of either track.

    Rows are matched by index and task_type, in any order. Rows that are null (the released code writes them for
    lost items), unknown or double are findings; their items stay without a result and count as missing. A `score`
    beside an empty picture path is a failure (`image_missing`), whatever the number says.

    Raises:
        DataError: another kind of file, or one that cannot be read.
    """
    findings = Findings()
    items: dict[ItemId, DrawingItem | ChoiceItem] = {item.id: item for item in benchmark.drawing}
    items |= {item.id: item for item in benchmark.choice}
    results: dict[ItemId, ItemResult] = {}
    to_judge: dict[ItemId, str] = {}
    replies: dict[ItemId, object] = {}
    for place, row in enumerate(read_rows(path)):
        item = item_of(row, items)
        if item is None:
            findings.add(path.name, "row that is no item of the data set", f"row {place}")
            continue
        if item.id in results or item.id in to_judge:
            findings.add(path.name, "the same item twice (the first is kept)", item.id)
            continue
        if isinstance(item, ChoiceItem):
            replies[item.id] = row.get("response")
            results[item.id] = choice_result(item, row.get("response"), protocol, mode)
            continue
        picture, score = row.get("generated_image"), row.get("score")
        if not isinstance(picture, str) or not picture.strip():
            results[item.id] = ItemResult(item.id, protocol, Status.IMAGE_MISSING, subtask=item.subtask)
        elif score is None:
            to_judge[item.id] = picture
        elif score in (0, 1):
            results[item.id] = ItemResult(item.id, protocol, Status.OK, bool(score), subtask=item.subtask)
        else:
            findings.add(path.name, "a score other than 0 and 1 (to be judged again)", item.id)
            to_judge[item.id] = picture
    return Imported(tuple(results.values()), to_judge, replies, findings.result())


def choice_result(item: ChoiceItem, reply: object, protocol: Protocol, mode: Mode) -> ItemResult:
    """A stored reply as a result; an absent one is a call that failed, not a wrong answer."""
    if isinstance(reply, list):
        reply = reply[0] if reply else None
    if not isinstance(reply, str):
        return ItemResult(item.id, protocol, Status.STAGE2_FAILED, subtask=item.subtask)
    reading = score_choice(reply, item.answer, mode=mode, options=item.options)
    return ItemResult(item.id, protocol, reading.status, reading.right, subtask=item.subtask)


def item_of(row: Any, items: dict[ItemId, DrawingItem | ChoiceItem]) -> DrawingItem | ChoiceItem | None:
    if not isinstance(row, dict):
        return None
    index, task = row.get("index"), row.get("task_type")
    if type(index) is not int or not isinstance(task, str) or task not in CATEGORIES:
        return None
    return items.get(ItemId(task, index))


def read_rows(path: Path) -> list[Any]:
    """The rows of a finished file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        rows = json.loads(text) if path.suffix == ".json" else None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} cannot be read", got=error, fix="give a complete file in UTF-8") from error
    if not isinstance(rows, list):
        raise DataError(
            f"{path.name} is no finished result file", got=path.suffix, fix="give .json with an array, or .jsonl"
        )
    return rows
