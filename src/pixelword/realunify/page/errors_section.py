"""The error classes of each run with their automatic signs, and what edits did to their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pixelword.realunify.edits import EditSigns, edit_is_right, edit_signs
from pixelword.realunify.error_classes import SIGNS, ErrorClass, error_classes
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.looks import Look
from pixelword.realunify.page.numbers import category_name
from pixelword.realunify.page.scores_section import arms_of
from pixelword.realunify.records import ItemRecord
from pixelword.realunify.taxonomy import ItemId, Protocol, Track
from pixelword.report import Fold, Paragraph, Piece, Proportion, Table
from pixelword.report.pieces import Cell

DEFAULT_PATCHES = 4


@dataclass(frozen=True)
class Signs:
    """What a program sees of every item of a run: its edit, and the classes of its error."""

    edits: Mapping[tuple[Protocol, ItemId], EditSigns]
    classes: Mapping[tuple[Protocol, ItemId], tuple[ErrorClass, ...]]


def edits_of(run: EvaluatedRun, looks: Mapping[str, Look]) -> dict[tuple[Protocol, ItemId], EditSigns]:
    """The signs of every edited picture; the true one is that of the run with true intermediates."""
    oracle = run.arms.get(Protocol.ORACLE_INTERMEDIATE)
    found = {}
    for protocol, arm in run.arms.items():
        for item, record in arm.records.items() if protocol != Protocol.ORACLE_INTERMEDIATE else ():
            gold = oracle.records.get(item) if oracle is not None else None
            if (seen := edit_of(record, gold, looks)) is not None:
                found[protocol, item] = seen
    return found


def signs_of(run: EvaluatedRun, edits: Mapping[tuple[Protocol, ItemId], EditSigns]) -> Signs:
    """The signs of all items of a run whose stage one was checked as far as can be."""
    classes = {}
    for protocol, arm in run.arms.items():
        for item, record in arm.records.items():
            if found := error_classes(record, edits.get((protocol, item)), run.blocked):
                classes[protocol, item] = found
    return Signs(edits, classes)


def with_checked_edits(run: EvaluatedRun, edits: Mapping[tuple[Protocol, ItemId], EditSigns]) -> EvaluatedRun:
    """The run with stage one of stepwise GEU decided by its edited pictures, where nothing else decided it."""
    arm = run.arms.get(Protocol.STEPWISE)
    if arm is None:
        return run
    records = dict(arm.records)
    for item, record in arm.records.items():
        seen = edits.get((Protocol.STEPWISE, item))
        if seen is not None and record.stage_one_right is None:
            right = edit_is_right(record.category, seen)
            records[item] = record.model_copy(update={"stage_one_right": right})
    checked = replace(arm, records=records)
    return replace(run, arms={**run.arms, Protocol.STEPWISE: checked})


def edit_of(record: ItemRecord, gold: ItemRecord | None, looks: Mapping[str, Look]) -> EditSigns | None:
    """The signs of one edited picture; None where there is none or it cannot be decoded."""
    if record.source is None or record.intermediate is None:
        return None
    source, edited = (looks.get(picture.sha256) for picture in (record.source, record.intermediate))
    if source is None or edited is None or source.floats is None or edited.floats is None:
        return None
    true = looks.get(gold.intermediate.sha256) if gold is not None and gold.intermediate is not None else None
    patches = patches_of(record) if record.category == "mental_reconstruction" else 0
    return edit_signs(source.floats, edited.floats, None if true is None else true.floats, patches=patches)


def patches_of(record: ItemRecord) -> int:
    """Patches along a side: a subtask such as `3x3` says it."""
    first = (record.subtask or "").partition("x")[0]
    return int(first) if first in {"2", "3", "4", "6", "8"} else DEFAULT_PATCHES


def errors(runs: Sequence[EvaluatedRun], signs: Sequence[Signs]) -> list[Piece]:
    """The table of classes by protocol, and of edits by category."""
    arms = arms_of(runs)
    by_run = {run.name: each for run, each in zip(runs, signs, strict=True)}
    counts = [
        Counter(
            kind
            for (protocol, _), kinds in by_run[arm.run].classes.items()
            if protocol == arm.protocol
            for kind in kinds
        )
        for _, arm in arms
    ]
    rows: list[list[Cell]] = [
        [kind.value, *(count[kind] if has_sign(kind) else None for count in counts)]
        for kind in ErrorClass
        if not has_sign(kind) or any(count[kind] for count in counts)
    ]
    told = (
        "Items that are not right, by what a program can see of them. A sign is a hint and no diagnosis; an item may "
        "show several. Look at the items below before you believe a class."
    )
    columns = ["error class", *(label for label, _ in arms)]
    meanings = Table(["error class", "sign"], [[kind.value, SIGNS[kind]] for kind in ErrorClass])
    pieces: list[Piece] = [
        Paragraph(told),
        Table(columns, rows, "Items with each sign. An empty row has no sign that a program could see."),
        Fold("what the signs are", [meanings]),
    ]
    for run, each in zip(runs, signs, strict=True):
        if (table := edits_table(run, each, named=len(runs) > 1)) is not None:
            pieces.append(table)
    return pieces


def has_sign(kind: ErrorClass) -> bool:
    return not SIGNS[kind].startswith("none")


def edits_table(run: EvaluatedRun, signs: Signs, *, named: bool) -> Table | None:
    """What the edits of stepwise did, by category."""
    arm: Arm | None = run.arms.get(Protocol.STEPWISE) or run.arms.get(Protocol.STEPWISE_BOTH_IMAGES)
    if arm is None:
        return None
    rows: list[list[Cell]] = []
    for name in arm.categories(Track.GEU):
        mine = [
            each for (protocol, item), each in signs.edits.items() if protocol == arm.protocol and item.category == name
        ]
        if mine:
            rows.append(
                [
                    category_name(name),
                    Proportion(sum(each.unchanged for each in mine), len(mine)),
                    Proportion(sum(each.destroyed for each in mine), len(mine)),
                    percent_mean([each.hit for each in mine]),
                    percent_mean([each.kept for each in mine]),
                    percent_mean([each.patches for each in mine]),
                ]
            )
    if not rows:
        return None
    caption = (
        f"{run.name + ': w' if named else 'W'}hat the edits of {arm.protocol} did. Where the true picture is known: "
        "how many of the pixels that had to change came nearer to it, how many of the others stayed, and how many "
        "patches are in their place."
    )
    columns = ["", "unchanged", "evidence gone", "hit, %", "kept, %", "patches in place, %"]
    return Table(columns, rows, caption, digits=1)


def percent_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return 100 * sum(known) / len(known) if known else None
