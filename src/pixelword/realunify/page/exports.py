"""The numbers of a page as files: CSV for a spreadsheet, JSON for a program."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.realunify.differences import compare
from pixelword.realunify.flips import flips
from pixelword.realunify.page.arms import EvaluatedRun
from pixelword.realunify.page.boxes_section import derived_of, run_boxes
from pixelword.realunify.page.build import Report
from pixelword.realunify.page.errors_section import Signs
from pixelword.realunify.page.numbers import average
from pixelword.realunify.page.readings import asked_of
from pixelword.realunify.page.verdict import bottleneck_of
from pixelword.realunify.rounding import printed
from pixelword.realunify.taxonomy import CATEGORIES, Protocol, Status, Track

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that starts so for a formula."""


def export(folder: Path, report: Report, *, show_items: bool = False) -> list[Path]:
    """Write items.csv, scores.csv, differences.csv, flips.csv and report.json.

    Args:
        show_items: put prompts and replies into items.csv, also where they are not our own.

    Raises:
        InputError: the folder cannot be written.
    """
    runs = report.runs
    items = [row for run, each in zip(runs, report.signs, strict=True) for row in item_rows(run, each, show_items)]
    scores = [row for run in runs for row in score_rows(run)]
    changed = [row for run in runs for row in difference_rows(run)]
    flipped = [row for run in runs for row in flip_rows(run, show_items)]
    summary = {"scores": scores, "differences": changed, "runs": [run_summary(run) for run in runs]}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            write_csv(folder / name, rows)
            for name, rows in (
                ("items.csv", items),
                ("scores.csv", scores),
                ("differences.csv", changed),
                ("flips.csv", flipped),
            )
        ]
        path = folder / "report.json"
        path.write_text(json.dumps({**summary, "items": items, "flips": flipped}, indent=1) + "\n", encoding="ascii")
    except OSError as error:
        raise InputError(
            "the export cannot be written here", got=f"{folder}: {error.strerror}", fix="choose another folder"
        ) from error
    return [*written, path]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """One line for each row; texts that a spreadsheet would run get an apostrophe in front."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({key: harmless(value) for key, value in row.items()} for row in rows)
    return path


def harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def item_rows(run: EvaluatedRun, signs: Signs, show_items: bool) -> Iterable[dict[str, Any]]:
    """Every record, with its box and signs."""
    boxes = run_boxes(run)
    texts = show_items or run.is_mini
    for protocol, arm in run.arms.items():
        for item, record in arm.records.items():
            edit = signs.edits.get((protocol, item))
            box = boxes.items.get(item) if boxes is not None else None
            shown = record.picture or record.intermediate or record.source
            yield {
                "run": run.name,
                "protocol": protocol.value,
                "item": record.item,
                "category": record.category,
                "subtask": record.subtask,
                "status": record.status.value,
                "right": record.right,
                "stage_one_right": record.stage_one_right,
                "read": record.read,
                "answer": record.answer,
                "questions": len(record.polled),
                "passed": sum(each.passed for each in record.polled),
                "box": box.value if box is not None else None,
                "signs": "; ".join(signs.classes.get((protocol, item), ())),
                "edit_change": edit.change if edit is not None else None,
                "edit_hit": edit.hit if edit is not None else None,
                "picture": shown.sha256 if shown is not None else None,
                "prompt": record.prompt if texts else None,
                "rewritten": record.rewritten if texts else None,
                "reply": record.reply if texts else None,
                "note": record.note,
            }


def score_rows(run: EvaluatedRun) -> Iterable[dict[str, Any]]:
    """Every cell of the score tables."""
    for protocol, arm in run.arms.items():
        for name, cell in arm.table.categories.items():
            low, high = cell.interval or (None, None)
            yield {
                "run": run.name,
                "protocol": protocol.value,
                "track": CATEGORIES[name].track.value,
                "category": name,
                "right": cell.right if cell.supported else None,
                "expected": cell.expected,
                "percent": printed(cell.percent) if cell.percent is not None else None,
                "low": low,
                "high": high,
                "coverage": float(cell.coverage),
                "missing": cell.missing,
                **{status.value: cell.statuses.get(status, 0) for status in Status},
            }


def difference_rows(run: EvaluatedRun) -> Iterable[dict[str, Any]]:
    """Direct against every other protocol, by category."""
    direct = run.arms.get(Protocol.DIRECT)
    for protocol, arm in run.arms.items() if direct is not None else ():
        if direct is None or protocol == Protocol.DIRECT:
            continue
        for name, found in compare(direct.results, arm.results).items():
            yield {
                "run": run.name,
                "first": Protocol.DIRECT.value,
                "second": protocol.value,
                "category": name,
                **asdict(found.pairs),
                "difference": found.change.value,
                "low": found.change.percentile.low,
                "high": found.change.percentile.high,
                "p": found.p,
                "p_holm": found.adjusted_p,
            }


def flip_rows(run: EvaluatedRun, show_items: bool) -> Iterable[dict[str, Any]]:
    """Replies that the two readers read differently."""
    for protocol, arm in run.arms.items():
        for flip in flips(asked for record in arm.records.values() for asked in asked_of(record)):
            yield {
                "run": run.name,
                "protocol": protocol.value,
                "item": flip.asked.item,
                "right": flip.asked.truth,
                "strict": flip.strict,
                "reference": flip.reference,
                "changes_score": flip.changes_score,
                "reply": str(flip.asked.reply) if show_items or run.is_mini else None,
            }


def run_summary(run: EvaluatedRun) -> dict[str, Any]:
    """Averages, boxes, derived numbers and bottlenecks of one run."""
    boxes = run_boxes(run)
    arms = [run.arms.get(p) for p in (Protocol.DIRECT, Protocol.STEPWISE, Protocol.ORACLE_INTERMEDIATE)]
    direct, stepwise, oracle = arms
    found: dict[str, Any] = {
        "name": run.name,
        "models": run.models,
        "judges": run.judges,
        "boxes": {box.value: count for box, count in boxes.counts().items()} if boxes is not None else None,
        "averages": {},
        "derived": {},
        "bottleneck": {},
    }
    for track in Track:
        for protocol, arm in run.arms.items():
            value = average(arm, track) if arm.categories(track) else None
            if value is not None:
                found["averages"][f"{track} {protocol}"] = [value.value, value.low, value.high]
        derived = derived_of(run, track)
        found["derived"][track.value] = asdict(derived) if derived is not None else None
        if direct is not None and stepwise is not None and oracle is not None:
            named = bottleneck_of(track, direct, stepwise, oracle)
            found["bottleneck"][track.value] = named.words if named is not None else "not decided"
    return found
