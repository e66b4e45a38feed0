"""What the runs say about the arms: means and differences over seeds, with intervals of both kinds of chance.

    over seeds    mean ± t(n - 1) * s / sqrt(n), from one share for each seed: chance of weights, pictures and order
    within        Wilson's interval of all marks taken together: chance of which words the exam asked, nothing else

A difference to the reference is taken seed by seed, because arms of one seed share the language model, the training
examples and the exam. With three seeds the t interval is wide, and honestly so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from pixelword.ablate.outcome import Outcome
from pixelword.ablate.plan import REFERENCE, Arm
from pixelword.report import Proportion

CONFIDENCE = 0.95
TELLING = (0.6, 0.95)
"""Shares of row H between which a comparison can tell arms apart: neither near chance nor near the ceiling."""


@dataclass(frozen=True)
class Spread:
    """A mean over seeds; `low` and `high` are None for a single seed, which has no spread."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """One arm in the table.

    Attributes:
        shares: right answers of each seed, in the order of the seeds.
        right: their mean over seeds.
        pooled: all marks of all seeds.
        difference: to the reference, seed by seed; None for the reference itself or where it was not run.
        kinds: right answers by kind of word, all seeds together.
        parameters, trained: single weights of the model, and what each stage trained.
        cpu: mean CPU seconds of training; None when no run was without interruption.
    """

    arm: Arm
    shares: tuple[float, ...]
    right: Spread
    pooled: Proportion
    difference: Spread | None
    kinds: dict[str, Proportion]
    parameters: int
    trained: dict[str, int]
    cpu: float | None

    @property
    def verdict(self) -> str:
        """In words: whether the interval of the difference holds zero."""
        if self.difference is None:
            return "reference"
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return "one seed"
        return "not decided" if low <= 0 <= high else "better" if low > 0 else "worse"


def spread(values: Sequence[float]) -> Spread:
    """The mean of values and Student's interval around it."""
    mean = fmean(values)
    if len(values) < 2:
        return Spread(mean, None, None)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return Spread(mean, mean - half, mean + half)


def compare(arms: Sequence[Arm], outcomes: Sequence[Outcome]) -> list[Line]:
    """One line for each arm that was run, in the order of the arms."""
    by_arm = {arm.name: sorted((o for o in outcomes if o.arm == arm.name), key=lambda o: o.seed) for arm in arms}
    reference = next((by_arm[arm.name] for arm in arms if arm.name.partition("-")[0] == REFERENCE), [])
    return [line_of(arm, by_arm[arm.name], reference) for arm in arms if by_arm[arm.name]]


def off_the_scale(lines: Sequence[Line]) -> str:
    """A sentence where row H lies outside `TELLING`; nothing where it lies inside or was not run."""
    for line in lines:
        if line.arm.name.partition("-")[0] == REFERENCE and not TELLING[0] <= line.right.mean <= TELLING[1]:
            low, high = (round(100 * end) for end in TELLING)
            more = "more" if line.right.mean < TELLING[0] else "fewer"
            return (
                f"Row H has {100 * line.right.mean:.1f} % right, outside {low} to {high} %, where arms can be told "
                f"apart: give {more} --minutes-per-run."
            )
    return ""


def line_of(arm: Arm, runs: Sequence[Outcome], reference: Sequence[Outcome]) -> Line:
    beside = {other.seed: other.share for other in reference}
    apart = [run.share - beside[run.seed] for run in runs if run.seed in beside]
    whole = [run.seconds["cpu"] for run in runs if not run.continued]
    return Line(
        arm=arm,
        shares=tuple(run.share for run in runs),
        right=spread([run.share for run in runs]),
        pooled=Proportion(sum(run.right for run in runs), sum(run.asked for run in runs)),
        difference=spread(apart) if apart and runs[0].arm != reference[0].arm else None,
        kinds={kind: pooled([run.marks[kind] for run in runs]) for kind in sorted(runs[0].marks)},
        parameters=runs[0].parameters,
        trained=runs[0].trained,
        cpu=fmean(whole) if whole else None,
    )


def pooled(marks: Sequence[str]) -> Proportion:
    """Several strings of marks taken together."""
    every = "".join(marks)
    return Proportion(every.count("1"), len(every))
