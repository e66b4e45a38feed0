"""What an experiment leaves: the numbers as JSON, a table in Markdown, two plots as SVG, and a page of all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from pixelword.ablate.compare import Line, Spread, compare, off_the_scale
from pixelword.ablate.outcome import Outcome
from pixelword.ablate.plan import Arm
from pixelword.report import BarGroup, BarPlot, Estimate, Page, Paragraph, Table
from pixelword.report.drawing import WIDE, draw
from pixelword.report.svg import INK
from pixelword.train import write_json, write_whole

TITLES = {
    "rows": "Attention pattern and position scheme",
    "depth": "Depth of the pre-Buffer",
    "reuse": "A trained pre-Buffer in front of a fresh language model",
    "reuse-other": "A trained pre-Buffer in front of another language model",
}
LONGEST_LABEL = 31
"""Letters that a plot has room for in front of its bars."""
READING = (
    "Right words of descriptions of held-out pictures. Brackets: 95 % interval over seeds (Student's t). "
    "A difference is taken seed by seed; it is called better or worse only where its interval leaves out zero, and "
    "these intervals are not corrected for being several."
)


def write_results(out: Path, name: str, arms: Sequence[Arm], outcomes: Sequence[Outcome], floor: float) -> Path:
    """Write everything about an experiment into the folder of its runs; returns the page.

    `floor` is the share of right words that needs no picture.
    """
    lines = compare(arms, outcomes)
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    runs = [outcome.model_dump(mode="json") for outcome in outcomes]
    write_json(
        out / f"{name}.json",
        {"experiment": name, "floor": floor, **run, "arms": [as_json(line) for line in lines], "runs": runs},
    )
    write_whole(out / f"{name}.md", markdown(lines))
    shares, differences = plots(lines, floor)
    write_whole(out / f"{name}.svg", alone(shares))
    write_whole(out / f"{name}-differences.svg", alone(differences))
    budget = run["budget"]
    page = Page(
        TITLES[name],
        f"{budget['see']} + {budget['answer']} steps of {budget['pictures']} pictures for every run.",
        footer=f"{run['machine']}, " + ", ".join(f"{key} {value}" for key, value in run["versions"].items()),
    )
    page.add(Paragraph(READING, tone="note"))
    if warning := off_the_scale(lines):
        page.add(Paragraph(warning, tone="warning"))
    page.section("Right words", shares, Table(*cells(lines), caption="All arms."))
    page.section("Beside row H", differences)
    path = out / f"{name}.html"
    page.write(path)
    return path


def words(spread: Spread | None, sign: bool = False) -> str:
    """A mean with its interval, in points of percent: `66.7 [60.1, 73.3]`."""
    if spread is None:
        return ""
    mean = f"{100 * spread.mean:+.1f}" if sign else f"{100 * spread.mean:.1f}"
    if spread.low is None or spread.high is None:
        return mean
    return f"{mean} [{100 * spread.low:.1f}, {100 * spread.high:.1f}]"


def cells(lines: Sequence[Line]) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows of the table."""
    kinds = sorted(lines[0].kinds)
    known = any(line.arm.paper is not None for line in lines)
    headings = ["arm", "design", "right, %", "to H, points", "reading", "Wilson, %"]
    headings += [f"{kind}, %" for kind in kinds] + ["parameters", "stage 1 trains", "seeds", "CPU s"]
    rows = []
    for line in lines:
        row: list[Any] = [line.arm.name, line.arm.title, words(line.right), words(line.difference, sign=True)]
        row += [line.verdict, str(line.pooled)]
        row += [f"{100 * line.kinds[kind].value:.1f}" for kind in kinds]
        row += [line.parameters, line.trained["see"], len(line.shares), None if line.cpu is None else round(line.cpu)]
        rows.append(row + ([line.arm.paper] if known else []))
    return headings + (["paper"] if known else []), rows


