"""Claims of the statistics, witnessed by scipy, by enumeration, and by coverage in simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pixelword.errors import InputError
from pixelword.realunify.agreement import calibrate, kappa, kappa_interval
from pixelword.realunify.differences import above_chance, compare, compare_all, holm, mcnemar, paired, sign_flip
from pixelword.realunify.intervals import bootstrap, wilson
from pixelword.realunify.taxonomy import Protocol
from tests.realunify.made_up import results


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_is_scipys(right, more):
    if right + more:
        theirs = stats.binomtest(right, right + more).proportion_ci(method="wilson")
        assert wilson(right, right + more) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_of_nothing_and_of_nonsense():
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(InputError, match="once"):
        wilson(3, 2)


def test_the_bootstrap_of_one_stratum_is_scipys():
    values = np.array([1] * 23 + [0] * 77)
    ours = bootstrap([values])
    for method in ("percentile", "BCa"):
        theirs = stats.bootstrap((values,), np.mean, method=method, n_resamples=9999, rng=1).confidence_interval
        assert getattr(ours, method.lower()) == pytest.approx((theirs.low, theirs.high), abs=0.012)


def test_the_stratified_bootstrap_has_the_spread_of_theory():
    strata = [[1] * 30 + [0] * 70, [1] * 90 + [0] * 10]
    ours = bootstrap(strata)
    error = math.sqrt((0.3 * 0.7 / 100 + 0.9 * 0.1 / 100) / 4)
    assert ours.value == pytest.approx(0.6)
    assert ours.percentile == pytest.approx((0.6 - 1.96 * error, 0.6 + 1.96 * error), abs=0.006)
    pooled = bootstrap([[*strata[0], *strata[1]]])
    assert ours.percentile.high - ours.percentile.low < pooled.percentile.high - pooled.percentile.low


def test_bootstrap_intervals_cover_the_truth():
    random = np.random.default_rng(5)
    hits = {"percentile": 0, "bca": 0}
    for _ in range(300):
        found = bootstrap([random.random(100) < 0.3, random.random(100) < 0.7], resamples=1000)
        for kind in hits:
            hits[kind] += 0.5 in getattr(found, kind)
    assert all(count >= 300 * 0.91 for count in hits.values()), hits


def test_a_bootstrap_is_the_same_every_time_and_knows_constants():
    assert bootstrap([[1, 0, 0]]) == bootstrap([[1, 0, 0]])
    assert bootstrap([[1, 1], [0, 0]]).bca == (0.5, 0.5)
    with pytest.raises(InputError, match="without items"):
        bootstrap([[1], []])


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_the_exact_binomial(gained, lost):
    theirs = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(theirs)


@given(st.integers(0, 100))
def test_above_chance_is_scipys(right):
    assert above_chance(right, 100) == pytest.approx(stats.binomtest(right, 100, 0.25, "greater").pvalue)


def test_sign_flips_by_enumeration():
    strata = [[1, 1, 1, 0], [1, -1, 1, 1]]
    signs = list(itertools.product((1, -1), repeat=8))
    flat = [d / 4 for stratum in strata for d in stratum]
    observed = abs(sum(flat))
    exact = sum(abs(sum(s * d for s, d in zip(sign, flat, strict=True))) >= observed - 1e-12 for sign in signs) / 256
    assert sign_flip(strata, resamples=50_000) == pytest.approx(exact, abs=0.01)


def test_holm_by_hand_and_as_a_promise():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    random = np.random.default_rng(0)
    false = sum(min(holm(dict(enumerate(random.random(10)))).values()) < 0.05 for _ in range(2000))
    assert false / 2000 < 0.065


def test_a_comparison_counts_pairs_and_leaves_failures_out():
    first = results("code_to_image", "1100f1")
    second = results("code_to_image", "10111f", Protocol.STEPWISE)
    cell = paired(first, second)["code_to_image"]
    assert (cell.both, cell.gained, cell.lost, cell.neither, cell.asked) == (1, 2, 1, 0, 4)
    difference = compare(first, second)["code_to_image"]
    assert difference.change.value == pytest.approx(0.25)
    assert difference.p == difference.adjusted_p == mcnemar(2, 1)
    whole = compare_all(first, second, ["code_to_image"])
    assert whole.pairs == cell
    assert 0 < whole.p <= 1


def test_kappa_by_the_book():
    # The example of Cohen (1960) as usually retold: 20 and 15 agreed, 5 and 10 not.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(first, second) == pytest.approx(0.4)
    low, high = kappa_interval(first, second)
    assert low < 0.4 < high
    assert kappa(["yes"], ["yes"]) is None
    assert kappa_interval(["yes"], ["yes"]) is None


def test_a_calibrated_score_undoes_the_judges_errors():
    truth = ["yes"] * 100 + ["no"] * 100
    verdicts = ["yes"] * 90 + ["no"] * 10 + ["yes"] * 20 + ["no"] * 78 + [None] * 2
    table = calibrate(verdicts, truth)
    assert (table.hits, table.positives, table.rejections, table.negatives, table.undecided) == (90, 100, 78, 98, 2)
    true_share = 0.4
    judged = true_share * table.sensitivity + (1 - true_share) * (1 - table.specificity)
    assert table.corrected(judged) == pytest.approx(true_share)
    assert calibrate(["no", "yes"], ["yes", "no"]).corrected(0.5) is None
    with pytest.raises(InputError, match="both kinds"):
        calibrate(["yes"], ["yes"])
