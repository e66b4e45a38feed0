"""Wholes and their parts as bars of one length, such as where the items of each category ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pixelword.errors import InputError
from pixelword.report.pieces import Fold, Table
from pixelword.report.plots import Colour, colour_of
from pixelword.report.words import Words


@dataclass(frozen=True)
class StackedBars:
    """One bar per whole, cut into the same parts. The numbers stand in the bars and, folded, under them.

    Args:
        parts: their names, in the order of every bar; parts that no bar has are left out.
        rows: (name, count of each part) of each bar.
        colours: one for each part.
    """

    parts: Sequence[str]
    rows: Sequence[tuple[Words, Sequence[int]]]
    caption: Words = ""
    colours: Sequence[Colour] | None = None
    template: ClassVar[str] = "stacked_bars.html"

    def __post_init__(self) -> None:
        counts = [len(row) for _, row in self.rows] + [len(each) for each in (self.colours,) if each is not None]
        if any(count != len(self.parts) for count in counts) or any(n < 0 for _, row in self.rows for n in row):
            raise InputError(
                "a stacked bar has one count and one colour per part",
                got=f"{counts} for {len(self.parts)} parts",
                fix="use 0 for an empty part",
            )

    @property
    def shown(self) -> list[tuple[int, str, str]]:
        """(place, name, colour) of the parts that occur."""
        return [
            (place, name, colour_of(place, self.colours[place] if self.colours is not None else None))
            for place, name in enumerate(self.parts)
            if any(row[place] for _, row in self.rows)
        ]

    @property
    def numbers(self) -> Fold:
        """The table under the bars."""
        table = Table(
            ["", *(name for _, name, _ in self.shown), "together"],
            [[name, *(row[place] for place, _, _ in self.shown), sum(row)] for name, row in self.rows],
        )
        return Fold("the numbers", [table])
