"""A curriculum and a monitor in front of simulated learners, whose success follows a known law."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

import pytest

from pixelword.jigsaw import AnswerRule, Asked, Scored, score
from pixelword.jigsaw.scoring import PERMUTATIONS
from pixelword.posttrain.curriculum import Curriculum
from pixelword.posttrain.health import MEANINGS, REMEDIES, TESTS, Monitor, Vitals, watch_log

GROUPS, GROUP = 32, 16


def run_of(curriculum: Curriculum, skill: float, learns: float, random: Random, steps: int = 200) -> list[float]:
    """Success rates of a learner that solves level l with probability 1 / (1 + exp(2 (2 l - skill)))."""
    rates = []
    for step in range(steps):
        levels = [curriculum.choose(7, step * GROUPS + number) for number in range(GROUPS)]
        chances = [1 / (1 + exp(2 * (2 * level - skill))) for level in levels]
        solved = sum(random.random() < chance for chance in chances for _ in range(GROUP))
        rates.append(solved / (GROUPS * GROUP))
        curriculum.learn(rates[-1])
        skill += learns
    return rates


@pytest.mark.parametrize("learns", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("skill", [0.0, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_success_stays_within_the_bounds_in_four_of_five_steps(learns, skill, seed):
    curriculum = Curriculum(levels=6, low=0.3, high=0.7)
    rates = run_of(curriculum, skill, learns, Random(seed))
    inside = [0.3 <= rate <= 0.7 for rate in rates[20:]]
    assert sum(inside) >= 0.8 * len(inside)


def test_without_steering_the_same_learner_leaves_the_bounds():
    still = Curriculum(levels=6, step=1e-9)
    rates = run_of(still, 1.5, 0.03, Random(0))
    assert sum(0.3 <= rate <= 0.7 for rate in rates[20:]) < 0.3 * len(rates[20:])


def test_a_level_between_two_is_a_mixture_that_every_process_draws_alike():
    curriculum = Curriculum(levels=3, level=1.25)
    drawn = [curriculum.choose(5, number) for number in range(4000)]
    assert set(drawn) == {1, 2} and 0.22 < sum(level == 2 for level in drawn) / len(drawn) < 0.28
    assert drawn == [Curriculum(levels=3, level=1.25).choose(5, number) for number in range(4000)]


def test_the_level_never_leaves_the_list_and_continues_from_its_state():
    curriculum = Curriculum(levels=3)
    for _ in range(50):
        curriculum.learn(1.0)
    assert curriculum.level == 2.0 and curriculum.choose(0, 0) == 2
    other = Curriculum(levels=3)
    other.restore(curriculum.state())
    for success in (0.0, 0.1, 0.9):
        curriculum.learn(success)
        other.learn(success)
    assert other.state() == curriculum.state()


HEALTHY = Vitals(
    step=0,
    reward=0.24,
    form=0.95,
    exact=0.02,
    places=1 / 9,
    chance_places=1 / 9,
    entropy=0.5,
    length=300,
    longest=2048,
    cut=0.02,
    flat=0.2,
    same_answer=0.05,
    pieces=9,
)


def curve(steps: int = 120, noise: float = 0.05, seed: int = 0, **ends: float) -> list[Vitals]:
    """Vital signs that move in a straight line from `HEALTHY` to `ends`, with noise."""
    random, rows = Random(seed), []
    for step in range(steps):
        moved = {
            name: (getattr(HEALTHY, name) + (end - getattr(HEALTHY, name)) * step / (steps - 1))
            * (1 + noise * random.gauss(0, 1))
            for name, end in ends.items()
        }
        rows.append(replace(HEALTHY, step=step, **moved))
    return rows


def watched(rows: list[Vitals]) -> Monitor:
    monitor = Monitor()
    for row in rows:
        monitor.watch(row)
    return monitor


LEARNING = {"places": 0.7, "exact": 0.4, "reward": 0.9, "entropy": 0.2, "length": 250, "same_answer": 0.03}
SICK = {
    "format_only": {"entropy": 0.4},
    "no_format": {"form": 0.02, "entropy": 0.5},
    "entropy_collapse": {**LEARNING, "entropy": 0.003, "exact": 0.2},
    "entropy_explosion": {**LEARNING, "entropy": 4.0},
    "length_drift": {**LEARNING, "length": 2000, "cut": 0.9},
    "flat_groups": {**LEARNING, "flat": 1.0, "exact": 0.3},
    "copied_answer": {**LEARNING, "same_answer": 0.95},
}


@pytest.mark.parametrize("failure", SICK)
def test_a_provoked_failure_is_named_with_its_remedy(failure):
    monitor = watched(curve(**SICK[failure]))
    assert failure in [finding.failure for finding in monitor.findings]
    finding = next(finding for finding in monitor.findings if finding.failure == failure)
    assert MEANINGS[failure] in str(finding) and REMEDIES[failure] in str(finding) and finding.evidence
    assert monitor.verdict.startswith("ill") and MEANINGS[failure] in monitor.verdict


def test_every_failure_has_a_test_a_meaning_a_remedy_and_is_provoked_here():
    assert set(SICK) == set(TESTS) == set(MEANINGS) == set(REMEDIES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "ends",
    [
        LEARNING,
        {**LEARNING, "exact": 0.97, "places": 0.99, "entropy": 0.004, "flat": 0.95},  # solved: no search is left
        {**LEARNING, "length": 500, "entropy": 0.8},  # thinks longer
        {"places": 0.3, "exact": 0.05, "reward": 0.3},  # slow
    ],
)
def test_healthy_curves_raise_nothing(ends, seed):
    assert watched(curve(seed=seed, **ends)).findings == []


def test_slow_form_and_one_puzzle_per_generation_are_no_illness():
    form_first = [
        replace(row, form=form, readable=form) for row, form in zip(curve(**LEARNING), rising(0.1, 0.95), strict=True)
    ]
    assert watched(form_first).findings == []
    solved = {**LEARNING, "exact": 0.97, "places": 0.99, "same_answer": 0.97, "flat": 0.0}
    assert watched(curve(**solved)).findings == []


def rising(low: float, high: float, steps: int = 120) -> list[float]:
    return [low + (high - low) * step / (steps - 1) for step in range(steps)]


# Learners that write real responses, which the real rule judges ---------------------------------------------------

THINKS, BARE = AnswerRule(), AnswerRule(think=False)


def respond(random: Random, asked: Asked, form: float, readable: float, known: float) -> str:
    """A response that has the form, holds a permutation and knows the order with these chances, each given the last."""
    K = len(asked.target)
    answer = list(asked.target) if random.random() < known else random.sample(range(1, K + 1), K)
    if random.random() >= readable:
        answer = [1] * K
    if random.random() < form:
        return asked.rule.write(answer, "hm")
    return "I cannot tell."


def generation(random: Random, step: int, K: int, rule: AnswerRule, form: float, readable: float, known: float):
    """The vital signs of six puzzles with eight responses each."""
    asked = [Asked("s", "image", "x", tuple(random.sample(range(1, K + 1), K)), rule) for _ in range(6)]
    said = [score(one, respond(random, one, form, readable, known)) for one in asked for _ in range(8)]

    def share(of: list[float]) -> float:
        return sum(of) / len(of)

    return replace(
        HEALTHY,
        step=step,
        reward=share([one.reward for one in said]),
        form=share([one.formatted for one in said]),
        exact=share([one.exact for one in said]),
        places=share([one.places / K for one in said]),
        chance_places=1 / K,
        pieces=K,
        readable=share([one.status in PERMUTATIONS for one in said]),
    )


def learner(seed: int, K: int, rule: AnswerRule, form=(1.0, 1.0), readable=(1.0, 1.0), known=(0.0, 0.0)) -> Monitor:
    """A run whose chances move from the first to the second of each pair within a third of it, and then stay."""
    random, monitor = Random(seed), Monitor()
    for step in range(90):
        done = min(1.0, step / 30)
        now = [low + (high - low) * done for low, high in (form, readable, known)]
        monitor.watch(generation(random, step, K, rule, *now))
    return monitor


@pytest.mark.parametrize(("rule", "seed"), [(THINKS, 0), (BARE, 1)])
@pytest.mark.parametrize(
    "chances",
    [
        {},  # the form from the start, and guesses
        {"form": (0.05, 1.0)},  # it learns the form, which lifts right places from none to the chance line
        {"readable": (0.0, 0.0)},  # paid for the form of answers that are no permutations
        {"form": (0.0, 0.7), "readable": (0.2, 0.9)},
    ],
)
def test_a_reward_that_is_only_the_forms_is_named(chances, rule, seed):
    monitor = learner(seed, 9, rule, **chances)
    assert [finding.failure for finding in monitor.findings] == ["format_only"]
    assert monitor.ill == ["format_only"]
    if rule.think and not chances:  # the line of section 1.3 of the method: 0.2 and 0.0222
        assert monitor.recent("reward") == pytest.approx(0.2222, abs=0.005)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("K", "chances"),
    [
        (9, {"form": (0.05, 1.0), "known": (0.0, 0.5)}),
        (9, {"known": (0.0, 0.3)}),
        (4, {"form": (0.3, 1.0), "readable": (0.5, 1.0), "known": (0.05, 0.4)}),
        (4, {"known": (0.3, 0.9)}),
    ],
)
def test_learners_that_learn_raise_nothing(K, chances, seed):
    assert learner(seed, K, THINKS, **chances).findings == []


def test_a_form_that_never_comes_is_not_called_a_plateau_of_the_form():
    monitor = learner(0, 9, THINKS, form=(0.02, 0.05))
    assert [finding.failure for finding in monitor.findings] == ["no_format"]


@pytest.mark.parametrize(
    ("rule", "text", "formatted", "paid"),
    [
        (THINKS, "<think>a</think> \\boxed{2, 1, 3}", True, 0.2),
        (THINKS, "<think>a</think> \\boxed{1, 1, 1}", True, 0.2),
        (THINKS, "<think>a</think> \\boxed{no idea}", True, 0.2),
        (THINKS, "<think>a</think> 2, 1, 3", False, 0.0),
        (THINKS, "2, 1, 3", False, 0.0),
        (BARE, "2, 1, 1", True, 0.0),
        (BARE, "left, right", False, 0.0),
        (BARE, "", False, 0.0),
    ],
)
def test_the_form_is_what_the_format_reward_pays_and_no_more(rule, text, formatted, paid):
    target = (1, 2, 3)
    judged: Scored = score(Asked("s", "image", "x", target, rule), text)
    assert judged.formatted is formatted
    assert rule.score(text, target).format == paid


def test_logs_without_the_share_of_permutations_are_still_read():
    old = {name: value for name, value in vars(HEALTHY).items() if name != "readable"}
    assert watch_log([old]).history[0].permutations == HEALTHY.form


def test_a_failure_is_told_once_and_again_after_it_has_passed():
    sick, well = replace(HEALTHY, same_answer=0.9, places=0.5), replace(HEALTHY, places=0.5)
    monitor = watched([*[sick] * 40, *[well] * 40, *[sick] * 40])
    assert [finding.failure for finding in monitor.findings] == ["copied_answer"] * 2


def test_the_log_gives_the_same_monitor():
    monitor = watched(curve(**SICK["flat_groups"]))
    again = watch_log(monitor.as_json()["vitals"])
    assert again.as_json() == monitor.as_json()
