"""What the demo's page says in words follows from what was measured, also where a chapter did not learn."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pixelword.demo.exam import Reply
from pixelword.demo.page import looks
from pixelword.demo.page_exam import blank_words
from pixelword.demo.page_jigsaw import what_came
from pixelword.demo.page_learning import ends, loss_curve, rise
from pixelword.report import Proportion
from pixelword.report.words import plain


def test_the_loss_is_compared_at_its_ends_and_other_entries_of_the_log_are_left_out():
    log = [{"step": step, "loss": 5.0 if step <= 5 else 1.0 + 0.1 * (step % 2)} for step in range(1, 101)]
    steps, losses = loss_curve([*log, {"step": 100, "train_loss": 9.0}])
    start, end = ends(losses)
    assert len(steps) == len(losses) == 100
    assert start.value == 5.0 and end.value == pytest.approx(1.05) and end.low < 1.05 < end.high < 1.1


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([], "no two looks"),
        (
            [("3-join", 0.4), ("4-answer", 0.9)],
            "40 % right at the first look in stage 2, and 90 % at the last in stage 3.",
        ),
        ([("4-answer", 0.5), ("4-answer", 0.5)], "it did not get better"),
    ],
)
def test_the_looks_while_training_are_told_as_they_were(shares, words):
    logs = {folder: [] for folder in ("2-see", "3-join", "4-answer")}
    for step, (folder, share) in enumerate(shares):
        logs[folder].append({"step": step, "right": {"all": share}})
    assert words in rise(SimpleNamespace(logs=logs))


def test_whether_it_looks_is_read_from_both_exams():
    assert "it looks" in looks(Proportion(90, 100), Proportion(20, 100))
    assert "cannot be told" in looks(Proportion(25, 100), Proportion(20, 100))
    assert "better without" in looks(Proportion(20, 100), Proportion(90, 100))


@pytest.mark.parametrize(
    ("solved", "said", "unsaid"),
    [
        ((0, 5, 6), ["cannot be told from guessing", "too little to be seen"], []),
        ((0, 40, 45), ["too little to be seen"], ["guessing: it did not learn"]),
        ((0, 20, 90), ["GRPO made it better"], ["did not learn"]),
        ((0, 90, 20), ["GRPO made it worse"], ["did not learn"]),
    ],
)
def test_jigsaws_that_were_not_learnt_are_said_not_to_be(solved, said, unsaid):
    exams = dict(zip(("before", "after_sft", "after"), solved, strict=True))
    results = {name: {"right": right, "asked": 100, "chance": 1 / 24} for name, right in exams.items()}
    words = "".join(plain(part) for part in what_came(results))
    assert all(part in words for part in said) and not any(part in words for part in unsaid)
    assert f"{solved[2]}.0 %" in words and "guessing solves 4.2 %" in words


def test_answers_to_a_blank_picture_are_compared_with_chance():
    reply = Reply("test", 0, "exists", "", "is there red circle ?", "yes", "no", False)
    half = [replace(reply, right=number % 2 == 0) for number in range(200)]
    assert "\u201cno\u201d (200 of 200), and no kind" in blank_words(half)
    assert "better than chance in exists" in blank_words([replace(reply, right=True)] * 200)
