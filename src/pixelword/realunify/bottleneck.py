"""Which of three skills holds a unified model back: understanding, generation, or joining the two in one go.

Every item takes a first skill (UEG understands, GEU draws) and a second one. A checked stage one shows the first. The
second shows where the way to it was clear: in the run with true intermediates, and in stepwise behind a right stage
one; the mean of the two carries less guessing than either. Joining is what direct still gets right of the items for
which both are there. In GEU, where one answer in four is right by chance, shares are corrected for it. The lowest skill
is named when it lies below both others by more than chance explains, and otherwise the verdict is "not decided".
docs/realunify_power.md compares the rule with the best one that any test could be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pixelword.errors import InputError
from pixelword.realunify.differences import points
from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import CHANCE, Track

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

FEW = 0.05
"""A share so small that dividing by it says nothing."""

CRITICAL = 2.0
"""Standard errors between the lowest skill and each other one, before the allowance for few items. Two equal lowest
skills are then told apart in at most 5 % of runs of 400 items, three equal ones in far fewer."""

ADDED = 2.0
"""Items right and items wrong that are added before a variance is taken, so that it does not vanish at 0 and 1
(Agresti and Coull, 1998)."""


class Skill(StrEnum):
    UNDERSTANDING = "understanding"
    GENERATION = "generation"
    JOINING = "joining"


@dataclass(frozen=True)
class Estimate:
    """A skill as a share with its standard error, from so many items."""

    value: float
    error: float
    items: int


@dataclass(frozen=True)
class Bottleneck:
    """The three estimates, and the skill that is lowest beyond doubt or None."""

    skills: dict[Skill, Estimate]
    named: Skill | None

    @property
    def words(self) -> str:
        return "not decided" if self.named is None else f"the bottleneck is {self.named}"


def find_bottleneck(
    track: Track, direct: Sequence[ItemResult], stepwise: Sequence[ItemResult], oracle: Sequence[ItemResult]
) -> Bottleneck:
    """The verdict over the items that all three runs answered and whose stage one is known.

    Args:
        stepwise: carries `stage_one_right`: the rewritten prompt (UEG) or the edited image (GEU) was right.
        oracle: the run with true intermediates.

    Raises:
        InputError: no such items.
    """
    D, S, G = points(direct), points(stepwise), points(oracle)
    stage = {result.item: result.stage_one_right for result in stepwise if result.stage_one_right is not None}
    shared = [item for item in D if item.track == track and item in S and item in G and item in stage]
    if not shared:
        raise InputError(
            "no item has all that the diagnosis needs",
            got=f"{len(D)} direct, {len(S)} stepwise, {len(G)} oracle, {len(stage)} with a known stage one",
            fix="run all three protocols on the same items and check stage one",
        )
    columns = (np.array([float(run[item]) for item in shared]) > 0 for run in (D, S, stage, G))
    return decide(track, *columns)


def decide(track: Track, direct: Bools, stepwise: Bools, stage_one: Bools, oracle: Bools) -> Bottleneck:
    """The verdict from four columns over the same items, bool [items]."""
    names = (Skill.UNDERSTANDING, Skill.GENERATION) if track == Track.UEG else (Skill.GENERATION, Skill.UNDERSTANDING)
    order = (*names, Skill.JOINING)
    values, variances, items = measured(CHANCE[track], direct, stepwise, stage_one, oracle)
    skills = {
        name: Estimate(values[place], math.sqrt(variances[place, place]), items[place])
        for place, name in enumerate(order)
    }
    lowest = min(range(3), key=values.__getitem__)
    clear = all(below(lowest, other, values, variances, items) for other in range(3) if other != lowest)
    return Bottleneck({name: skills[name] for name in Skill}, order[lowest] if clear else None)


def measured(
    chance: float, direct: Bools, stepwise: Bools, stage_one: Bools, oracle: Bools
) -> tuple[list[float], Floats, list[int]]:
    """First skill, second and joining; their covariances [3, 3] by the delta method; and the items behind each."""
    seen_twice = (oracle * 1.0 + stepwise) / 2  # 0, 1/2 or 1
    behind_right, behind_wrong = seen_twice[stage_one], oracle[~stage_one]
    second_seen = np.where(stage_one, seen_twice, oracle)
    ready = stage_one & oracle & stepwise

    first = float(stage_one.mean())
    second = corrected(float(second_seen.mean()), chance)
    there = min(1.0, max(FEW, corrected(shrunk_mean(behind_right), chance)))
    # Of the items right twice, some were guessed twice; direct guesses on them too.
    not_guessed = there / (there + (1 - there) * chance**2)
    joined = corrected(float(direct[ready].mean()), chance) if ready.any() else 1.0

    there_variance = variance_of_mean(behind_right) / (1 - chance) ** 2
    joined_variance = variance_of_mean(direct[ready]) / (1 - chance) ** 2 if ready.any() else math.inf
    joining_by_there = -joined * chance**2 / there**2  # derivative of joining
    joining_variance = joined_variance / not_guessed**2 + joining_by_there**2 * there_variance
    variances = np.diag(
        [variance_of_mean(stage_one), variance_of_mean(second_seen) / (1 - chance) ** 2, joining_variance]
    )
    if stage_one.any() and not stage_one.all():
        step = corrected(float(behind_right.mean()), chance) - corrected(float(behind_wrong.mean()), chance)
        variances[0, 1] = variances[1, 0] = first * (1 - first) * step / len(stage_one)
    variances[1, 2] = variances[2, 1] = first * joining_by_there * there_variance
    return [first, second, joined / not_guessed], variances, [len(stage_one), len(stage_one), int(ready.sum())]


def below(lowest: int, other: int, values: list[float], variances: Floats, items: list[int]) -> bool:
    """Whether one skill lies below another beyond doubt.

    With few items the critical value grows as that of Student's t does (Cornish and Fisher's first term).
    """
    variance = float(variances[lowest, lowest] + variances[other, other] - 2 * variances[lowest, other])
    fewest = max(1, min(items[lowest], items[other]))
    critical = CRITICAL + (CRITICAL**3 + CRITICAL) / (4 * fewest)
    return bool(values[other] - values[lowest] > critical * math.sqrt(variance))


def corrected(share: float, chance: float) -> float:
    """A share of right answers without those guessed."""
    return (share - chance) / (1 - chance)


def shrunk_mean(right: Bools | Floats) -> float:
    return (float(right.sum()) + ADDED) / (len(right) + 2 * ADDED)


def variance_of_mean(right: Bools | Floats) -> float:
    """Of points from 0 to 1; above 0 also where all are the same."""
    items = len(right) + 2 * ADDED
    squares = (float((right * 1.0) @ right) + ADDED) / items
    return (squares - shrunk_mean(right) ** 2) / items
