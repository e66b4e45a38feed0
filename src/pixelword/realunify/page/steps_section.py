"""What steps change: arrows from direct to stepwise, and two runs or protocols item by item."""

from __future__ import annotations

from collections.abc import Sequence

from pixelword.realunify.differences import compare
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.numbers import category_name, change, p_text, share
from pixelword.realunify.page.verdict import difference_of
from pixelword.realunify.taxonomy import CATEGORIES, CHANCE, Protocol, Track
from pixelword.report import ArrowPlot, Heading, Paragraph, Piece, Table
from pixelword.report.pieces import Cell


def steps(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """Arrows from direct to stepwise, and the paired table behind them."""
    pieces: list[Piece] = []
    for run in runs:
        direct, stepwise = run.arms.get(Protocol.DIRECT), run.arms.get(Protocol.STEPWISE)
        if direct is None or stepwise is None:
            continue
        names = [name for name in CATEGORIES if name in direct.table.categories or name in stepwise.table.categories]
        pieces += [Heading(run.name)] * (len(runs) > 1)
        pieces += [
            ArrowPlot(
                [category_name(name) for name in names],
                ("direct", "stepwise"),
                [share(direct.table.categories.get(name)) for name in names],
                [share(stepwise.table.categories.get(name)) for name in names],
                [CHANCE[CATEGORIES[name].track] or None for name in names],
                "Each arrow leads from direct to stepwise; at the right, the change in points.",
            ),
            paired_table(direct, stepwise, ("direct", "stepwise")),
        ]
    return pieces


def paired_table(first: Arm, second: Arm, names: tuple[str, str]) -> Table:
    """Two arms item by item: the 2 x 2 counts, the difference with its interval, and exact p before and after Holm."""
    found = compare(first.results, second.results)
    rows: list[list[Cell]] = [
        [CATEGORIES[name].short, each.pairs.both, each.pairs.gained, each.pairs.lost, each.pairs.neither,
         change(each), p_text(each.p), p_text(each.adjusted_p)]
        for name, each in found.items()
    ]  # fmt: skip
    emphasized = []
    for track in Track:
        if (whole := difference_of(first, second, track)) is not None:
            emphasized.append(len(rows))
            pairs = whole.pairs
            counts = [pairs.both, pairs.gained, pairs.lost, pairs.neither]
            rows.append([track.value, *counts, change(whole), p_text(whole.p), None])
    columns = [
        "",
        "both right",
        f"only {names[1]}",
        f"only {names[0]}",
        "neither",
        "difference, points",
        "p",
        "p, Holm",
    ]
    caption = (
        "Items that both answered. Differences with bootstrap intervals (Wilson's where no item differs); McNemar's "
        "exact p for each category, corrected by Holm over the categories; a sign-flip test for each track."
    )
    return Table(columns, rows, caption, emphasize=emphasized)


def differences(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """The first run against each other one, protocol by protocol."""
    pieces: list[Piece] = []
    for other in runs[1:]:
        for protocol, arm in runs[0].arms.items():
            if protocol in other.arms:
                pieces.append(Paragraph(f"{runs[0].name} and {other.name}, {protocol.replace('_', ' ')}"))
                pieces.append(paired_table(arm, other.arms[protocol], (runs[0].name, other.name)))
    return pieces or [Paragraph("The runs share no protocol.", tone="note")]
