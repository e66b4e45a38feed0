"""A unified model made of three numbers: understands p, draws q, joins r. It shows what a diagnosis can find.

Every item is understood with probability p, can be drawn with probability q, and is joined in one go with
probability r, each on its own. Stepwise solves what is understood and drawn, direct what is also joined, and a true
intermediate leaves only the other skill. In GEU whatever is not solved is guessed, one in four right, anew in each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import CHANCE, ItemId, Protocol, Status, Track

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Skills:
    """Three probabilities in [0, 1]."""

    understanding: float
    generation: float
    joining: float


@dataclass(frozen=True)
class Simulated:
    """What a simulated model did on some items of one track; columns are bool [items]."""

    track: Track
    direct: Bools
    stepwise: Bools
    stage_one: Bools
    oracle: Bools

    def results(self, items: Sequence[ItemId]) -> dict[Protocol, list[ItemResult]]:
        """The same as results of these items, one list for each protocol."""
        columns = {
            Protocol.DIRECT: self.direct,
            Protocol.STEPWISE: self.stepwise,
            Protocol.ORACLE_INTERMEDIATE: self.oracle,
        }
        return {
            protocol: [
                ItemResult(
                    item,
                    protocol,
                    Status.OK,
                    bool(right),
                    stage_one_right=bool(stage) if protocol == Protocol.STEPWISE else None,
                )
                for item, right, stage in zip(items, column, self.stage_one, strict=True)
            ]
            for protocol, column in columns.items()
        }


def simulate(track: Track, skills: Skills, items: int, random: np.random.Generator) -> Simulated:
    """One run of a simulated model on so many items."""
    understood = random.random(items) < skills.understanding
    drawn = random.random(items) < skills.generation
    joined = random.random(items) < skills.joining
    first, second = (understood, drawn) if track == Track.UEG else (drawn, understood)

    def or_guessed(known: Bools) -> Bools:
        return np.asarray(known | (random.random(items) < CHANCE[track]))

    return Simulated(
        track,
        direct=or_guessed(first & second & joined),
        stepwise=or_guessed(first & second),
        stage_one=first,
        oracle=or_guessed(second),
    )
