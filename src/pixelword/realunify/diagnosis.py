"""Where a unified model loses: every item in one of five boxes, and the derived numbers of a comparison of protocols.

D, S, P and G are the points of an item (1 or 0) under direct, stepwise, pair and oracle intermediate. Every number
is taken over the items that all runs it needs have answered; a failure is in none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pixelword.realunify.differences import points
from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import CHANCE, ItemId, Track


class Box(StrEnum):
    """Where an item belongs. `undecided`: wrong twice, and nobody knows whether stage one was right."""

    SOLVED = "solved"
    INTEGRATION = "integration failure"
    HARM = "decomposition harm"
    UNDERSTANDING = "understanding bottleneck"
    GENERATION = "generation bottleneck"
    UNDECIDED = "undecided"


def box(track: Track, direct: int, stepwise: int, stage_one_right: bool | None) -> Box:
    """The box of one item that was answered under both protocols.

    Stage one is understanding in UEG (the rewritten prompt) and generation in GEU (the edited image).
    """
    if direct and stepwise:
        return Box.SOLVED
    if stepwise:
        return Box.INTEGRATION
    if direct:
        return Box.HARM
    if stage_one_right is None:
        return Box.UNDECIDED
    return Box.GENERATION if (track == Track.UEG) == stage_one_right else Box.UNDERSTANDING


@dataclass(frozen=True)
class Boxes:
    """Items by box, and those left out because a run did not answer them."""

    items: Mapping[ItemId, Box]
    left_out: tuple[ItemId, ...]

    def counts(self, category: str | None = None) -> dict[Box, int]:
        """Items in each box, of one category or of all."""
        found = Counter(kind for item, kind in self.items.items() if category in {None, item.category})
        return {kind: found[kind] for kind in Box}


def sort_into_boxes(
    direct: Sequence[ItemResult],
    stepwise: Sequence[ItemResult],
    stage_one: Mapping[ItemId, bool] | None = None,
) -> Boxes:
    """Sort items by their two results.

    Args:
        stage_one: whether stage one was right, where a check outside the results says so; it wins over what the
            stepwise results carry.
    """
    first, second = points(direct), points(stepwise)
    known = {result.item: result.stage_one_right for result in stepwise} | dict(stage_one or {})
    everything = {result.item for result in (*direct, *stepwise)}
    return Boxes(
        {item: box(item.track, first[item], second[item], known.get(item)) for item in sorted(first) if item in second},
        tuple(sorted(item for item in everything if item not in first or item not in second)),
    )


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def chance_corrected(share: float, chance: float) -> float:
    """(share - chance) / (1 - chance): 0 for guessing, 1 for knowing."""
    return (share - chance) / (1 - chance)


def phi(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Correlation of two runs' points; None where one of them does not vary."""
    both, first, second = (
        sum(values) for values in (([a * b for a, b in pairs]), [a for a, _ in pairs], [b for _, b in pairs])
    )
    size = len(pairs)
    spread = first * (size - first) * second * (size - second)
    return (size * both - first * second) / math.sqrt(spread) if spread else None


@dataclass(frozen=True)
class Derived:
    """Numbers derived from direct and stepwise, and from pair and oracle intermediate where these were run.

    Shares in [0, 1]; None where something it needs is absent or its denominator is zero.
    """

    items: int
    stepwise_gain: float | None
    recoverable: float | None
    lost: float | None
    agreement: float | None
    phi: float | None
    union_ceiling: float | None
    realised_share: float | None
    chance_corrected_gain: float | None
    pair_headroom: float | None = None
    own_stage_headroom: float | None = None
    recovered_of_recoverable: float | None = None
    """P(S=1 | D=0) / P(G=1 | D=0): how much of what true intermediates rescue, own ones rescue too."""


def derive(
    track: Track,
    direct: Sequence[ItemResult],
    stepwise: Sequence[ItemResult],
    pair: Sequence[ItemResult] | None = None,
    oracle: Sequence[ItemResult] | None = None,
) -> Derived:
    """All derived numbers of one track (or of any part of it: pass the results of one category)."""
    runs = [points(run) for run in (direct, stepwise, pair, oracle) if run is not None]
    shared = [item for item in runs[0] if item.track == track and all(item in run for run in runs)]
    D, S = ([run[item] for item in shared] for run in runs[:2])
    rest = iter([[run[item] for item in shared] for run in runs[2:]])
    P = next(rest) if pair is not None else None
    G = next(rest) if oracle is not None else None
    either = [max(d, s) for d, s in zip(D, S, strict=True)]
    ceiling, one, two = mean(either), mean(D), mean(S)
    gain = None if one is None or two is None else two - one
    wrong = [i for i, d in enumerate(D) if not d]
    return Derived(
        items=len(shared),
        stepwise_gain=gain,
        recoverable=mean([s > d for d, s in zip(D, S, strict=True)]),
        lost=mean([d > s for d, s in zip(D, S, strict=True)]),
        agreement=mean([d == s for d, s in zip(D, S, strict=True)]),
        phi=phi(list(zip(D, S, strict=True))),
        union_ceiling=ceiling,
        realised_share=ratio(one, ceiling),
        chance_corrected_gain=None if gain is None else gain / (1 - CHANCE[track]),
        pair_headroom=mean([p - e for p, e in zip(P, either, strict=True)]) if P is not None else None,
        own_stage_headroom=mean([g - s for g, s in zip(G, S, strict=True)]) if G is not None else None,
        recovered_of_recoverable=(
            ratio(mean([S[i] for i in wrong]), mean([G[i] for i in wrong])) if G is not None else None
        ),
    )


def synergy_index(ueg: Derived, geu: Derived) -> float | None:
    """Half the realised share of UEG plus half of what GEU's own drawings recover; always shown with its parts."""
    if ueg.realised_share is None or geu.recovered_of_recoverable is None:
        return None
    return 0.5 * ueg.realised_share + 0.5 * geu.recovered_of_recoverable


def unification_premium(unified: float, pairs: Mapping[str, float]) -> float | None:
    """Stepwise score of one model less that of the best pair of specialists of like size; None without a pair."""
    return unified - max(pairs.values()) if pairs else None
