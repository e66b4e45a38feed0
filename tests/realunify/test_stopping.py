"""When a run stops of itself: calls that fail alike, and money; both without any server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import ConfigError
from pixelword.realunify.backends import RunStopped
from pixelword.realunify.costs import Purse, read_prices
from pixelword.realunify.judge import Prices
from pixelword.realunify.records import Call, Outcome

pytest.importorskip("inspect_ai")
from pixelword.realunify.inspecting.stopping import ALIKE, Halt


def call(outcome=Outcome.FAILED, error="", **more) -> Call:
    values = {"key": "k", "role": "generator", "operation": "generate", "model": "m", "prompt": "p"}
    return Call(**{**values, "outcome": outcome, "error": error, **more})


def stops(calls) -> bool:
    halt = Halt()
    try:
        for each in calls:
            halt.note(each)
    except RunStopped:
        return True
    return False


OUTCOMES = st.sampled_from([Outcome.FAILED, Outcome.TIMEOUT, Outcome.REPLY, Outcome.NOT_SUPPORTED, Outcome.REFUSED])


@given(st.lists(st.tuples(OUTCOMES, st.sampled_from(["size 3", "size 4", "no"]), st.sampled_from("mn")), max_size=30))
def test_a_run_stops_when_so_many_calls_of_a_model_fail_alike_before_any_is_answered(story):
    """The rule again, from the whole story: some prefix without an answer of that model holds enough of one message."""
    expected = False
    for model in "mn":
        mine = [(outcome, error.split()[0]) for outcome, error, who in story if who == model]
        answered = [n for n, (outcome, _) in enumerate(mine) if outcome in {Outcome.REPLY, Outcome.REFUSED}]
        before = mine[: answered[0]] if answered else mine
        failed = [said for outcome, said in before if outcome in {Outcome.FAILED, Outcome.TIMEOUT}]
        expected |= any(failed.count(said) >= ALIKE for said in ("size", "no"))
    assert stops(call(outcome, error, model=model) for outcome, error, model in story) == expected


def test_other_settings_are_another_kind_of_call_and_an_earlier_start_counts():
    refused = [call(error="too large")] * ALIKE
    assert stops([call(Outcome.REPLY, settings={"size": "64x64"}), *refused])
    halt = Halt()
    halt.remember([call(Outcome.REPLY)])
    for each in refused * 3:
        halt.note(each)
    assert halt.reason is None


def test_every_model_under_a_cap_has_a_price_or_costs_nothing():
    purse = Purse({"gpt-image-2": Prices(per_request=1.0), "mine": Prices()}, cap=5)
    purse.check_prices(["pixelword-openai/gpt-image-2", "pixelword-openai/mine", "pixelword-exact/mini"])
    with pytest.raises(ConfigError, match="did you mean 'gpt-image-2'"):
        purse.check_prices(["pixelword-openai/gpt-image-1"])
    Purse({}).check_prices(["anything"])


@given(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=40), st.floats(0.5, 20.0), st.integers(1, 8))
def test_a_cap_is_passed_by_no_more_than_dearer_calls_bring(costs, cap, at_once):
    """With calls on their way: what is spent beyond the cap is what calls cost above the dearest before."""
    purse = Purse({"m": Prices(per_request=0.01)}, cap)
    surprise, waiting = 0.0, list(costs)
    while waiting:
        try:
            batch = [(cost, purse.reserve("m")) for cost in waiting[:at_once]]
        except RunStopped:
            break
        for cost, aside in batch:
            surprise += max(0.0, cost - aside)
            purse.release(aside)
            purse.add("m", cost)
        waiting = waiting[at_once:]
    assert purse.spent <= cap + surprise + 1e-9


def test_the_first_call_is_priced_by_its_tokens():
    purse = Purse({"m": Prices(input_per_million=10, output_per_million=100)}, cap=0.05)
    assert purse.reserve("m", tokens=(1000, 300)) == pytest.approx(0.04)
    with pytest.raises(RunStopped, match="cap"):
        purse.reserve("m", tokens=(1000, 300))


@pytest.mark.parametrize("text", ["m: {per_requests: 1}", "m: {per_request: -1}", "m: 3", "m: {per_request: much}"])
def test_a_line_of_the_price_file_that_is_none_names_its_model(tmp_path, text):
    path = tmp_path / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="the price of m"):
        read_prices(path)
