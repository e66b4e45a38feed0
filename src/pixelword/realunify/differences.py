"""Whether two runs on the same items differ: McNemar, sign flips, and Holm's correction over the categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from pixelword.errors import InputError
from pixelword.realunify.intervals import RESAMPLES, SEED, Bootstrap, bootstrap
from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import CATEGORIES, ItemId


def binomial_two_sided(successes: int, trials: int) -> float:
    """Exact p of so many heads in so many throws of a fair coin."""
    fewer = min(successes, trials - successes)
    return min(1.0, 2 * sum(comb(trials, k) for k in range(fewer + 1)) / (1 << trials))


def mcnemar(gained: int, lost: int) -> float:
    """Exact p that items change from wrong to right as often as from right to wrong (McNemar, 1947)."""
    if gained < 0 or lost < 0:
        raise InputError("discordant counts are not negative", got=(gained, lost), fix="count items that changed")
    return binomial_two_sided(gained, gained + lost)


def above_chance(right: int, asked: int, chance: float = 0.25) -> float:
    """Exact one-sided p of at least so many right answers by guessing."""
    return min(1.0, sum(comb(asked, k) * chance**k * (1 - chance) ** (asked - k) for k in range(right, asked + 1)))


def sign_flip(strata: Sequence[Sequence[int]], *, resamples: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided p of the mean over strata of paired differences (-1, 0, 1), by turning the signs at random.

    The estimate counts the observed difference too, so it is never zero.
    """
    if not strata or not all(len(stratum) for stratum in strata):
        raise InputError(
            "a sign-flip test needs differences in every stratum", got=len(strata), fix="leave out empty ones"
        )
    random = np.random.default_rng(seed)
    observed, turned = 0.0, np.zeros(resamples)
    for stratum in strata:
        changed = sum(difference != 0 for difference in stratum)
        observed += sum(stratum) / len(stratum)
        turned += (2 * random.binomial(changed, 0.5, size=resamples) - changed) / len(stratum)
    return float((1 + (np.abs(turned) >= abs(observed) - 1e-12).sum()) / (1 + resamples))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values that hold together for all tests of one comparison (Holm, 1979)."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


@dataclass(frozen=True)
class Pairs:
    """Two runs on one set of items: how many were right in both, gained by the second, lost by it, wrong in both."""

    both: int
    gained: int
    lost: int
    neither: int

    @property
    def asked(self) -> int:
        return self.both + self.gained + self.lost + self.neither

    @property
    def differences(self) -> list[int]:
        """Second less first, item by item."""
        return [1] * self.gained + [-1] * self.lost + [0] * (self.both + self.neither)


@dataclass(frozen=True)
class Difference:
    """Second run less first: counts, the difference as a share with its interval, and p before and after Holm."""

    pairs: Pairs
    change: Bootstrap
    p: float
    adjusted_p: float


def paired(first: Sequence[ItemResult], second: Sequence[ItemResult]) -> dict[str, Pairs]:
    """Category -> pairs, over the items that both runs answered. Failures are in neither."""
    one, two = points(first), points(second)
    found = {}
    for name in CATEGORIES:
        cells = [(one[item], two[item]) for item in one if item in two and item.category == name]
        if cells:
            found[name] = Pairs(*(cells.count(cell) for cell in ((1, 1), (0, 1), (1, 0), (0, 0))))
    return found


def points(results: Sequence[ItemResult]) -> dict[ItemId, int]:
    """Item -> 1 or 0, for the items that were answered."""
    return {result.item: result.point for result in results if result.point is not None}


def compare(first: Sequence[ItemResult], second: Sequence[ItemResult]) -> dict[str, Difference]:
    """Category -> difference, McNemar's p corrected by Holm over the categories of this one comparison."""
    pairs = paired(first, second)
    p_values = {name: mcnemar(cell.gained, cell.lost) for name, cell in pairs.items()}
    adjusted = holm(p_values)
    return {
        name: Difference(cell, bootstrap([cell.differences]), p_values[name], adjusted[name])
        for name, cell in pairs.items()
    }


def compare_all(first: Sequence[ItemResult], second: Sequence[ItemResult], names: Sequence[str]) -> Difference:
    """The difference of the mean over some categories (a track): stratified bootstrap and sign-flip test."""
    cells = paired(first, second)
    chosen = [cells[name] for name in names if name in cells]
    strata = [cell.differences for cell in chosen]
    p = sign_flip(strata)
    sums = (sum(getattr(cell, kind) for cell in chosen) for kind in ("both", "gained", "lost", "neither"))
    return Difference(Pairs(*sums), bootstrap(strata), p, p)
