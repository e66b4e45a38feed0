"""Numbers of a score as the page shows them: with intervals, and rounded as the benchmark rounds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pixelword.realunify.differences import Difference
from pixelword.realunify.intervals import bootstrap, wilson
from pixelword.realunify.page.arms import Arm
from pixelword.realunify.scores import CategoryScore
from pixelword.realunify.taxonomy import CATEGORIES, Track
from pixelword.report import Estimate, Proportion

TIE = 0.05
"""Level of every test of a page."""


def share(cell: CategoryScore | None) -> Proportion | None:
    """A category's score over its expected items; None where it was not asked or is not supported."""
    return None if cell is None or not cell.supported else Proportion(cell.right, cell.expected)


def average(arm: Arm, track: Track) -> Estimate | None:
    """Mean of the categories of a track, with a bootstrap interval; printed with halves rounded up.

    None where a category is absent or not supported, and where items still wait for the judge.
    """
    headline = arm.headline(track)
    if headline is None:
        return None
    cells = [arm.table.categories[name] for name in arm.categories(track)]
    right, expected = sum(cell.right for cell in cells), sum(cell.expected for cell in cells)
    low, high = bootstrap([[1] * cell.right + [0] * (cell.expected - cell.right) for cell in cells]).percentile
    if right in (0, expected):  # every draw is the same, which is no certainty
        low, high = wilson(right, expected)
    value = float(Fraction(headline)) / 100
    return Estimate(value, min(low, value), max(high, value))


def total(arm: Arm) -> str:
    """0.6 UEG + 0.4 GEU as printed, or a dash."""
    return arm.headline() or "\u2013"


def change(difference: Difference) -> Estimate:
    """A paired difference in points with its bootstrap interval."""
    low, high = difference.change.percentile
    value = difference.change.value
    if not difference.pairs.gained and not difference.pairs.lost:  # every draw is the same, which is no certainty
        high = wilson(0, difference.pairs.asked).high
        low = -high
    return Estimate(100 * value, 100 * min(low, value), 100 * max(high, value), percent=False)


def differs(difference: Difference) -> bool:
    """Whether two runs can be told apart: the interval is clear of zero and the test agrees."""
    low, high = difference.change.percentile
    return (low > 0 or high < 0) and difference.adjusted_p < TIE


def within(value: float) -> float:
    """A share in [0, 1]: a correction for guessing may lead a little out."""
    return min(1.0, max(0.0, value))


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def category_name(name: str) -> str:
    """`WK World Knowledge`."""
    return f"{CATEGORIES[name].short} {CATEGORIES[name].title}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
