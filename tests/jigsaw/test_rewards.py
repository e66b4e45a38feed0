"""Rewards: the released function bit for bit, the recommended behaviour, and linear time on hostile text."""

from __future__ import annotations

import inspect
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixelword.errors import InputError
from pixelword.jigsaw import AnswerRule, compute_score, jigsaw_reward, trl_reward

CASES = json.loads((Path(__file__).parents[1] / "fixtures/visual_jigsaw/reward_cases.json").read_text(encoding="utf-8"))
BY_ID = {case["id"]: case for case in CASES}
OPTIONAL = {case["id"] for case in CASES if case.get("sane_is_optional")}
NINE = [5, 1, 3, 7, 9, 2, 4, 8, 6]
LINE = "this long line has certainly more than seven words\n"


def released(response: str, truth: list[int], nothink: bool) -> dict[str, float]:
    """The released rule, spelled out slowly from its description: a regular expression and Python's own int."""
    run, before, penalty = 0, None, 0.0
    for line in (line.strip().lower() for line in response.strip().splitlines()):
        if not line:
            continue
        if len(line.split()) < 7:
            run, before = 0, None
            continue
        run, before = (run + 1 if line == before else 1), line
        if run >= 4:
            penalty = -0.5
    form, answer = 0.0, response
    if not nothink:
        if not re.fullmatch(r"(?s)<think>.*</think>.*\\boxed\{.*\}.*", response):
            return {"score": 0.0, "acc_reward": 0.0, "format_reward": 0.0, "acc": 0.0}
        form, answer = 0.2, "None"
        tail, depth = response.rsplit("\\boxed{", maxsplit=1)[-1], 1
        for place, sign in enumerate(tail):
            depth += {"{": 1, "}": -1}.get(sign, 0)
            if depth == 0:
                answer = tail[:place]
                break
    try:
        given_numbers = [int(item) for item in answer.split(",")]
    except ValueError:
        given_numbers = []
    accuracy = 0.0
    if given_numbers == truth:
        accuracy = 1.0
    elif len(set(given_numbers)) == len(truth) and len(truth) > 4:
        accuracy = sum(a == b for a, b in zip(given_numbers, truth, strict=False)) / len(truth) * 0.2
    total = form + accuracy + penalty
    exact = float(given_numbers == truth)
    return {"score": total, "acc_reward": accuracy, "format_reward": form, "acc": exact}


def as_released(reward: Any) -> dict[str, float]:
    return {
        "score": reward.total,
        "acc_reward": reward.accuracy,
        "format_reward": reward.format,
        "acc": float(reward.exact),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_compat_mode_reproduces_every_case_bit_for_bit(case):
    reward = jigsaw_reward(case["response"], case["ground_truth"], think=not case["nothink"], reference_compat=True)
    assert as_released(reward) == case["expected"]
    assert released(case["response"], case["ground_truth"], case["nothink"]) == case["expected"], "the slow rule errs"


@pytest.mark.parametrize("case", [case for case in CASES if case["id"] not in OPTIONAL], ids=lambda case: case["id"])
def test_default_mode_does_what_is_sane(case):
    container = "tag" if case["id"] == "answer_tags" else "boxed"
    reward = jigsaw_reward(case["response"], case["ground_truth"], think=not case["nothink"], container=container)
    assert as_released(reward) == pytest.approx(case.get("sane_expected", case["expected"]), abs=1e-12)


@pytest.mark.parametrize(
    ("case", "knobs"),
    [("repeat_alternating", {"repetition_period": 2}), ("repeat_inline", {"repetition_unit": "sentences"})],
)
def test_the_optional_detectors_are_off_and_find_what_they_are_for(case, knobs):
    row = BY_ID[case]
    assert as_released(jigsaw_reward(row["response"], row["ground_truth"])) == row["expected"]
    assert as_released(jigsaw_reward(row["response"], row["ground_truth"], **knobs)) == pytest.approx(
        row["sane_expected"]
    )


REASONS = {
    "exact_spaced": "exact",
    "partial_7of9": "partial",
    "valid_0of9": "ok",
    "k4_two_of_four": "ok",
    "missing_think": "no_think",
    "missing_think_close": "no_think",
    "box_only_inside_think": "no_container",
    "unbalanced_box": "parse_error",
    "empty_box": "parse_error",
    "too_short": "wrong_length",
    "all_same": "duplicate",
    "zero_among_right": "out_of_range",
    "huge_int_5000_digits": "out_of_range",
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_names_what_is_wrong(case):
    row = BY_ID[case]
    assert jigsaw_reward(row["response"], row["ground_truth"]).reason == REASONS[case]


def test_containers():
    box, tag = "<think></think>\\boxed{1, 2}", "<think></think><answer>1, 2</answer>"
    both = "<think></think><answer>2, 1</answer> or \\boxed{1, 2}"
    table = {
        (text, container): jigsaw_reward(text, [1, 2], container=container).reason
        for text in (box, tag, both)
        for container in ("boxed", "tag", "any")
    }
    assert table == {
        (box, "boxed"): "exact",
        (box, "tag"): "no_container",
        (box, "any"): "exact",
        (tag, "boxed"): "no_container",
        (tag, "tag"): "exact",
        (tag, "any"): "exact",
        (both, "boxed"): "exact",
        (both, "tag"): "ok",
        (both, "any"): "exact",
    }


def test_an_open_container_is_none_and_thoughts_do_not_answer():
    assert jigsaw_reward("<think></think>\\boxed{1, 2", [1, 2]).reason == "no_container"
    assert jigsaw_reward("<think></think>} \\boxed{1, 2", [1, 2]).reason == "no_container"
    assert jigsaw_reward("<think></think><answer>1, 2", [1, 2], container="tag").reason == "no_container"
    assert jigsaw_reward("<think>a</think>\\boxed{1, 2}</think>", [1, 2]).reason == "no_container"


def test_leading_zeros_are_numbers_and_signs_are_not():
    assert jigsaw_reward("<think></think>\\boxed{01, 002}", [1, 2]).exact
    assert jigsaw_reward("<think></think>\\boxed{+1, 2}", [1, 2]).reason == "parse_error"


PIECES = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "\\boxed{",
            "}",
            "{",
            "<answer>",
            "</answer>",
            LINE,
            "1",
            ",",
            " ",
            "\n",
            "+",
            "_",
            "５",
        ),
        *("x", "\x85", "\u2028", "1, 2, 3, 4, 5", "2, 1, 3, 4, 5", "5, 4, 3, 2, 1", "7, 2, 3, 4, 5"),
    ]
)
RESPONSES = st.one_of(
    st.text(),
    st.lists(PIECES, max_size=30).map("".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: "<think></think>\\boxed{" + "".join(pieces) + "}"),
)


