"""Scores of answers: by hand, by simulation of a guesser, and against other implementations."""

from __future__ import annotations

import json
import random
from itertools import permutations
from math import factorial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, kendalltau

from pixelword.errors import InputError
from pixelword.jigsaw import AnswerRule, Asked, ImageJigsaw, ImageSample, Puzzle, Reply, score, score_all, summarize
from pixelword.jigsaw.reply_files import read_replies
from pixelword.jigsaw.scoring import STATUSES, kendall, mean, neighbours_kept
from tests.jigsaw.pictures import busy

BARE = AnswerRule(think=False)
TARGET = (2, 4, 1, 3)


def asked(target: tuple[int, ...] = TARGET, rule: AnswerRule = BARE, name: str = "a") -> Asked:
    return Asked(name, "image", "image 2x2", target, rule, (2, 2) if len(target) == 4 else None)


@given(st.text())
def test_a_stored_reply_comes_back_whatever_is_in_it(text):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "replies.jsonl"
        rows = [{"id": name, "reply": text} for name in ("a", "b")]
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        assert {name: reply.text for name, reply in read_replies(file).items()} == {"a": text, "b": text}


def test_statuses_and_places_of_single_replies():
    thinking = AnswerRule()
    cases: list[tuple[AnswerRule, Reply | str | None, str, int]] = [
        (BARE, "2, 4, 1, 3", "exact", 4),
        (BARE, "2, 4, 3, 1", "ok", 2),
        (BARE, "2, 4, 1", "wrong_length", 0),
        (BARE, "2, 4, 1, 1", "duplicate", 0),
        (BARE, "2, 4, 1, 7", "out_of_range", 0),
        (BARE, "the first tile is", "parse_error", 0),
        (BARE, Reply("the first tile is", cut=True), "truncated", 0),
        (BARE, Reply("2, 4, 1, 3", cut=True), "exact", 4),
        (BARE, None, "no_reply", 0),
        (BARE, Reply(None, trouble="out of memory"), "failed", 0),
        (thinking, "2, 4, 1, 3", "no_think", 0),
        (thinking, "<think></think> 2, 4, 1, 3", "no_container", 0),
        (thinking, r"<think></think> \boxed{2, 4, 1, 3}", "exact", 4),
    ]
    for rule, reply, status, places in cases:
        judged = score(asked(rule=rule), reply)
        assert (judged.status, judged.places) == (status, places), reply
        assert judged.answered == (status not in {"no_reply", "failed"})
        assert judged.status in STATUSES


def test_what_broke_is_no_wrong_answer_and_what_cannot_be_read_is():
    replies = ["2, 4, 1, 3", "nonsense", None, Reply(None, trouble="server gone")]
    (group,) = summarize(score_all([asked(name=str(number)) for number in range(4)], replies))
    assert (group.exact.right, group.exact.asked) == (1, 2)
    assert group.places is not None and group.places.value == 2.0
    assert group.statuses == {"exact": 1, "parse_error": 1, "no_reply": 1, "failed": 1}
    assert group.as_json()["asked"] == 4
    (empty,) = summarize(score_all([asked()], [None]))
    assert empty.places is None and empty.as_json()["exact"]["value"] is None


def test_a_guesser_stands_on_the_chance_lines():
    for K in (4, 5):
        target, dice = tuple(range(1, K + 1)), random.Random(K)
        everything = [", ".join(map(str, order)) for order in permutations(target)]
        dice.shuffle(everything)
        (group,) = summarize(score(asked(target), reply) for reply in everything)
        assert group.exact.value == pytest.approx(group.chance_exact) == 1 / factorial(K)
        assert group.places is not None and group.places.value == pytest.approx(group.chance_places)
        assert not group.above_chance
        assert group.tau is not None and group.tau.value == pytest.approx(0, abs=1e-12)
    (right,) = summarize(score(asked(), "2, 4, 1, 3") for _ in range(30))
    assert right.above_chance and right.tau is not None and right.tau.value == 1
    assert right.neighbours is not None and right.neighbours.value == 1


@given(st.permutations(range(1, 7)), st.permutations(range(1, 7)))
def test_tau_is_that_of_scipy(answer, target):
    places = [answer.index(label) for label in range(1, 7)]
    wanted = [target.index(label) for label in range(1, 7)]
    assert kendall(answer, target) == pytest.approx(kendalltau(places, wanted).statistic)


def test_neighbours_by_hand():
    # 1 2 / 3 4 against 2 1 / 4 3: 1-3 and 2-4 are still above each other, 1-2 and 3-4 are turned round.
    assert neighbours_kept((2, 1, 4, 3), (1, 2, 3, 4), (2, 2)) == 0.5
    # 1 2 3 / 4 5 6 with rows exchanged: all four pairs within the rows stay, the three across them do not.
    assert neighbours_kept((4, 5, 6, 1, 2, 3), (1, 2, 3, 4, 5, 6), (2, 3)) == pytest.approx(4 / 7)
    # The mean over all orders of 3x3 is 1/12: a given pair is neighbours in 6 of 72 ordered pairs of places.
    shares = [neighbours_kept(order, (1, 2, 3, 4), (2, 2)) for order in permutations((1, 2, 3, 4))]
    assert sum(shares) / len(shares) == pytest.approx(2 / 12)


def test_the_bootstrap_interval_is_that_of_scipy_up_to_chance():
    values = [4] * 30 + [2] * 25 + [1] * 20 + [0] * 25
    ours = mean(values, highest=4)
    theirs = bootstrap((values,), lambda v, axis: v.mean(axis=axis), method="percentile", rng=1).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.04)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_an_interval_holds_its_mean_and_stays_in_bounds_and_never_has_no_width(values):
    made = mean(values, highest=4)
    assert made is not None
    assert 0 <= made.low <= made.value <= made.high <= 4
    assert made.low < made.high


def test_groups_keep_sizes_apart_and_a_puzzle_brings_its_own_question():
    made = []
    for rows in (2, 3):
        task = ImageJigsaw(rows=rows, columns=2, rule=BARE)
        puzzle = task.puzzle(ImageSample("p", busy(1, 160, 160)), seed=0)
        assert isinstance(puzzle, Puzzle)
        made.append(score(Asked.of(puzzle), puzzle.answer))
    assert [(group.difficulty, group.pieces) for group in summarize(made)] == [("image 2x2", 4), ("image 3x2", 6)]
    assert all(one.exact and one.asked.grid is not None for one in made)
    with pytest.raises(InputError, match="each puzzle has one reply"):
        score_all([asked()], [])
