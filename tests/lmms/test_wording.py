"""NEO's prompts out of those of lmms-eval's tasks, against prompts written by hand and made-up questions.

The forms of lmms-eval are in tests/fixtures/lmms_prompts.json: of each task what it writes before the question, before,
between and after the options, and at the end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pixelword.lmms import manner_of, neo_text, worded
from pixelword.lmms.wording import ENDINGS, OPENINGS, lists_options, own_words, with_lettered_lines
from pixelword.model.chat import numbered_question
from pixelword.model.special_tokens import SpecialTokens

ROOT = Path(__file__).parents[2]
FORMS = json.loads((ROOT / "tests" / "fixtures" / "lmms_prompts.json").read_text(encoding="utf-8"))
FORMATS: dict[str, dict[str, str]] = FORMS["formats"]


@pytest.mark.parametrize("asked", FORMS["questions"], ids=lambda asked: asked["task"])
def test_the_prompt_is_the_one_written_by_hand(asked: dict[str, Any]) -> None:
    parts = worded(asked["lmms"], manner_of(asked["task"]), asked.get("doc"))
    assert numbered_question(parts, SpecialTokens()) == asked["neo"]


def test_each_task_of_the_table_has_a_question_written_by_hand() -> None:
    data = yaml.safe_load((ROOT / "docs" / "data" / "neo.yaml").read_text(encoding="utf-8"))
    tasks = {known["task"] for known in data["benchmarks"].values()}
    assert len(tasks) == 13
    assert tasks <= {asked["task"] for asked in FORMS["questions"]}
    assert tasks <= set(FORMATS)


letters = "abcdefghijklmnopqrstuvwxyz ABXYZ 0123456789 ?!%'-,;"
phrases = st.text(letters, min_size=1, max_size=30).map(lambda text: " ".join(text.split())).filter(bool)
sentences = st.builds(str.__add__, phrases, st.sampled_from(["", ".", "?"]))


@given(st.sampled_from(sorted(FORMATS)), sentences, st.lists(sentences, min_size=2, max_size=7))
def test_nothing_of_lmms_eval_survives_and_all_of_the_dataset_does(
    task: str, question: str, options: list[str]
) -> None:
    form = FORMATS[task]
    doc = {"question": question}
    asked = question.capitalize() if task in ("textvqa_val", "vizwiz_vqa_val") else question
    lines = ""
    if "options" in form:
        marked = (form["mark"].format(letter) + text for letter, text in zip("ABCDEFG", options, strict=False))
        asked += form["options"] + form["between"].join(marked)
        lines = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCDEFG", options, strict=False))
    manner = manner_of(task)
    assert manner is not None
    prompt = neo_text(form.get("before", "") + asked + form["after"], manner, doc)
    assert prompt == question + lines + form["neo"]


@given(sentences, st.sampled_from(ENDINGS), st.sampled_from(["\n", "\n\n", " "]), st.sampled_from([".", ""]))
def test_each_ending_is_known_with_and_without_its_full_stop(question, ending, joint, stop) -> None:
    assert own_words(question + joint + ending + stop) == question


@given(sentences, st.sampled_from(OPENINGS), st.sampled_from(["\n", " \n\n"]))
def test_each_opening_is_known(question, opening, joint) -> None:
    assert own_words(opening + joint + question) == question


@given(st.text("AB.:()\n ,Options", max_size=60))
def test_lettered_lines_stay_as_they_are_when_asked_again(text: str) -> None:
    once = with_lettered_lines(text)
    assert with_lettered_lines(once) == once
    assert lists_options(once) == lists_options(text)


@pytest.mark.parametrize(
    "text",
    [
        "Who is A. Smith?",
        "Read:\nA. Smith\nand nothing else",
        "Options: A: alone",
        "The Options: fast, slow",
        "B. x\nC. y",
    ],
)
def test_what_is_no_list_of_options_is_left(text: str) -> None:
    assert not lists_options(text)
    assert with_lettered_lines(text) == text


def test_of_two_lists_the_last_holds_the_options() -> None:
    text = "Given\nA. one\nB. two\nwhich holds?\n(A) both\n(B) neither"
    assert with_lettered_lines(text) == "Given\nA. one\nB. two\nwhich holds?\nA. both\nB. neither"
