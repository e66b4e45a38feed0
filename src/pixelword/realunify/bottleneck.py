"""Which of three skills holds a unified model back: understanding, generation, or joining the two in one go.

Understanding and generation are measured alone: stage one of stepwise shows the one, the run with true intermediates
the other. Joining is what direct still gets right of the items for which both are there. In GEU, where one answer in
four is right by chance, shares are corrected for it. The lowest skill is named when it lies below the next one by
more than chance explains, and otherwise the verdict is "not decided".
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

CRITICAL = 2.05
"""Standard errors between the two lowest skills. Two equal lowest ones are told apart in about 5 % of runs (in 4 % by
the normal distribution, which is a little too hopeful here), three equal ones in fewer."""


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
    chance = CHANCE[track]
    first = estimate(stage_one, 0.0)
    second = estimate(oracle, chance)
    ready = stage_one & oracle & stepwise if chance else stage_one & oracle
    joining = estimate(direct[ready], chance)
    # Of the items right with true and with own intermediates, some were guessed twice; direct guesses on them too.
    knows = second.value / (second.value + (1 - second.value) * chance**2) if second.value > 0 else 1.0
    joining = Estimate(joining.value / knows, joining.error / knows, joining.items)
    names = (Skill.UNDERSTANDING, Skill.GENERATION) if track == Track.UEG else (Skill.GENERATION, Skill.UNDERSTANDING)
    skills = {names[0]: first, names[1]: second, Skill.JOINING: joining}
    lowest, next_one = sorted(skills, key=lambda skill: skills[skill].value)[:2]
    gap = skills[next_one].value - skills[lowest].value
    clear = gap > CRITICAL * math.hypot(skills[lowest].error, skills[next_one].error)
    return Bottleneck(skills, lowest if clear else None)


def estimate(right: Bools, chance: float) -> Estimate:
    """A share corrected for chance. The error is Agresti and Coull's, which does not vanish at 0 and 1."""
    items = len(right)
    if items == 0:
        return Estimate(1.0, math.inf, 0)
    shrunk = (float(right.sum()) + 2) / (items + 4)
    error = math.sqrt(shrunk * (1 - shrunk) / (items + 4))
    return Estimate((float(right.mean()) - chance) / (1 - chance), error / (1 - chance), items)
