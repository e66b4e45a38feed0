"""Scores of Inspect from our records: each metric divides by the expected items, whatever came back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    NOANSWER,
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    Value,
    metric,
    scorer,
)
from inspect_ai.solver import TaskState

from pixelword.realunify.records import ItemRecord
from pixelword.realunify.results import ItemResult
from pixelword.realunify.scores import ScoreTable, score_table
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Status, Track

RECORD = "item_record"
"""Where a sample's state holds its finished record."""


@metric
def realunify_scores(expected: list[str], track: str, protocol: str) -> Metric:
    """Percentages of a track and its categories, coverage, and how many items ended in each status.

    Args:
        expected: every item that was to be asked: the denominators.
    """

    def compute(scores: list[SampleScore]) -> Value:
        # Of several samples of an item, the first counts here; the store has all.
        firsts: dict[ItemId, ItemResult] = {}
        for each in scores:
            result = result_of(each.score, Protocol(protocol))
            if result is not None:
                firsts.setdefault(result.item, result)
        return numbers(
            score_table(firsts.values(), [ItemId.read(item) for item in expected], Protocol(protocol)), track
        )

    return compute


def numbers(table: ScoreTable, track: str) -> Mapping[str, float]:
    """A table as Inspect shows it: NaN where there is no score."""
    cells = table.categories
    found: dict[str, float] = {}
    complete = not any(cell.open for cell in cells.values())
    average = table.average(Track(track))
    found[track] = float(average) if average is not None and complete else math.nan
    for name, cell in cells.items():
        found[CATEGORIES[name].short] = math.nan if cell.percent is None else float(cell.percent)
    expected = sum(cell.expected for cell in cells.values())
    found["coverage"] = 100 * sum(cell.answered for cell in cells.values()) / expected
    found["missing"] = sum(cell.missing for cell in cells.values())
    for status in Status:
        if number := sum(cell.statuses.get(status, 0) for cell in cells.values()):
            found[str(status)] = number
    return found


def result_of(score: Score, protocol: Protocol) -> ItemResult | None:
    """The result that a score's metadata holds; None for a score that is not ours."""
    held = (score.metadata or {}).get("result")
    if held is None:
        return None
    return ItemResult(
        ItemId.read(held["item"]),
        protocol,
        Status(held["status"]),
        held["right"],
        passed=held["passed"],
        questions=held["questions"],
        subtask=held["subtask"],
    )


@scorer(metrics=[])
def realunify_scorer() -> Scorer:
    """Inspect's letters for an item: C right, I wrong, N for a failure, which our metrics keep apart by its status."""

    async def score(state: TaskState, target: Target) -> Score:
        record: ItemRecord | None = state.metadata.get(RECORD)
        if record is None:
            return Score(value=NOANSWER, explanation="the item was not finished")
        return as_score(record)

    return score


def as_score(record: ItemRecord) -> Score:
    result = record.result()
    held: dict[str, Any] = {
        "item": record.item,
        "status": str(record.status),
        "right": record.right,
        "passed": result.passed,
        "questions": result.questions,
        "subtask": record.subtask,
    }
    return Score(
        value=NOANSWER if result.point is None else CORRECT if result.point else INCORRECT,
        answer=record.read or (record.picture.sha256 if record.picture else None),
        explanation=record.note or str(record.status),
        metadata={"result": held},
    )
