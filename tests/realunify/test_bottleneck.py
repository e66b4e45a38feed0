"""Claims of the verdict: the right skill is named for gaps that the sample can show, and seldom one without a gap.

A sample runs here; the power by sample size and skill is in docs/realunify_power.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from pixelword.errors import InputError
from pixelword.realunify.bottleneck import Skill, decide, find_bottleneck, measured
from pixelword.realunify.mini import Skills, simulate
from pixelword.realunify.taxonomy import CHANCE, ItemId, Protocol, Track

ITEMS = {Track.UEG: 600, Track.GEU: 400}
RUNS = 300


def named(track, skills, seed=0, runs=RUNS):
    random = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        run = simulate(track, skills, ITEMS[track], random)
        found.append(decide(track, run.direct, run.stepwise, run.stage_one, run.oracle).named)
    return found


@pytest.mark.parametrize("track", list(Track))
@pytest.mark.parametrize("weak", list(Skill))
def test_a_skill_that_is_far_behind_is_named(track, weak):
    skills = Skills(**{skill.value: 0.7 if skill == weak else 0.9 for skill in Skill})
    assert named(track, skills).count(weak) >= 0.95 * RUNS


@pytest.mark.parametrize("track", list(Track))
@pytest.mark.parametrize("skills", [Skills(0.9, 0.9, 0.9), Skills(0.6, 0.6, 0.6), Skills(0.6, 0.6, 0.9)])
def test_without_a_gap_a_bottleneck_is_seldom_named(track, skills):
    assert sum(name is not None for name in named(track, skills, runs=1000)) <= 0.07 * 1000


@pytest.mark.parametrize("track", list(Track))
def test_estimates_are_centred_on_the_truth(track):
    random, skills = np.random.default_rng(1), Skills(0.8, 0.7, 0.6)
    found = []
    for _ in range(300):
        run = simulate(track, skills, ITEMS[track], random)
        estimates = decide(track, run.direct, run.stepwise, run.stage_one, run.oracle).skills
        found.append([estimates[skill].value for skill in Skill])
    assert np.mean(found, axis=0) == pytest.approx([0.8, 0.7, 0.6], abs=0.015)


@pytest.mark.parametrize("track", list(Track))
def test_errors_and_their_correlation_are_the_spread_of_many_runs(track):
    random, skills = np.random.default_rng(2), Skills(0.7, 0.6, 0.8)
    values, variances = [], []
    for _ in range(1500):
        run = simulate(track, skills, ITEMS[track], random)
        value, variance, _ = measured(CHANCE[track], run.direct, run.stepwise, run.stage_one, run.oracle)
        values.append(value)
        variances.append(variance)
    spread, told = np.cov(np.array(values).T), np.mean(variances, axis=0)
    assert np.sqrt(np.diag(told)) == pytest.approx(np.sqrt(np.diag(spread)), rel=0.07)
    deviations = np.sqrt(np.diag(spread))
    assert told / np.outer(deviations, deviations) == pytest.approx(np.corrcoef(np.array(values).T), abs=0.1)


def test_a_skill_is_named_only_when_it_lies_below_both_others():
    """Two equal lowest skills far below a third: naming either would be a false alarm."""
    for skills in (Skills(0.5, 0.5, 0.95), Skills(0.95, 0.5, 0.5), Skills(0.5, 0.95, 0.5)):
        for track in Track:
            assert sum(name is not None for name in named(track, skills, runs=600)) <= 0.075 * 600


def test_results_give_the_same_verdict_as_columns():
    run = simulate(Track.GEU, Skills(0.9, 0.4, 0.9), 400, np.random.default_rng(3))
    results = run.results([ItemId("mental_tracking", number) for number in range(400)])
    stepwise, oracle = results[Protocol.STEPWISE], results[Protocol.ORACLE_INTERMEDIATE]
    found = find_bottleneck(Track.GEU, results[Protocol.DIRECT], stepwise, oracle)
    assert found == decide(Track.GEU, run.direct, run.stepwise, run.stage_one, run.oracle)
    assert (found.named, found.words) == (Skill.GENERATION, "the bottleneck is generation")


def test_too_few_items_are_not_decided_and_none_is_an_error():
    run = simulate(Track.UEG, Skills(0.9, 0.8, 0.9), 20, np.random.default_rng(0))
    assert decide(Track.UEG, run.direct, run.stepwise, run.stage_one, run.oracle).words == "not decided"
    none = np.zeros(50, dtype=bool)
    assert decide(Track.UEG, none, none, none, none).named is None
    with pytest.raises(InputError, match="all three protocols"):
        find_bottleneck(Track.UEG, [], [], [])
