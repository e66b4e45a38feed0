"""Claims of the readers: the golden cases in both modes, no reply breaks them, and time grows with length only."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import InputError
from pixelword.realunify import read_letter, read_verdict
from pixelword.realunify.letters import reference_letter_outcome
from pixelword.realunify.verdicts import reference_verdict_outcome

FIXTURES = Path(__file__).parents[1] / "fixtures" / "realunify"
CASES = json.loads((FIXTURES / "scoring_cases.json").read_text(encoding="utf-8"))["cases"]
LETTER_CASES = [case for case in CASES if case["kind"] == "mcq_extract"]
VERDICT_CASES = [case for case in CASES if case["kind"] == "judge_reply"]


def test_the_golden_cases_are_all_there():
    assert (len(LETTER_CASES), len(VERDICT_CASES)) == (34, 20)


@pytest.mark.parametrize("case", LETTER_CASES, ids=lambda case: case["id"])
def test_letters_of_the_golden_cases(case):
    released = case["reference_output"]
    assert reference_letter_outcome(case["input"]) == released
    assert read_letter(case["input"], mode="reference") == (released if released in "ABCD" and released else None)
    assert read_letter(case["input"], mode="strict") == case["sane_output"]
    if "options" in case:
        read = read_letter(case["input"], mode="strict", options=case["options"])
        assert read == case["sane_output_with_options"]


@pytest.mark.parametrize("case", VERDICT_CASES, ids=lambda case: case["id"])
def test_verdicts_of_the_golden_cases(case):
    released = case["reference_output"]
    assert reference_verdict_outcome(case["input"]) == released
    assert read_verdict(case["input"], mode="reference") == (released if released in {"yes", "no"} else None)
    assert read_verdict(case["input"], mode="strict") == case["sane_output"]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("<think>The answer is A</think>B", "B"),
        ("It could be A.\n</think>\nC", "C"),
        ("<think>The answer is A", None),
        ("Ｂ", "B"),
        ("Ⓒ", "C"),
        ("The answer is not A", None),
        ("Option A is wrong. Option B is right.", "B"),
        ("The answer is A or B", None),
        ("The answer is a cat", None),
        ("The answer is a.", "A"),
        ("option a is correct", "A"),
        ("The answer is A. Option B shows a dog.", "A"),
        ("First I thought the answer is A, but the answer is D.", "D"),
        ("Option:\nA. P\nB. Q\nC. R\nD. S\nThe best answer is:", None),
        ("A. P\nB. Q\nC. R\nD. S\nThe best answer is: C", "C"),
        ("A. P B. Q C. R D. S\nC. R", "C"),
        ("I'd say it is a C-shaped hook", None),
        ("It was 40 °C in 300 B.C.", None),
        ("I cannot tell whether it is B", None),
        ("I am not sure, but probably B", "B"),
        (r"so $\boxed{\text{(b)}}$", "B"),
        (r"\boxed{A} no, \boxed{D}", "D"),
        ('```json\n{"reason": "A looks odd", "answer": "C"}\n```', "C"),
        ('{"answer": "unknown", "note": "B"}', None),
        ('{"answer": "D", "rea', "D"),
        ("<answer>B. dog</answer>", "B"),
        ("**Answer:** C", "C"),
        ("The correct answer is option **(d)**", "D"),
        ("C\u0327", None),
        ("", None),
    ],
)
def test_strict_letters_beyond_the_golden_cases(reply, letter):
    assert read_letter(reply, mode="strict") == letter


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("No, although yes for the first part", "no"),
        ("Yes and no.", None),
        ("yes or no", None),
        ("Yes/No", None),
        ("No birds are visible.", None),
        ("No idea", None),
        ("There is no way to tell", None),
        ("I cannot answer yes", None),
        ("The answer is no.", "no"),
        ("The cup is red. Yes.", "yes"),
        ("Yes. Wait. No.", None),
        ("<think>yes yes yes</think>no", "no"),
        ('{"answer": "cannot_tell", "evidence": "yes"}', None),
        ('{"answer": true}', "yes"),
        ('{"answer": "no", "evidence": "the sign reads \\"answer\\": \\"yes\\""}', "no"),
        ('{"answer": "yes", "evid', "yes"),
        ("ＹＥＳ", "yes"),
        ("yesterday", None),
        ("nothing", None),
    ],
)
def test_strict_verdicts_beyond_the_golden_cases(reply, verdict):
    assert read_verdict(reply, mode="strict") == verdict


def test_option_texts_decide_only_when_they_are_the_whole_reply_and_unique():
    assert read_letter("Vitamin C", options=["Vitamin C", "Salt", "Iron", "Zinc"]) == "A"
    assert read_letter("red", options=["red", "red", "blue", "green"]) is None
    assert read_letter("a red ball", options=["red", "green", "blue", "black"]) is None


WORDS = ["A", "b", "D", "answer", "is", "not", "or", "yes", "no", "option", "是", "Β"]
MARKS = ["<think>", "</think>", "<answer>", "</answer>", "\\boxed{", '"answer":', "}", "{", '"', ":", ".", "'", "*"]
PIECES = st.sampled_from([*WORDS, *MARKS, " ", "\n", "\u0301", "\ud800"])
REPLIES = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join), st.lists(st.text(), max_size=2), st.none())


@given(REPLIES, st.lists(st.text(), max_size=5))
def test_any_reply_gives_a_letter_a_verdict_or_none(reply, options):
    for mode in ("reference", "strict"):
        assert read_letter(reply, mode=mode, options=options) in {"A", "B", "C", "D", None}
        assert read_verdict(reply, mode=mode) in {"yes", "no", None}


@given(st.sampled_from("ABCD"), st.sampled_from("([{*`\"' "), st.sampled_from(")]}*`\"' .!,"))
def test_a_letter_alone_is_read_whatever_is_around_it(letter, before, after):
    for said in (letter, letter.lower()):
        assert read_letter(f"{before}{said}{after}") == letter


@given(st.text(max_size=60), st.sampled_from("ABCD"))
def test_what_was_thought_aloud_changes_nothing(thought, letter):
    thought = thought.replace("<", "")
    assert read_letter(f"<think>{thought}</think>The answer is {letter}.") == letter


@pytest.mark.parametrize("value", [3, 1.5, {"a": 1}, b"A", object(), [None], [3], ((),)])
def test_what_is_no_text_holds_no_decision(value):
    for mode in ("reference", "strict"):
        assert read_letter(value, mode=mode) is None
        assert read_verdict(value, mode=mode) is None


def test_an_unknown_mode_is_refused():
    for read in (read_letter, read_verdict):
        with pytest.raises(InputError, match="reference, strict"):
            read("A", mode="lenient")


HOSTILE = [
    "answer ", "answer is ", "answer:", " ", "\n", "A. B. C. ", "A ", "a b ", "<think>", "</think>", "<answer>",
    "\\boxed{", "\\boxed{{", "{", '{"answer":', "not ", "not option ", "option ", "yes ", "no ", "**",
    "a\u0316\u0301", "\u0316\u0301", "answer is: *", "answer is is ", "so ", "[", '"', "'", "A or ", "A,", "ﷺ",
    "cannot ", "n't ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_the_reply(piece):
    text = (piece * (50_000 // len(piece) + 1))[:50_000]
    started = time.process_time()
    for mode in ("reference", "strict"):
        read_letter(text, mode=mode, options=[text, "x"])
        read_verdict(text, mode=mode)
    assert time.process_time() - started < 2.0