def markdown(lines: Sequence[Line]) -> str:
    """The table in Markdown."""
    headings, rows = cells(lines)
    shown = [
        ["" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows
    ]
    table = [headings, ["---"] * len(headings), *shown]
    text = "\n".join("| " + " | ".join(row) + " |" for row in table) + "\n"
    warning = off_the_scale(lines)
    return f"{text}\n{warning}\n" if warning else text


def plots(lines: Sequence[Line], floor: float) -> tuple[BarPlot, BarPlot]:
    """The shares with both intervals, and the differences to the reference."""
    names = labels(lines)
    over_seeds = [estimate(line.right, (0.0, 1.0)) for line in lines]
    ends = [floor, *(end for line in lines for end in (line.pooled.low, line.pooled.high))]
    ends += [end for one in over_seeds if one for end in (one.low, one.high)]
    shares = BarPlot(
        names,
        [
            BarGroup("mean of seeds, t interval", over_seeds),
            BarGroup("all words, Wilson", [line.pooled for line in lines]),
        ],
        chance=floor,
        marks="dots",
        limits=(max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03)),
        x_label="right words",
        caption="Right words of held-out descriptions. Dashed: the best guess without the picture.",
    )
    others = [line for line in lines if line.difference is not None]
    apart = [estimate(line.difference) for line in others]
    widest = max((abs(end) for one in apart if one for end in (one.low, one.high)), default=0.1) + 0.01
    differences = BarPlot(
        labels(others),
        [BarGroup("difference to H, paired by seed, t interval", apart)],
        chance=0.0,
        marks="dots",
        limits=(-widest, widest),
        x_label="right words, difference to H",
        caption="Left of the line: fewer right words than row H.",
    )
    return shares, differences


def labels(lines: Sequence[Line]) -> list[str]:
    """Names of arms with their designs; without them where one would be cut off: they stand in the table."""
    whole = [f"{line.arm.name}  {line.arm.title}" for line in lines]
    return whole if all(len(label) <= LONGEST_LABEL for label in whole) else [line.arm.name for line in lines]


def estimate(spread: Spread | None, inside: tuple[float, float] = (-1.0, 1.0)) -> Estimate | None:
    """For a plot; an interval that leaves what is possible is cut there. None for a single seed."""
    if spread is None or spread.low is None or spread.high is None:
        return None
    return Estimate(spread.mean, max(inside[0], spread.low), min(inside[1], spread.high))


def alone(plot: BarPlot) -> str:
    """A plot as a file of its own: with fixed colours, a ground and its legend as text above it."""
    svg = draw(plot, WIDE, "a").svg
    for name, colour in INK.items():
        svg = svg.replace(f"var(--{name})", colour)
    width, height = (float(number) for number in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    marks = {"circle": "\u25cf", "square": "\u25a0", "chance": "\u2506"}
    legend, place = "", 12.0
    for entry in plot.legend:
        said = (
            ("no difference" if plot.chance == 0.0 else "without the picture") if entry.sign == "chance" else entry.name
        )
        colour = INK.get(entry.colour, INK["ink"])
        text = escape(f"{marks.get(entry.sign, '')} {said}")
        legend += f'<text x="{place:g}" y="18" font-size="12" fill="{colour}">{text}</text>'
        place += 30 + 6.6 * len(said)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -28 {width:g} {height + 28:g}" width="{width:g}" '
        f'height="{height + 28:g}" font-family="sans-serif">'
        f'<rect x="0" y="-28" width="{width:g}" height="{height + 28:g}" fill="{INK["paper"]}"/>'
        f'<g transform="translate(0 -28)">{legend}</g>{body}</svg>\n'
    )


def as_json(line: Line) -> dict[str, Any]:
    """A line of the table as plain numbers."""

    def numbers(spread: Spread | None) -> dict[str, float | None] | None:
        return None if spread is None else {"mean": spread.mean, "low": spread.low, "high": spread.high}

    return {
        "arm": line.arm.model_dump(mode="json"),
        "shares": list(line.shares),
        "right": numbers(line.right),
        "pooled": {
            "right": line.pooled.right,
            "asked": line.pooled.asked,
            "low": line.pooled.low,
            "high": line.pooled.high,
        },
        "difference": numbers(line.difference),
        "reading": line.verdict,
        "kinds": {kind: [share.right, share.asked] for kind, share in line.kinds.items()},
        "parameters": line.parameters,
        "trained": line.trained,
        "cpu": line.cpu,
    }