@given(RESPONSES, st.permutations(range(1, 6)), st.booleans())
@example("<think>\\boxed{1</think>}", [1, 2, 3, 4, 5], False)
@example("<think></think>\\boxed{1} \\boxed{", [1, 2, 3, 4, 5], False)
@example("<think></think\\boxed{</think>\\boxed{1}", [1, 2, 3, 4, 5], False)
def test_compat_mode_equals_the_slow_rule_on_any_text(response, target, nothink):
    reward = jigsaw_reward(response, target, think=not nothink, reference_compat=True)
    assert as_released(reward) == released(response, target, nothink)


@given(RESPONSES, st.permutations(range(1, 6)), st.booleans(), st.sampled_from(["boxed", "tag", "any"]))
def test_default_mode_pays_within_bounds_and_never_more_for_less(response, target, think, container):
    reward = jigsaw_reward(response, target, think=think, container=container)
    assert -0.5 <= reward.total <= 1.2
    assert reward.total == reward.format + reward.accuracy + reward.repetition
    assert reward.exact == (reward.accuracy == 1.0) == (reward.reason == "exact") == (reward.places == 5)
    assert reward.accuracy == 0 or reward.reason in {"exact", "partial"}
    assert reward.places != 4, "a permutation cannot miss one place alone"
    if reward.reason in {"no_think", "no_container"}:
        assert reward.format == reward.accuracy == 0


@given(st.permutations(range(1, 10)), st.booleans(), st.sampled_from(["boxed", "tag", "any"]), st.text(max_size=20))
def test_what_the_rule_writes_earns_everything(target, think, container, thoughts):
    rule = AnswerRule(think=think, container=container)
    reward = rule.score(rule.write(target, thoughts), target)
    assert reward.exact
    assert reward.format == (0.2 if think else 0.0)


@given(st.permutations(range(1, 10)), st.permutations(range(1, 10)))
def test_a_permutation_is_paid_by_its_places(target, answer):
    reward = jigsaw_reward("<think></think>\\boxed{" + ",".join(map(str, answer)) + "}", target)
    places = sum(a == b for a, b in zip(answer, target, strict=True))
    assert reward.accuracy == pytest.approx(1.0 if places == 9 else 0.2 * places / 9)
    assert reward.places == places


