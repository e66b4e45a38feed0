"""Scores with the denominators of the benchmark: what was expected, whatever came back.

A category is right / expected. A track is the mean of its categories. The total is 0.6 UEG + 0.4 GEU, which is
right / 1000 on the whole benchmark and not the mean of the two tracks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pixelword.errors import InputError
from pixelword.realunify.intervals import Interval, wilson
from pixelword.realunify.results import ItemResult
from pixelword.realunify.rounding import percent, printed
from pixelword.realunify.taxonomy import CATEGORIES, OPEN, ItemId, Protocol, Status, Track, categories_of

TRACK_SHARE = {Track.UEG: Fraction(6, 10), Track.GEU: Fraction(4, 10)}


@dataclass(frozen=True)
class CategoryScore:
    """One cell of a table.

    Args:
        expected: items of the data set; the denominator.
        right: items solved.
        statuses: the funnel: how many items ended how. Expected items without a result are missing from it.
        passed, questions: questions of the judge that came out as expected, of those judged (UEG).
    """

    category: str
    expected: int
    right: int
    statuses: Mapping[Status, int]
    passed: int = 0
    questions: int = 0

    @property
    def supported(self) -> bool:
        """False when the model cannot take a step of this protocol; then there is no score, least of all zero."""
        return not self.statuses.get(Status.NOT_SUPPORTED)

    @property
    def missing(self) -> int:
        """Expected items without any result; they count as wrong."""
        return self.expected - sum(self.statuses.values())

    @property
    def answered(self) -> int:
        """Items to which the model gave an answer that was judged or could not be read."""
        return self.statuses.get(Status.OK, 0) + self.statuses.get(Status.ANSWER_UNPARSED, 0)

    @property
    def coverage(self) -> Fraction:
        """Share of the expected items that were answered; printed beside every score."""
        return Fraction(self.answered, self.expected)

    @property
    def open(self) -> int:
        """Items that wait for the judge."""
        return sum(self.statuses.get(status, 0) for status in OPEN)

    @property
    def percent(self) -> Fraction | None:
        return percent(self.right, self.expected) if self.supported else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's interval of the share; None where there is no score."""
        return wilson(self.right, self.expected) if self.supported else None


@dataclass(frozen=True)
class ScoreTable:
    """All cells of one model under one protocol, with the averages that follow from them."""

    protocol: Protocol
    categories: Mapping[str, CategoryScore]

    def average(self, track: Track) -> Fraction | None:
        """Mean of the category percentages of a track; None when one of its categories is absent or not supported."""
        cells = [self.categories.get(name) for name in categories_of(track)]
        values = [cell.percent for cell in cells if cell is not None and cell.percent is not None]
        return sum(values, Fraction()) / len(values) if len(values) == len(cells) else None

    @property
    def total(self) -> Fraction | None:
        """0.6 UEG + 0.4 GEU; None when a track is absent."""
        ueg, geu = self.average(Track.UEG), self.average(Track.GEU)
        return None if ueg is None or geu is None else TRACK_SHARE[Track.UEG] * ueg + TRACK_SHARE[Track.GEU] * geu

    @property
    def complete(self) -> bool:
        """Whether no item waits for the judge."""
        return not any(cell.open for cell in self.categories.values())

    def headline(self, track: Track | None = None, *, allow_incomplete: bool = False) -> str | None:
        """The printed average of a track, or the total: one decimal, halves up. None where there is none to print.

        An incomplete run has no headline unless it is asked for.
        """
        value = self.total if track is None else self.average(track)
        judged = [cell for cell in self.categories.values() if track in {None, CATEGORIES[cell.category].track}]
        if value is None or (any(cell.open for cell in judged) and not allow_incomplete):
            return None
        return printed(value)

    def row(self) -> dict[str, str | None]:
        """Abbreviation -> printed percentage, None where not supported; then the averages and the total."""
        cells = {
            CATEGORIES[name].short: None if cell.percent is None else printed(cell.percent)
            for name, cell in self.categories.items()
        }
        return cells | {"UEG": self.headline(Track.UEG), "GEU": self.headline(Track.GEU), "Total": self.headline()}


def score_table(
    results: Iterable[ItemResult], expected: Collection[ItemId], protocol: Protocol, blocked: Collection[ItemId] = ()
) -> ScoreTable:
    """The table of one protocol.

    Args:
        results: results of this protocol, at most one for each item.
        expected: every item of the data set that was to be asked.
        blocked: items left out of both, see `read_block_list`.

    Raises:
        InputError: a result of another protocol, of an item that was not expected, or two for one item.
    """
    left_out, wanted = set(blocked), set(expected) - set(blocked)
    by_item: dict[ItemId, ItemResult] = {}
    for result in results:
        if result.item in left_out:
            continue
        if result.protocol != protocol or result.item not in wanted or result.item in by_item:
            raise InputError(
                f"one result of {protocol} for each expected item",
                got=f"{result.item}, {result.protocol}" + (", a second time" if result.item in by_item else ""),
                fix="score one run at a time, with the item list that it was made from",
            )
        by_item[result.item] = result
    cells = {}
    for name in CATEGORIES:
        number = sum(item.category == name for item in wanted)
        if number:
            cells[name] = category_score(name, number, [by_item[item] for item in by_item if item.category == name])
    return ScoreTable(protocol, cells)


def category_score(name: str, expected: int, results: list[ItemResult]) -> CategoryScore:
    return CategoryScore(
        name,
        expected,
        sum(bool(result.right) for result in results),
        Counter(result.status for result in results),
        sum(result.passed for result in results if result.status == Status.OK),
        sum(result.questions for result in results if result.status == Status.OK),
    )


def by_subtask(results: Iterable[ItemResult]) -> dict[tuple[str, str], tuple[int, int]]:
    """(category, subtask) -> (right, answered), over the results whose subtask is known."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for result in results:
        if result.subtask is not None and result.point is not None:
            right, answered = found.get((result.item.category, result.subtask), (0, 0))
            found[result.item.category, result.subtask] = (right + result.point, answered + 1)
    return found
