"""The page of an evaluation: rates beside chance, what became of the answers, and a gallery with the mistakes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL.Image import Image

from pixelword.jigsaw.puzzle import Puzzle
from pixelword.jigsaw.scoring import STATUSES, Group, Scored
from pixelword.jigsaw.sheets import shown_sheet
from pixelword.report import (
    Answer,
    BarGroup,
    BarPlot,
    Card,
    Estimate,
    Fold,
    Gallery,
    Listing,
    Page,
    Paragraph,
    Picture,
    Table,
    Tile,
    Tiles,
)
from pixelword.report.pieces import Cell

KEPT = 60
RIGHT_KEPT = 12
SIDE = 320
SHOWN = {"ok": "wrong order", "partial": "wrong order"}
"""Words for statuses that only the reward tells apart."""
LONGEST_REPLY = 2000
"""Characters of a reply on the page; the file of replies has all."""


@dataclass
class Shelf:
    """Puzzles kept for the gallery: the first so many mistakes, and some that are right.

    Args:
        most: mistakes kept.
        most_right: right answers kept.
    """

    most: int = KEPT
    most_right: int = RIGHT_KEPT
    kept: list[tuple[Scored, Image, str]] = field(default_factory=list)
    _room: dict[bool, int] = field(init=False)

    def __post_init__(self) -> None:
        self._room = {False: self.most, True: self.most_right}

    def keep(self, puzzle: Puzzle, scored: Scored) -> None:
        """Keep it if there is room."""
        if self._room[scored.exact] > 0:
            self._room[scored.exact] -= 1
            self.kept.append((scored, shown_sheet(puzzle, SIDE), puzzle.text()))


def score_page(title: str, subtitle: str, groups: Sequence[Group], shelf: Shelf, footer: str = "") -> Page:
    """All that was measured, on one page."""
    page = Page(title, subtitle, footer)
    asked, answered = sum(len(group.scored) for group in groups), sum(len(group.answered) for group in groups)
    page.add(Tiles([Tile(str(asked), "puzzles"), Tile(str(answered), "answered"), *map(exact_tile, groups)]))
    if answered < asked:
        page.add(
            Paragraph(
                f"Of {asked} puzzles, {asked - answered} without an answer, because something broke or nobody was "
                "asked. They are left out of every rate below.",
                tone="warning",
            )
        )
    page.section("Rates").add(rates(groups), *plot(groups), nearness(groups))
    page.section("What became of the answers").add(statuses(groups))
    if shelf.kept:
        told = f"The first {shelf.most} mistakes and {shelf.most_right} right answers at most, mistakes first."
        page.section("Puzzles").add(Paragraph(told), Gallery([card(*one) for one in shelf.kept]))
    return page


def exact_tile(group: Group) -> Tile:
    return Tile(group.exact, f"in the right order, {group.difficulty}", f"chance {group.chance_exact:.2g}")


def rates(groups: Sequence[Group]) -> Table:
    rows: list[list[Cell]] = [
        [
            group.difficulty,
            len(group.answered),
            group.exact if group.answered else None,
            f"{group.chance_exact:.2g}",
            group.places,
            group.pieces,
            "above" if group.above_chance else "not above",
        ]
        for group in groups
    ]
    heads = ["puzzle", "answered", "exact", "chance", "right places", "of", "chance line of 1"]
    caption = (
        "Exact: the right order, Wilson interval. Right places: mean, with none for answers that cannot be read, "
        "bootstrap interval. 95 % each."
    )
    return Table(heads, rows, caption=caption)


def nearness(groups: Sequence[Group]) -> Table:
    """What the readable answers have of the right order beyond right places."""
    rows: list[list[Cell]] = [
        [group.difficulty, group.permutations if group.answered else None, group.tau, group.neighbours]
        for group in groups
    ]
    caption = "Answers that can be read, and means over them: Kendall's tau (0 by chance), neighbours kept in a grid."
    return Table(["puzzle", "readable", "Kendall's tau", "neighbours kept"], rows, caption=caption)


def plot(groups: Sequence[Group]) -> list[BarPlot]:
    """Share of right places; nothing where nothing was answered."""
    known = [(group, group.places) for group in groups]
    shares = [
        Estimate(found.value / group.pieces, found.low / group.pieces, found.high / group.pieces)
        for group, found in known
        if found is not None
    ]
    there = [group for group, found in known if found is not None]
    if not there:
        return []
    chance = [group.chance_places / group.pieces for group in there]
    caption = "Share of right places, and that of a random order."
    return [BarPlot([group.difficulty for group in there], [BarGroup("model", shares)], chance=chance, caption=caption)]


def statuses(groups: Sequence[Group]) -> Table:
    counts = [(group.difficulty, status, count) for group in groups for status, count in group.statuses.items()]
    rows: list[list[Cell]] = [[name, status, count, STATUSES[status]] for name, status, count in counts]
    return Table(["puzzle", "status", "answers", "meaning"], rows)


def card(scored: Scored, sheet: Image, prompt: str) -> Card:
    right = ", ".join(map(str, scored.asked.target))
    given = ", ".join(map(str, scored.answer)) or scored.status.replace("_", " ")
    said = scored.reply.text if scored.reply.text is not None else scored.reply.trouble or "nothing"
    places = f"{scored.places} of {len(scored.asked.target)} places, {SHOWN.get(scored.status, scored.status)}"
    return Card(
        Picture(sheet, alt=f"{scored.asked.difficulty}, {scored.asked.sample}"),
        [Answer(places, given, truth=right, right=scored.exact if scored.answered else None)],
        title=scored.asked.sample,
        tags=[scored.asked.difficulty, SHOWN.get(scored.status, scored.status)],
        more=[Fold("The reply", [Listing(said[:LONGEST_REPLY])]), Fold("The prompt", [Listing(prompt)])],
    )