def test_chance_lines():
    """Expected accuracy of a random permutation: gamma / K + (1 - gamma) / K!, from all permutations of six."""
    from itertools import permutations

    target = list(range(1, 7))
    paid = [jigsaw_reward(",".join(map(str, answer)), target, think=False).accuracy for answer in permutations(target)]
    assert sum(paid) / len(paid) == pytest.approx(0.0344, abs=5e-5)


MEGABYTES = 1_200_000
HOSTILE = {
    "closings and openings": "<think>" + "</think>\\boxed{" * (MEGABYTES // 15),
    "openings, one end": "<think></think>" + "\\boxed{" * (MEGABYTES // 7) + "}",
    "braces": "<think></think>\\boxed{" + "{" * (MEGABYTES // 2) + "}" * (MEGABYTES // 2),
    "commas": "<think></think>\\boxed{" + "1," * (MEGABYTES // 2) + "}",
    "digits": "<think></think>\\boxed{" + "9" * MEGABYTES + "}",
    "zeros": "<think></think>\\boxed{" + "0" * MEGABYTES + "}",
    "long integers": "<think></think>\\boxed{" + ("9" * 4000 + ",") * (MEGABYTES // 4001) + "1}",
    "blanks": "<think>" + " " * MEGABYTES,
    "lines": LINE * (MEGABYTES // len(LINE)),
    "answers": "<think></think>" + "<answer>" * (MEGABYTES // 8),
    "full stops": ". " * (MEGABYTES // 2),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_megabytes_of_hostile_text_take_no_longer_than_megabytes(kind):
    """A quadratic step would take hours."""
    text = HOSTILE[kind]
    start = time.process_time()
    jigsaw_reward(text, NINE, container="any")
    jigsaw_reward(text, NINE, reference_compat=True)
    assert time.process_time() - start < 5


def test_a_periodic_detector_on_megabytes():
    start = time.process_time()
    jigsaw_reward(". ".join([LINE.strip()] * 60_000), NINE, repetition_period=4, repetition_unit="sentences")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("target", [[], [0, 1], [1, 1], [2, 3], None, "ab", ["2", "1"], [2.0, 1.0], 3])
def test_a_target_that_is_no_permutation_is_refused(target):
    with pytest.raises(InputError, match="permutation"):
        jigsaw_reward("", target)


def test_any_sequence_of_numbers_is_a_target():
    text = "<think></think>\\boxed{2, 1}"
    for target in ([2, 1], (2, 1), np.array([2, 1])):
        assert jigsaw_reward(text, target).exact
        assert jigsaw_reward(text, target, reference_compat=True).exact


def test_what_is_no_text_is_refused_and_compat_knows_only_boxes():
    with pytest.raises(InputError, match="text"):
        jigsaw_reward(None, [1, 2])
    with pytest.raises(InputError, match="boxed"):
        jigsaw_reward("", [1, 2], reference_compat=True, container="tag")


def test_the_rule_and_the_function_have_the_same_constants():
    parameters = inspect.signature(jigsaw_reward).parameters
    knobs = {name: one.default for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    # What looks the same belongs to a puzzle, not to the rule.
    assert knobs.pop("alike") == ()
    assert dict(AnswerRule()) == knobs


def test_trl_calls_it_with_messages_or_text():
    logged: dict[str, float] = {}
    right, wrong = "<think></think>\\boxed{2, 1}", "no"
    completions = [[{"role": "assistant", "content": right}], [{"role": "assistant", "content": wrong}]]
    reward = trl_reward()
    columns = {"ground_truth": [[2, 1], [2, 1]], "prompts": [], "completion_ids": [], "trainer_state": None}
    assert reward(completions=completions, log_metric=logged.__setitem__, **columns) == [1.2, 0.0]
    assert reward(completions=[right, wrong], **columns) == [1.2, 0.0]
    parts = [[{"role": "assistant", "content": [{"type": "text", "text": right}]}]] * 2
    assert reward(completions=parts, **columns) == [1.2, 1.2]
    assert logged == {
        "jigsaw/accuracy": 0.5,
        "jigsaw/format": 0.1,
        "jigsaw/repetition": 0.0,
        "jigsaw/exact": 0.5,
    }
    assert reward.__name__ == "visual_jigsaw"
    with pytest.raises(InputError, match="ground truth"):
        reward(completions=[right], ground_truth=[])


@pytest.mark.parametrize("case", random.Random(0).sample(CASES, 20), ids=lambda case: case["id"])
def test_verl_calls_it_by_data_source(case):
    source = "visual_jigsaw_nothink" if case["nothink"] else "visual_jigsaw"
    scores = compute_score(source, case["response"], case["ground_truth"], {}, reference_compat=True)
    assert scores == case["expected"]
