"""What a page can plot: curves over steps, and shares with intervals beside their chance.

These are the values; `pixelword.report.drawing` draws them, once for a wide and once for a narrow page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pixelword.errors import InputError, nearest
from pixelword.report.pieces import Fold, Table
from pixelword.report.statistics import Estimate, Proportion
from pixelword.report.words import Words

COLOURS = ("blue", "orange", "green", "purple", "amber", "grey")
Colour = Literal["blue", "orange", "green", "purple", "amber", "grey"]
MARKS = ("circle", "square", "diamond", "triangle", "down", "plus")  # in the order of COLOURS, for eyes without colour


def colour_of(number: int, wanted: str | None) -> str:
    """The wanted colour, or the one at this place in the palette."""
    if wanted is None:
        return COLOURS[number % len(COLOURS)]
    if wanted not in COLOURS:
        raise InputError("a plot uses the colours of the page", got=wanted, fix=nearest(wanted, COLOURS))
    return wanted


@dataclass(frozen=True)
class Series:
    """One curve. Points that are not finite are left out, and the plot says how many.

    Args:
        x, y: as many numbers each; x in rising order.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: Colour | None = None
    dashed: bool = False

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise InputError(
                "a curve has one y per x", got=f"{self.name}: {len(self.x)} x and {len(self.y)} y", fix="pass pairs"
            )


@dataclass(frozen=True)
class Stage:
    """A part of a run that starts at `start` on the x axis."""

    name: str
    start: float


@dataclass(frozen=True)
class LegendEntry:
    """A line of the legend: the sign, its colour and the words beside it."""

    sign: str
    colour: str
    name: str


@dataclass(frozen=True)
class CurvePlot:
    """Curves over a common axis.

    A long curve is drawn as the mean of each slice, over a band from the least to the greatest value in the slice.

    Args:
        stages: vertical lines with names, in rising order.
        height: CSS pixels on a wide page.
    """

    series: Sequence[Series]
    x_label: str = "step"
    y_label: str = "loss"
    caption: Words = ""
    log_x: bool = False
    log_y: bool = False
    stages: Sequence[Stage] = ()
    height: int = 320
    template: ClassVar[str] = "plot.html"

    def __post_init__(self) -> None:
        for number, one in enumerate(self.series):
            colour_of(number, one.colour)

    @property
    def legend(self) -> list[LegendEntry]:
        return [
            LegendEntry("dashed" if one.dashed else "line", colour_of(number, one.colour), one.name)
            for number, one in enumerate(self.series)
        ]

    @property
    def numbers(self) -> None:
        """Curves have too many numbers to list."""

    @property
    def description(self) -> str:
        return f"{self.y_label} over {self.x_label}: " + ", ".join(one.name for one in self.series)


Measured = Proportion | Estimate | None


@dataclass(frozen=True)
class BarGroup:
    """One measurement of every category, such as the sighted or the blind run. None where there is none."""

    name: str
    values: Sequence[Measured]
    colour: Colour | None = None


