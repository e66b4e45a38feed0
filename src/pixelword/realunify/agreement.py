"""How far a judge can be trusted: agreement with labels or with another judge, and what its errors do to a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pixelword.errors import InputError
from pixelword.realunify.intervals import CONFIDENCE, RESAMPLES, SEED, Interval, wilson


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa: agreement beyond what the two raters' own frequencies give. None when both use one same label.

    Raises:
        InputError: no ratings, or other numbers of them.
    """
    check_lengths(first, second)
    size = len(first)
    observed = sum(one == other for one, other in zip(first, second, strict=True)) / size
    ones, others = Counter(first), Counter(second)
    by_chance = sum(ones[label] * others[label] for label in ones) / size**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def kappa_interval(
    first: Sequence[Hashable], second: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval | None:
    """Percentile bootstrap interval of kappa over items; None where kappa itself is None."""
    if kappa(first, second) is None:
        return None
    pairs = Counter(zip(first, second, strict=True))
    labels = list({label for pair in pairs for label in pair})
    counts = np.array([[pairs[one, other] for other in labels] for one in labels])
    drawn = np.random.default_rng(seed).multinomial(len(first), counts.ravel() / len(first), size=resamples)
    tables = drawn.reshape(resamples, len(labels), len(labels)) / len(first)
    observed = np.trace(tables, axis1=1, axis2=2)
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    defined = by_chance < 1 - 1e-12
    values = (observed[defined] - by_chance[defined]) / (1 - by_chance[defined])
    tail = (1 - CONFIDENCE) / 2
    return Interval(*np.quantile(values, [tail, 1 - tail]).tolist())


def check_lengths(first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
    if not first or len(first) != len(second):
        raise InputError(
            "two raters judged the same items, and at least one", got=(len(first), len(second)), fix="join by item"
        )


@dataclass(frozen=True)
class Calibration:
    """A judge against known truth: yes on `hits` of `positives`, no on `rejections` of `negatives`.

    Replies without a decision are in `undecided` and nowhere else.
    """

    hits: int
    positives: int
    rejections: int
    negatives: int
    undecided: int = 0

    @property
    def sensitivity(self) -> float:
        return self.hits / self.positives

    @property
    def specificity(self) -> float:
        return self.rejections / self.negatives

    @property
    def sensitivity_interval(self) -> Interval:
        return wilson(self.hits, self.positives)

    @property
    def specificity_interval(self) -> Interval:
        return wilson(self.rejections, self.negatives)

    def corrected(self, share: float) -> float | None:
        """The share of true yes behind a judged share (Rogan and Gladen, 1978), kept inside [0, 1].

        None for a judge no better than a coin: nothing can be corrected then.
        """
        informedness = self.sensitivity + self.specificity - 1
        return None if informedness <= 0 else min(1.0, max(0.0, (share + self.specificity - 1) / informedness))


def calibrate(verdicts: Sequence[str | None], truth: Sequence[str]) -> Calibration:
    """Count a judge's verdicts ("yes", "no" or None) against the truth.

    Raises:
        InputError: other numbers of them, or no yes or no no in the truth.
    """
    check_lengths(verdicts, truth)
    decided = [(verdict, true) for verdict, true in zip(verdicts, truth, strict=True) if verdict is not None]
    table = Counter(decided)
    positives, negatives = (table["yes", true] + table["no", true] for true in ("yes", "no"))
    if not positives or not negatives:
        raise InputError(
            "a calibration needs decided items of both kinds",
            got=f"{positives} yes, {negatives} no",
            fix="add items whose true answer is the other one",
        )
    return Calibration(table["yes", "yes"], positives, table["no", "no"], negatives, len(truth) - len(decided))
