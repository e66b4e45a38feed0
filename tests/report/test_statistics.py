"""Shares, intervals and how they are written; scipy and the equation that the interval solves are the witnesses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from pixelword.errors import InputError
from pixelword.report import Estimate, Proportion, disjoint, format_count, format_percent, wilson_interval

COUNTS = st.integers(1, 5000).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked)))


@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_that_of_scipy(counts, confidence):
    right, asked = counts
    expected = binomtest(right, asked).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, asked, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(COUNTS)
def test_the_ends_lie_z_standard_errors_from_the_share(counts):
    right, asked = counts
    for end in wilson_interval(right, asked):
        distance = abs(right / asked - end)
        assert distance == pytest.approx(norm.ppf(0.975) * math.sqrt(end * (1 - end) / asked), abs=1e-7)


def test_wilson_by_hand():
    # z = 1.96, 8 of 10: centre (0.8 + 0.19208) / 1.38416 = 0.71674; spread 1.96 sqrt(0.025604) / 1.38416 = 0.22658.
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_none_all_and_nothing():
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(20, 20)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(COUNTS)
def test_the_interval_holds_the_share(counts):
    proportion = Proportion(*counts)
    assert 0 <= proportion.low <= proportion.value <= proportion.high <= 1


@pytest.mark.parametrize(("right", "asked"), [(-1, 3), (4, 3), (0, -1), (1, 0)])
def test_impossible_counts_are_refused(right, asked):
    with pytest.raises(InputError, match="between none and all"):
        Proportion(right, asked)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_in_percent_is_refused(confidence):
    with pytest.raises(InputError, match="between 0 and 1"):
        wilson_interval(1, 2, confidence)


def test_how_a_share_reads():
    assert str(Proportion(1824, 2000)) == "91.2 % [89.9, 92.4]"
    assert Proportion(1824, 2000).detail == "1824 of 2000; 95 % interval"
    assert str(Proportion(0, 0)) == "none asked"
    assert math.isnan(Proportion(0, 0).value)
    assert str(Proportion(2, 3, digits=0)) == "67 % [21, 94]"


def test_how_an_estimate_reads():
    assert str(Estimate(0.5, 0.25, 0.75)) == "50.0 % [25.0, 75.0]"
    assert str(Estimate(3.14159, 3, 3.5, percent=False, digits=2)) == "3.14 [3.00, 3.50]"
    with pytest.raises(InputError, match="inside its interval"):
        Estimate(0.5, 0.6, 0.7)
    with pytest.raises(InputError, match="inside its interval"):
        Estimate(math.nan, 0, 1)


def test_how_numbers_read():
    assert format_percent(0.9124) == "91.2 %"
    assert format_percent(1, digits=0) == "100 %"
    assert format_count(1234567) == "1\u202f234\u202f567"


def test_disjoint():
    seen, blind, close = Proportion(90, 100), Proportion(25, 100), Proportion(85, 100)
    assert disjoint(seen, blind)
    assert disjoint(blind, seen)
    assert not disjoint(seen, close)
    assert not disjoint(seen, seen)
    assert not disjoint(Proportion(0, 0), seen), "nothing asked tells nothing"
