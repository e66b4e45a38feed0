"""Claims of the flips: exactly the golden cases whose two columns differ, and which of them change a score."""

from __future__ import annotations

import json
from pathlib import Path

from pixelword.realunify.flips import Asked, flips

FIXTURES = Path(__file__).parents[1] / "fixtures" / "realunify"
CASES = json.loads((FIXTURES / "scoring_cases.json").read_text(encoding="utf-8"))["cases"]
NOTHING = {"", "no_match", "item_dropped", "ERROR:IndexError", None}


def test_the_flips_are_the_golden_cases_whose_columns_differ():
    asked = [
        Asked(case["id"], case["input"], "yes" if case["kind"] == "judge_reply" else "B", case.get("options"))
        for case in CASES
    ]
    expected = set()
    for case in CASES:
        released = None if case["reference_output"] in NOTHING else case["reference_output"]
        if released != case.get("sane_output_with_options", case["sane_output"]):
            expected.add(case["id"])
    assert {flip.asked.item for flip in flips(asked)} == expected
    assert len(expected) > 10


def test_a_flip_changes_a_score_only_when_one_reading_is_right():
    replies = [
        Asked("1", "Based on the image, the answer is C.", "C"),
        Asked("2", "Cannot determine.", "A"),
        Asked("3", "unknown", "no"),
        Asked("4", "B", "B"),
    ]
    found = flips(replies)
    assert [(flip.asked.item, flip.reference, flip.strict, flip.changes_score) for flip in found] == [
        ("1", "B", "C", True),
        ("2", "C", None, False),
        ("3", "no", None, True),
    ]
