"""What no rule for naming the bottleneck can exceed, however clever: an upper bound on its power.

A rule looks at the columns of a run and names a skill or none. Let it even know the level of the strong skills, the gap
of the weak one, and the model that made the columns; it may only not name anything in more than 5 % of runs where two
skills share the lowest place. For any weights w >= 0 of such runs T (weak duality, as in Neyman and Pearson's lemma),

    mean power <= E_x [ max(0, max_k P_k(x) / 3 - sum_T w_T P_T(x)) / P(x) ] + 0.05 sum_T w_T,

where P_k makes skill k weak and x is drawn from P, the mean of the P_k. The weights that make the bound small are
searched on one sample; the bound is then taken on another.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pixelword.realunify.taxonomy import CHANCE, Track

Floats = NDArray[np.float64]

FALSE_ALARMS = 0.05
SAMPLES = 15_000


def outcomes(skills: tuple[float, ...], chance: float) -> Floats:
    """Probabilities [16] of (stage one, oracle, stepwise, direct) for skills (first, second, joining)."""
    found = np.zeros((2, 2, 2, 2))
    for first, second, joined in product((0, 1), repeat=3):
        has = np.prod([p if there else 1 - p for p, there in zip(skills, (first, second, joined), strict=True)])
        knows = (second, first * second, first * second * joined)
        right = [1.0 if known else chance for known in knows]
        for cell in product((0, 1), repeat=3):
            found[(first, *cell)] += has * np.prod([p if seen else 1 - p for p, seen in zip(right, cell, strict=True)])
    return found.ravel()


def ties(level: float, gap: float) -> list[tuple[float, ...]]:
    """Skills of which two share the lowest place: the rule should name nothing there."""
    found = []
    for pair, at, above in product(combinations(range(3), 2), (0, 0.25, 0.5, 0.75, 1), (0, 0.25, 0.5, 1)):
        low = level - gap + at * gap
        found.append(tuple(low if place in pair else min(0.999, low + above * gap) for place in range(3)))
    return list(dict.fromkeys(found))


def power_limit(track: Track, level: float, gap: float, items: int, seed: int = 0) -> float:
    """The bound on the mean over the three weak skills, as a share."""
    chance, random = CHANCE[track], np.random.default_rng(seed)
    weak = [outcomes(tuple(level - gap * (place == k) for place in range(3)), chance) for k in range(3)]
    tied = [outcomes(skills, chance) for skills in ties(level, gap)]

    def ratios() -> tuple[Floats, Floats]:
        """The largest P_k / 3 of each draw, and every P_T, both over P."""
        counts = np.concatenate([random.multinomial(items, p, size=SAMPLES // 3) for p in weak])
        logs = [counts @ np.log(np.maximum(p, 1e-300)) for p in (*weak, *tied)]
        scaled = np.exp(np.minimum(np.stack(logs, axis=1) - np.max(logs[:3], axis=0)[:, None], 50))
        whole = scaled[:, :3].mean(axis=1)
        return scaled[:, :3].max(axis=1) / 3 / whole, scaled[:, 3:] / whole[:, None]

    best, tie = ratios()

    def bound_and_slope(log_weights: Floats) -> tuple[float, Floats]:
        weights = np.exp(log_weights)
        left = best - tie @ weights
        slope = FALSE_ALARMS - (tie * (left > 0)[:, None]).mean(axis=0)
        return float(np.maximum(left, 0).mean() + FALSE_ALARMS * weights.sum()), slope * weights

    start = np.full(len(tied), -3.0)
    found = minimize(bound_and_slope, start, jac=True, method="L-BFGS-B", bounds=[(-20, 6)] * len(tied))
    best, tie = ratios()
    return min(1.0, bound_and_slope(found.x)[0])
