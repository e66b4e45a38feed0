"""Intervals: Wilson for one share, bootstrap stratified by category for averages and for paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixelword.errors import InputError

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 20_250_929
"""One seed for every bootstrap, so that a report written twice is the same."""

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """Both ends, in the unit of what was measured."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


def wilson(right: int, asked: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a share (Wilson, 1927); nothing asked leaves everything possible.

    Raises:
        InputError: counts that no experiment gives, or a confidence outside (0, 1).
    """
    if not 0 <= right <= asked:
        raise InputError(
            "right answers are between none and all asked", got=(right, asked), fix="count every item once"
        )
    if asked == 0:
        return Interval(0.0, 1.0)
    z = normal_quantile((1 + check_confidence(confidence)) / 2)
    share, shrink = right / asked, 1 + z * z / asked
    centre = (share + z * z / (2 * asked)) / shrink
    spread = z * math.sqrt(share * (1 - share) / asked + (z / (2 * asked)) ** 2) / shrink
    return Interval(max(0.0, centre - spread) if right else 0.0, min(1.0, centre + spread) if right < asked else 1.0)


def normal_quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)


def check_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InputError("a confidence lies between 0 and 1", got=confidence, fix="use 0.95 for a 95 % interval")
    return confidence


class Bootstrap(NamedTuple):
    """A weighted mean of strata with its two bootstrap intervals."""

    value: float
    percentile: Interval
    bca: Interval


def bootstrap(
    strata: Sequence[Sequence[float]],
    weights: Sequence[float] | None = None,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Bootstrap:
    """Interval of sum(weight * mean of stratum), items drawn anew inside each stratum.

    For paired differences the strata hold the differences of each item, so both runs are drawn together. An item's
    value is drawn as often as a multinomial says, which is the same distribution as drawing items one by one.

    Args:
        strata: the item values of each category.
        weights: one for each stratum; equal shares when absent.

    Raises:
        InputError: no stratum, an empty one, or another number of weights.
    """
    values = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    shares = [1 / max(1, len(values))] * len(values) if weights is None else list(weights)
    if not values or len(shares) != len(values) or any(len(stratum) == 0 for stratum in values):
        raise InputError(
            "a bootstrap needs values in every stratum and one weight for each",
            got=f"sizes {[len(stratum) for stratum in values]}, {len(shares)} weights",
            fix="leave out categories without items",
        )
    tail = (1 - check_confidence(confidence)) / 2
    value = sum(share * float(stratum.mean()) for share, stratum in zip(shares, values, strict=True))
    drawn = resampled_means(values, shares, resamples, seed)
    percentile = Interval(*np.quantile(drawn, [tail, 1 - tail]).tolist())
    return Bootstrap(value, percentile, bias_corrected(value, drawn, values, shares, tail) or percentile)


def resampled_means(values: list[Floats], shares: list[float], resamples: int, seed: int) -> Floats:
    """The statistic on each resample, float [resamples]."""
    random = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    for share, stratum in zip(shares, values, strict=True):
        kinds, counts = np.unique(stratum, return_counts=True)
        size = len(stratum)
        drawn += share * (random.multinomial(size, counts / size, size=resamples) @ kinds) / size
    return drawn


def bias_corrected(
    value: float, drawn: Floats, values: list[Floats], shares: list[float], tail: float
) -> Interval | None:
    """The BCa interval (Efron, 1987); None where the resamples do not vary or lie on one side.

    The acceleration comes from the influence of each item, weight * (value - mean of its stratum) / size.
    """
    # Ties count half: shares are discrete, and the sum of weighted means is equal to itself only up to rounding.
    below = float((drawn < value - 1e-12).mean() + 0.5 * (np.abs(drawn - value) <= 1e-12).mean())
    influence = np.concatenate([s * (v - v.mean()) / len(v) for s, v in zip(shares, values, strict=True)])
    spread = float((influence**2).sum())
    if not 0 < below < 1 or spread == 0:
        return None
    acceleration = float((influence**3).sum()) / (6 * spread**1.5)
    shift = normal_quantile(below)
    ends = []
    for share in (tail, 1 - tail):
        z = shift + normal_quantile(share)
        ends.append(NormalDist().cdf(shift + z / (1 - acceleration * z)))
    return Interval(*np.quantile(drawn, ends).tolist())
