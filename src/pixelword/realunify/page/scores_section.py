"""Scores by category and track for every run and protocol, with intervals and chance, and the published ones."""

from __future__ import annotations

from collections.abc import Sequence

from pixelword.realunify.diagnosis import chance_corrected
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.numbers import average, category_name, share, total
from pixelword.realunify.published import published
from pixelword.realunify.scores import by_subtask
from pixelword.realunify.taxonomy import CATEGORIES, CHANCE, Track
from pixelword.report import BarGroup, BarPlot, Estimate, Fold, Heading, Piece, Proportion, Table
from pixelword.report.pieces import Cell

Labelled = tuple[str, Arm]


def arms_of(runs: Sequence[EvaluatedRun]) -> list[Labelled]:
    """Every run and protocol with a short name."""
    return [
        (f"{run.name}, {name}" if len(runs) > 1 else name, arm)
        for run in runs
        for arm in run.arms.values()
        for name in [arm.protocol.value.replace("_", " ")]
    ]


def scores(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """One plot and one table for each track, the totals, subtasks and published rows behind folds."""
    arms, pieces = arms_of(runs), list[Piece]()
    for track in Track:
        with_track = [(label, arm) for label, arm in arms if arm.categories(track)]
        if not with_track:
            continue
        names = [name for name in CATEGORIES if any(name in arm.table.categories for _, arm in with_track)]
        names = [name for name in names if CATEGORIES[name].track == track]
        groups = [
            BarGroup(label, [share(arm.table.categories.get(name)) for name in names]) for label, arm in with_track
        ]
        chance = CHANCE[track] or None
        told = "guessing reaches 25 %" if chance else "guessing reaches nothing"
        pieces += [
            Heading(f"{track}: {'knowing for drawing' if track == Track.UEG else 'drawing for seeing'}"),
            BarPlot(
                [category_name(name) for name in names],
                groups,
                chance,
                f"Right items of those expected, with 95 % intervals; {told}.",
                marks="dots",
            ),
            score_table_of(track, names, with_track),
        ]
    pieces.append(totals(arms))
    return [*pieces, *subtasks(arms), *published_rows(runs)]


def score_table_of(track: Track, names: Sequence[str], arms: Sequence[Labelled]) -> Table:
    rows: list[list[Cell]] = []
    for name in names:
        row: list[Cell] = [CATEGORIES[name].short]
        for _, arm in arms:
            row.append(cell_words(arm, name))
        rows.append([*row, 100 * CHANCE[track] if CHANCE[track] else None])
    averages: list[Cell] = [average(arm, track) or why_no_average(arm, track) for _, arm in arms]
    rows.append([f"{track}, mean", *averages, 100 * CHANCE[track] if CHANCE[track] else None])
    last = [len(rows) - 1]
    if CHANCE[track]:
        above = [corrected_for_chance(average(arm, track), CHANCE[track]) for _, arm in arms]
        rows.append(["above chance", *above, 0.0])
    caption = (
        "Right items in percent of those expected, with Wilson intervals; means with bootstrap intervals (Wilson's "
        "where all items agree). Where not all items were answered, the number of those that were. Above chance: 0 is "
        "what guessing reaches, 100 is everything."
    )
    columns = ["category", *(label for label, _ in arms), "chance, %"]
    if not CHANCE[track]:
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    return Table(columns, rows, caption, digits=1, emphasize=last)


def cell_words(arm: Arm, name: str) -> Cell:
    """A score; what is not supported is no zero, and coverage below 100 % stands beside it."""
    cell = arm.table.categories.get(name)
    if cell is None:
        return None
    if not cell.supported:
        return "not supported"
    found = share(cell)
    if found is None or cell.coverage == 1:
        return found
    return (found, f", {cell.answered} answered")


def why_no_average(arm: Arm, track: Track) -> str:
    cells = [arm.table.categories[name] for name in arm.categories(track)]
    if any(not cell.supported for cell in cells):
        return "not supported"
    return "incomplete" if any(cell.open for cell in cells) else "categories missing"


def corrected_for_chance(found: Estimate | None, chance: float) -> Estimate | None:
    """(share - chance) / (1 - chance), which is 0 for guessing."""
    if found is None:
        return None
    value, low, high = (chance_corrected(end, chance) for end in (found.value, found.low, found.high))
    return Estimate(value, low, high)


def totals(arms: Sequence[Labelled]) -> Table:
    rows: list[list[Cell]] = [
        [label, *(arm.headline(track) or "\u2013" for track in Track), total(arm), len(arm.records)]
        for label, arm in arms
    ]
    caption = "Averages as the benchmark prints them: one decimal, halves up. Total = 0.6 UEG + 0.4 GEU."
    return Table(["", *(track.value for track in Track), "Total", "items"], rows, caption)


def subtasks(arms: Sequence[Labelled]) -> list[Piece]:
    found = [by_subtask(arm.results) for _, arm in arms]
    keys = sorted({key for each in found for key in each})
    if not keys:
        return []
    rows: list[list[Cell]] = []
    for category, subtask in keys:
        counts = [each.get((category, subtask)) for each in found]
        cells = [None if count is None else Proportion(*count) for count in counts]
        rows.append([CATEGORIES[category].short, subtask, *cells])
    columns = ["", "subtask", *(label for label, _ in arms)]
    return [Fold("scores by subtask, of the answered items", [Table(columns, rows)])]


def published_rows(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """The published averages, unless every run is of the mini, which nothing published was asked."""
    if all(run.is_mini for run in runs):
        return []
    rows: list[list[Cell]] = [
        [row.model, row.kind.replace("_", " "), row.protocol, row.track.value, row.average, row.judge or "none needed"]
        for row in published().rows
        if row.protocol in {"direct", "stepwise", "oracle_pair"}
    ]
    columns = ["model", "kind", "protocol", "track", "average", "judge"]
    caption = "Published averages (arXiv 2509.24897v2). A UEG row compares only with runs of the same judge."
    return [Fold("published results", [Table(columns, rows, caption)])]