@dataclass(frozen=True)
class BarPlot:
    """Shares per category, several groups beside each other, with intervals and what chance alone would give.

    The numbers stand under the plot, folded.

    Args:
        categories: from top to bottom.
        chance: one share for all, or one per category (None where there is no chance line).
        marks: `bars`, or `dots` where a bar from zero would mislead.
        limits: ends of the axis.
    """

    categories: Sequence[str]
    groups: Sequence[BarGroup]
    chance: float | Sequence[float | None] | None = None
    caption: Words = ""
    x_label: str = "right answers"
    marks: Literal["bars", "dots"] = "bars"
    limits: tuple[float, float] = (0.0, 1.0)
    percent: bool = True
    template: ClassVar[str] = "plot.html"

    def __post_init__(self) -> None:
        for number, group in enumerate(self.groups):
            colour_of(number, group.colour)
            self.check(len(group.values), group.name)
        if isinstance(self.chance, Sequence):
            self.check(len(self.chance), "chance")
        if not self.limits[0] < self.limits[1]:
            raise InputError("an axis runs from a lower to a higher end", got=self.limits, fix="swap its ends")

    def check(self, count: int, name: str) -> None:
        if count != len(self.categories):
            raise InputError(
                "a bar plot has one value per category in each group",
                got=f"{name}: {count} values for {len(self.categories)} categories",
                fix="use None where nothing was measured",
            )

    @property
    def chances(self) -> list[float | None]:
        """The chance of each category."""
        if isinstance(self.chance, Sequence):
            return list(self.chance)
        return [self.chance] * len(self.categories)

    @property
    def legend(self) -> list[LegendEntry]:
        entries = [
            LegendEntry(MARKS[number % len(MARKS)], colour_of(number, group.colour), group.name)
            for number, group in enumerate(self.groups)
        ]
        return entries + [LegendEntry("chance", "ink", "chance")] * any(chance is not None for chance in self.chances)

    @property
    def numbers(self) -> Fold:
        """The table under the plot."""
        chances: list[float | None] = [None if p is None else p * (100 if self.percent else 1) for p in self.chances]
        known = any(chance is not None for chance in chances)
        rows = [
            [name, *(group.values[place] for group in self.groups), *([chances[place]] if known else [])]
            for place, name in enumerate(self.categories)
        ]
        columns = [
            "",
            *(group.name for group in self.groups),
            *(["chance, %" if self.percent else "chance"] if known else []),
        ]
        return Fold("the numbers", [Table(columns, rows, digits=1 if self.percent else 3)])

    @property
    def description(self) -> str:
        return f"{self.x_label} for {', '.join(self.categories)}: " + ", ".join(group.name for group in self.groups)


@dataclass(frozen=True)
class ArrowPlot:
    """What became of each category from a first to a second measurement, such as direct and stepwise.

    The numbers stand under the plot, folded.

    Args:
        categories: from top to bottom.
        names: of the two measurements.
        first, second: one each per category; None where there is none.
        chance: one share for all, or one per category (None where there is no chance line).
    """

    categories: Sequence[str]
    names: tuple[str, str]
    first: Sequence[Measured]
    second: Sequence[Measured]
    chance: float | Sequence[float | None] | None = None
    caption: Words = ""
    x_label: str = "right answers"
    limits: tuple[float, float] = (0.0, 1.0)
    template: ClassVar[str] = "plot.html"

    def __post_init__(self) -> None:
        for values in (self.first, self.second, self.chances):
            if len(values) != len(self.categories):
                raise InputError(
                    "an arrow plot has two values per category, and one chance or none",
                    got=f"{len(values)} values for {len(self.categories)} categories",
                    fix="use None where nothing was measured",
                )

    @property
    def chances(self) -> list[float | None]:
        """The chance of each category."""
        return list(self.chance) if isinstance(self.chance, Sequence) else [self.chance] * len(self.categories)

    def change(self, place: int) -> float | None:
        """Second less first, as a share; None where one of them is absent."""
        one, other = self.first[place], self.second[place]
        if one is None or other is None or one.value != one.value or other.value != other.value:
            return None
        return other.value - one.value

    @property
    def legend(self) -> list[LegendEntry]:
        ends = [LegendEntry("circle", "grey", self.names[0]), LegendEntry("diamond", "blue", self.names[1])]
        return ends + [LegendEntry("chance", "ink", "chance")] * any(chance is not None for chance in self.chances)

    @property
    def numbers(self) -> Fold:
        """The table under the plot."""
        changes = [None if (change := self.change(n)) is None else 100 * change for n in range(len(self.categories))]
        rows = list(zip(self.categories, self.first, self.second, changes, strict=True))
        return Fold("the numbers", [Table(["", *self.names, "change, points"], rows, digits=1)])

    @property
    def description(self) -> str:
        return f"{self.x_label}, from {self.names[0]} to {self.names[1]}, for {', '.join(self.categories)}"
