"""Shares with their intervals, and how a page writes them.

A share of right answers is never shown alone: `Proportion(187, 205)` reads `91.2 % [86.5, 94.4]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from pixelword.errors import InputError

CONFIDENCE = 0.95


def wilson_interval(right: int, asked: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Score interval of a binomial share (Wilson, 1927), as two shares in [0, 1].

    The two shares p at which (right / asked - p) is z standard errors sqrt(p (1 - p) / asked) wide. It stays inside
    [0, 1] and is honest at 0 and at `asked` right answers. With nothing asked, everything is possible: (0, 1).

    Raises:
        InputError: counts that no experiment gives, or a confidence outside (0, 1).
    """
    check_counts(right, asked)
    z = normal_quantile(confidence)
    if asked == 0:
        return 0.0, 1.0
    share = right / asked
    centre = share + z * z / (2 * asked)
    spread = z * math.sqrt(share * (1 - share) / asked + (z / (2 * asked)) ** 2)
    shrink = 1 + z * z / asked
    low = 0.0 if right == 0 else max(0.0, (centre - spread) / shrink)
    high = 1.0 if right == asked else min(1.0, (centre + spread) / shrink)
    return low, high


def normal_quantile(confidence: float) -> float:
    """How many standard deviations on each side hold this share of a normal distribution."""
    if not 0 < confidence < 1:
        raise InputError("a confidence lies between 0 and 1", got=confidence, fix="use 0.95 for a 95 % interval")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def check_counts(right: int, asked: int) -> None:
    """Raises InputError unless 0 <= right <= asked."""
    if not 0 <= right <= asked:
        raise InputError(
            "right answers are between none and all of those asked",
            got=f"{right} right of {asked} asked",
            fix="count every asked question once, also those without an answer",
        )


@dataclass(frozen=True)
class Estimate:
    """A measured number with its interval, however that was obtained (bootstrap, several seeds).

    Args:
        value, low, high: the number and the ends of its interval, in the same unit.
        percent: written as a percentage (0.912 reads `91.2 %`), as shares are.
        digits: digits after the point.
    """

    value: float
    low: float
    high: float
    percent: bool = True
    digits: int = 1

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InputError(
                "a number lies inside its interval",
                got=f"{self.value} in [{self.low}, {self.high}]",
                fix="pass value, low and high in this order",
            )

    @property
    def number(self) -> str:
        """The number alone: `91.2 %`."""
        return format_percent(self.value, self.digits) if self.percent else f"{self.value:.{self.digits}f}"

    @property
    def interval(self) -> str:
        """The interval alone, without the unit: `[89.8, 92.4]`."""
        scale = 100 if self.percent else 1
        return f"[{self.low * scale:.{self.digits}f}, {self.high * scale:.{self.digits}f}]"

    @property
    def detail(self) -> str:
        """What a reader sees on pointing at the number."""
        return "interval in brackets"

    def __str__(self) -> str:
        return f"{self.number} {self.interval}"


@dataclass(frozen=True)
class Proportion:
    """So many right answers of so many asked, with the Wilson interval.

    Nothing asked is allowed and reads `none asked`; it has no value and a plot leaves it out.
    """

    right: int
    asked: int
    confidence: float = CONFIDENCE
    digits: int = 1

    def __post_init__(self) -> None:
        check_counts(self.right, self.asked)
        normal_quantile(self.confidence)

    @property
    def value(self) -> float:
        """The share in [0, 1]; not a number when nothing was asked."""
        return self.right / self.asked if self.asked else math.nan

    @property
    def low(self) -> float:
        return wilson_interval(self.right, self.asked, self.confidence)[0]

    @property
    def high(self) -> float:
        return wilson_interval(self.right, self.asked, self.confidence)[1]

    @property
    def number(self) -> str:
        """The share alone: `91.2 %`."""
        return format_percent(self.value, self.digits) if self.asked else "none asked"

    @property
    def interval(self) -> str:
        """The interval alone, in percent: `[89.8, 92.4]`; empty when nothing was asked."""
        return f"[{100 * self.low:.{self.digits}f}, {100 * self.high:.{self.digits}f}]" if self.asked else ""

    @property
    def detail(self) -> str:
        """What a reader sees on pointing at the number."""
        return f"{self.right} of {self.asked}; {100 * self.confidence:g} % interval"

    def __str__(self) -> str:
        return f"{self.number} {self.interval}".strip()


def format_percent(share: float, digits: int = 1) -> str:
    """0.9124 reads `91.2 %`."""
    return f"{100 * share:.{digits}f} %"


def format_count(number: int) -> str:
    """12480 reads `12 480`, with a narrow space that does not break."""
    return f"{number:,}".replace(",", "\u202f")


def disjoint(first: Proportion | Estimate, second: Proportion | Estimate) -> bool:
    """Whether two intervals share no point: the plain sign that two results differ."""
    return first.high < second.low or second.high < first.low
