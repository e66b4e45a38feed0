"""Claims of the scores: a failure never becomes one, denominators are what was expected, halves round up."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import DataError, InputError
from pixelword.realunify.results import ItemResult, score_choice, score_polling
from pixelword.realunify.rounding import printed
from pixelword.realunify.scores import by_subtask, score_table
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Status, Track, categories_of
from tests.realunify.made_up import results

DIRECT = Protocol.DIRECT


def items(category: str, number: int) -> list[ItemId]:
    return [ItemId(category, index) for index in range(number)]


@pytest.mark.parametrize("status", [status for status in Status if status != Status.OK])
@pytest.mark.parametrize("right", [True, False])
def test_a_failure_cannot_carry_a_score(status, right):
    with pytest.raises(InputError, match="no other"):
        ItemResult(ItemId("code_to_image", 1), DIRECT, status, right)


def test_ok_without_a_decision_is_refused():
    with pytest.raises(InputError, match="decide it"):
        ItemResult(ItemId("code_to_image", 1), DIRECT, Status.OK)


def test_the_statuses_are_those_of_the_benchmark_and_more_than_one_is_never_right():
    assert len(Status) == 12
    points = {
        s: ItemResult(ItemId("code_to_image", 1), DIRECT, s, True if s == Status.OK else None).point for s in Status
    }
    assert {status for status, point in points.items() if point} == {Status.OK}
    assert {status for status, point in points.items() if point == 0} == {Status.ANSWER_UNPARSED}


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_rounding_is_half_up_to_one_decimal(above, below):
    exact = Fraction(above, below)
    # Decimal division is exact enough only for short decimals, so ties are tested on numbers that end.
    if 10_000 % below == 0:
        decimal = Decimal(above) / Decimal(below)
        assert printed(exact) == str(decimal.quantize(Decimal("0.1"), ROUND_HALF_UP))
    assert abs(Fraction(printed(exact)) - exact) <= Fraction(1, 20)


def test_halves_go_up():
    assert [printed(Fraction(n, 100)) for n in (3925, 5475, 3175, 1665, 5, -5, -15)] == [
        "39.3", "54.8", "31.8", "16.7", "0.1", "0.0", "-0.1",
    ]  # fmt: skip


def test_missing_failed_and_unread_items_stay_in_the_denominator():
    table = score_table(results("code_to_image", "11fu0"), items("code_to_image", 10), DIRECT)
    cell = table.categories["code_to_image"]
    assert (cell.percent, cell.coverage, cell.missing) == (20, Fraction(4, 10), 5)
    assert cell.statuses == {Status.OK: 3, Status.TIMEOUT: 1, Status.ANSWER_UNPARSED: 1}
    assert 0.2 in cell.interval


def test_averages_and_total_follow_the_rules_of_the_paper():
    rows, expected = [], []
    for place, name in enumerate(CATEGORIES):
        rows += results(name, "1" * (37 + 3 * place) + "0" * (63 - 3 * place))
        expected += items(name, 100)
    table = score_table(rows, expected, DIRECT)
    assert table.average(Track.UEG) == Fraction(sum(37 + 3 * place for place in range(6)), 6)
    right = sum(bool(row.right) for row in rows)
    assert table.total == Fraction(right, 10)
    assert table.total != (table.average(Track.UEG) + table.average(Track.GEU)) / 2
    assert table.row()["Total"] == printed(Fraction(right, 10))


def test_what_is_not_supported_is_no_zero_and_takes_the_average_with_it():
    rows = [row for name in categories_of(Track.GEU) for row in results(name, "nn" if "track" in name else "11")]
    table = score_table(rows, [item for name in categories_of(Track.GEU) for item in items(name, 2)], DIRECT)
    assert table.row() == {
        "MR-II": "100.0",
        "MT": None,
        "AF": "100.0",
        "CN": "100.0",
        "UEG": None,
        "GEU": None,
        "Total": None,
    }
    assert table.categories["mental_tracking"].interval is None


def test_an_open_judge_withholds_the_headline_until_it_is_allowed():
    rows = [
        row for name in categories_of(Track.UEG) for row in results(name, "1j" if name == "code_to_image" else "11")
    ]
    table = score_table(rows, [item for name in categories_of(Track.UEG) for item in items(name, 2)], DIRECT)
    assert not table.complete
    assert table.headline(Track.UEG) is None
    assert table.headline(Track.UEG, allow_incomplete=True) == "91.7"


def test_blocked_items_leave_both_sides_of_the_fraction():
    blocked = items("code_to_image", 2)
    table = score_table(results("code_to_image", "0011"), items("code_to_image", 4), DIRECT, blocked)
    assert table.categories["code_to_image"].percent == 100


@pytest.mark.parametrize(
    "rows",
    [
        results("code_to_image", "1") * 2,
        results("code_to_image", "11"),
        results("code_to_image", "1", Protocol.STEPWISE),
    ],
    ids=["twice", "not expected", "another protocol"],
)
def test_results_that_do_not_belong_are_refused(rows):
    with pytest.raises(InputError, match="one run at a time"):
        score_table(rows, items("code_to_image", 1), DIRECT)


def test_subtasks_are_counted_where_known():
    known = [ItemResult(ItemId("world_knowledge", i), DIRECT, Status.OK, i > 0, subtask="Food") for i in range(3)]
    assert by_subtask([*known, *results("world_knowledge", "11")]) == {("world_knowledge", "Food"): (2, 3)}


def test_choice_and_polling_keep_doubt_apart_from_wrong():
    assert score_choice("B", "B").right is True
    assert score_choice("Cannot determine.", "C", mode="reference").right is True
    assert score_choice("Cannot determine.", "C").status == Status.ANSWER_UNPARSED
    assert score_polling(["yes", "unknown"], ["yes", "no"], mode="reference").right is True
    assert score_polling(["yes", "unknown"], ["yes", "no"]).status == Status.JUDGE_UNPARSED
    assert score_polling(["no", "unknown"], ["yes", "no"]).right is None
    assert score_polling(["yes", ""], ["yes", "no"], mode="reference").status == Status.JUDGE_FAILED
    assert score_polling(["maybe"], ["yes"], mode="reference").right is False
    assert score_polling(["yes", "no"], ["yes", "no"]).right is True


@pytest.mark.parametrize(("replies", "expected"), [([], []), (["yes"], []), (["yes"], ["Yes"]), ([], ["yes"])])
def test_an_item_without_sound_questions_is_refused_and_not_right(replies, expected):
    with pytest.raises(DataError, match="without questions"):
        score_polling(replies, expected)


def test_an_item_without_an_answer_gives_nothing_away():
    with pytest.raises(DataError, match="letter"):
        score_choice("", "")


@given(st.text())
def test_item_names_are_read_back_or_refused(text):
    item = ItemId("mental_tracking", 17)
    assert ItemId.read(str(item)) == item
    try:
        read = ItemId.read(text)
    except InputError:
        return
    assert str(read).split("_")[2:] == text.split("_")[2:]
