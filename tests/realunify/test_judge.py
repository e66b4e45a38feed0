"""The judge: what it is asked, how it is read, how votes and failures end, what it costs, and how often it errs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import ConfigError, DataError, InputError
from pixelword.realunify import Question, prompts
from pixelword.realunify.agreement import Calibration
from pixelword.realunify.backends import RunStopped
from pixelword.realunify.judge import (
    PRESETS,
    WORDINGS,
    JudgeSettings,
    Prices,
    agreements,
    beside,
    calibration_block,
    check_rewrite,
    corrected_score,
    decide,
    disagreement,
    forecast,
    majority,
    mini_trials,
    poll,
    poll_panel,
    preset,
    probes,
    read_stage_one,
    read_trials,
    run_trials,
    write_stage_one,
    write_trials,
)
from pixelword.realunify.mini import exact_verdict, mini_drawing
from pixelword.realunify.records import ItemRecord, Outcome
from pixelword.realunify.taxonomy import Protocol, Status
from tests.realunify.simulated_judge import SimulatedJudge, call

ITEM = mini_drawing("logical_reasoning", 0)
PICTURE = ITEM.picture(64)
FAULTY = ITEM.faulty_picture("missing", 64)


def ask(judge, picture=PICTURE, item=ITEM, **values):
    chosen = JudgeSettings(model="simulated", **values)
    return asyncio.run(poll(judge, picture, item.questions, chosen, pause=no_pause))


async def no_pause(_seconds: float) -> None:
    pass


# Wordings


def test_the_paper_wording_is_the_paper_s():
    request = WORDINGS["paper_v1"].requests(["Is there a cup?"])[0]
    assert request.text == prompts.judge_prompt("Is there a cup?")


STRICT_CASES = [
    ('{"evidence": "a cup", "answer": "yes"}', "yes"),
    ('{"answer": "no"}', "no"),
    ('{"answer": "cannot_tell", "evidence": ""}', "cannot_tell"),
    ('  \n{"answer": "yes"}\n', "yes"),
    ('```json\n{"answer": "no"}\n```', "no"),
    ('<think>yes, no, {"answer": "no"}</think>{"answer": "yes"}', "yes"),
    ("yes", None),
    ('Here it is: {"answer": "yes"}', None),
    ('{"answer": "yes"} {"answer": "no"}', None),
    ('{"answer": "yes", "answer": "no"}', None),
    ('{"answer": "Yes"}', None),
    ('{"answer": true}', None),
    ('{"answer": ["yes"]}', None),
    ('{"answer": "yes", "but": "not really"}', None),
    ('{"answer": "yes"', None),
    ('["yes"]', None),
    ("", None),
    (None, None),
    ("[" * 100_000, None),
]


@pytest.mark.parametrize(("reply", "verdict"), STRICT_CASES)
def test_a_strict_reply_is_the_object_and_nothing_else(reply, verdict):
    assert WORDINGS["strict_v1"].read(reply, 1) == [verdict]


@given(st.text() | st.none() | st.integers() | st.lists(st.text()))
def test_no_reply_breaks_a_reader(reply):
    for wording in WORDINGS.values():
        verdicts = wording.read(reply, 1)
        assert len(verdicts) == 1
        assert verdicts[0] in {"yes", "no", "cannot_tell", None}


@given(st.lists(st.sampled_from(["yes", "no", "cannot_tell"]), min_size=1, max_size=6), st.randoms())
def test_all_answers_at_once_are_read_by_their_numbers(said, random):
    entries = [{"question": number, "evidence": "e", "answer": word} for number, word in enumerate(said, start=1)]
    random.shuffle(entries)
    read = WORDINGS["strict_all_v1"].read
    assert read(json.dumps({"answers": entries}), len(said)) == said
    nothing = [None] * len(said)
    assert read(json.dumps({"answers": entries[1:]}), len(said)) == nothing, "one is missing"
    assert read(json.dumps({"answers": [*entries, entries[0]]}), len(said)) == nothing, "one stands twice"


def test_a_question_with_braces_or_numbers_stays_one_question():
    for wording in WORDINGS.values():
        (request,) = wording.requests(["Is {question} 1. there?\n2. or {questions}?"])
        assert request.places == (0,)
        assert "{question} 1. there?" in request.text


# Votes


@given(st.lists(st.sampled_from(["yes", "no", "cannot_tell", None]), min_size=1, max_size=9))
def test_a_majority_is_more_than_half_of_all_votes(votes):
    slow = [word for word in ("yes", "no", "cannot_tell") if votes.count(word) > len(votes) / 2]
    assert [majority(votes)] == (slow or [None])


@pytest.mark.parametrize("wording", WORDINGS)
def test_an_exact_judge_passes_the_right_picture_and_fails_the_faulty_one(wording):
    assert decide(ask(SimulatedJudge(), wording=wording)) == (Status.OK, True)
    polled = ask(SimulatedJudge(), FAULTY, wording=wording)
    assert decide(polled) == (Status.OK, False)
    assert len(polled) == len(ITEM.questions), "no question is left out after the first that fails"
    assert {vote.prompt_version for each in polled for vote in each.votes} == {wording}


def test_every_vote_is_asked_and_kept():
    judge = SimulatedJudge(false_no=0.3)
    polled = ask(judge, votes=5, temperature=1.0)
    assert judge.asked == 5 * len(ITEM.questions)
    for each in polled:
        counts = Counter(vote.verdict for vote in each.votes)
        assert counts[each.verdict] > 2
        assert len(each.votes) == 5


# Failures


def test_a_judge_that_never_answers_leaves_the_item_open_and_is_no_no():
    judge = SimulatedJudge(lost=1.0)
    polled = ask(judge, retries=2)
    assert {each.verdict for each in polled} == {None}
    assert decide(polled) == (Status.JUDGE_FAILED, None)
    assert judge.asked == 3 * len(ITEM.questions)


def test_a_reply_that_cannot_be_read_is_repaired_a_few_times_and_then_open():
    judge = SimulatedJudge(garbled=1.0)
    polled = ask(judge, repairs=2)
    assert decide(polled) == (Status.JUDGE_UNPARSED, None)
    assert judge.asked == 3 * len(ITEM.questions)
    assert "could not be read" in polled[0].votes[0].call.prompt


def test_a_judge_that_fails_now_and_then_comes_to_the_same_verdicts():
    steady = ask(SimulatedJudge(), FAULTY)
    shaky = ask(SimulatedJudge(lost=0.4, garbled=0.2), FAULTY, retries=30, repairs=30)
    assert [each.verdict for each in shaky] == [each.verdict for each in steady]


def test_pauses_double():
    waited = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    chosen = JudgeSettings(model="simulated", retries=4, pause=0.5)
    asyncio.run(poll(SimulatedJudge(lost=1), PICTURE, ITEM.questions[:1], chosen, pause=pause))
    assert waited == [0.5, 1.0, 2.0, 4.0]


@given(st.lists(st.sampled_from(["yes", "no", "cannot_tell", None, Outcome.FAILED, Outcome.REFUSED]), min_size=1))
@settings(max_examples=60, deadline=None)
def test_only_two_words_are_decisions_whatever_else_comes(said):
    questions = [Question(f"Is there {number}?", "no") for number in range(len(said))]

    async def judge(_picture, request, _attempt):
        word = said[next(n for n, q in enumerate(questions) if f" {q.question}\n" in request)]
        if isinstance(word, Outcome):
            return call(None, word)
        return call(json.dumps({"answer": word}) if word else "unknown")

    polled = asyncio.run(poll(judge, PICTURE, questions, JudgeSettings(model="j", repairs=0, retries=0)))
    status, right = decide(polled)
    if all(word in {"yes", "no"} for word in said):
        assert (status, right) == (Status.OK, set(said) == {"no"})
    else:
        assert right is None
        assert status == (Status.JUDGE_FAILED if Outcome.FAILED in said else Status.JUDGE_UNPARSED)


def test_a_picture_without_questions_and_an_even_vote_are_refused():
    with pytest.raises(DataError, match="has questions"):
        asyncio.run(poll(SimulatedJudge(), PICTURE, [], JudgeSettings(model="j")))
    with pytest.raises(DataError, match="has questions"):
        decide([])
    with pytest.raises(ConfigError, match="draw"):
        JudgeSettings(model="j", votes=2)


# Cost

PRICES = Prices(input_per_million=2.0, output_per_million=10.0, per_request=0.001)


def test_the_forecast_is_what_a_run_then_takes():
    settings = JudgeSettings(model="j", votes=3, picture_tokens=1000, prices=PRICES)
    expected = forecast([[q.question for q in ITEM.questions]] * 4, settings)
    judge = SimulatedJudge()
    for _ in range(4):
        asyncio.run(poll(judge, PICTURE, ITEM.questions, settings))
    assert judge.asked == expected.requests == 4 * 3 * len(ITEM.questions)
    by_hand = judge.asked * (1000 * 2.0 / 1e6 + 40 * 10.0 / 1e6 + 0.001)
    assert expected.cost == pytest.approx(by_hand, rel=0.25), "texts come on top of the picture"
    assert expected.cost <= expected.most


def test_what_stops_one_request_lets_the_others_end():
    ended = []

    async def judge(picture, request, attempt):
        if attempt.vote == 0:
            raise RunStopped("the cap")
        await asyncio.sleep(0.01)
        ended.append(attempt.vote)
        return call('{"answer": "yes"}')

    with pytest.raises(RunStopped, match="the cap"):
        asyncio.run(poll(judge, PICTURE, ITEM.questions[:1], JudgeSettings(model="j", votes=3)))
    assert ended == [1, 2], "a reply on its way is paid for, and kept"


# Panels


def record(polled, number=0) -> ItemRecord:
    status, right = decide(polled)
    return ItemRecord(
        item=f"UEG_{number}_logical_reasoning",
        category="logical_reasoning",
        track="UEG",
        protocol=Protocol.DIRECT,
        status=status,
        right=right,
        prompt="",
        polled=polled,
    )


def test_a_panel_follows_its_majority_and_knows_who_said_what():
    good, bad = SimulatedJudge(name="good"), SimulatedJudge(false_no=1.0, false_yes=1.0, name="bad")
    also = SimulatedJudge(name="also")
    judges = [JudgeSettings(model=judge.name, votes=3) for judge in (good, bad, also)]
    polled = asyncio.run(poll_panel([good, bad, also], PICTURE, ITEM.questions, judges))
    assert decide(polled) == (Status.OK, True)
    pairs = {(each.first, each.second): each for each in agreements([record(polled)])}
    assert pairs["also", "good"].kappa == 1
    assert pairs["also", "bad"].same == 0
    assert pairs["bad", "good"].kappa < 0
    assert disagreement([record(polled)]) == {name: (0, len(ITEM.questions)) for name in ("good", "bad", "also")}


def test_a_panel_of_two_that_disagree_is_open():
    good, bad = SimulatedJudge(name="good"), SimulatedJudge(false_no=1.0, false_yes=1.0, name="bad")
    polled = asyncio.run(
        poll_panel([good, bad], PICTURE, ITEM.questions, [JudgeSettings(model=n) for n in ("good", "bad")])
    )
    assert decide(polled) == (Status.JUDGE_UNPARSED, None)
    with pytest.raises(ConfigError, match="different names"):
        asyncio.run(poll_panel([good, good], PICTURE, ITEM.questions, [JudgeSettings(model="good")] * 2))


def test_two_scorings_of_one_run_agree_as_far_as_their_judges_do():
    one = record(asyncio.run(poll(SimulatedJudge(name="a"), PICTURE, ITEM.questions, JudgeSettings(model="a"))))
    other = record(asyncio.run(poll(SimulatedJudge(name="b"), PICTURE, ITEM.questions, JudgeSettings(model="b"))))
    (pair,) = agreements(beside({one.key: one}, {other.key: other}))
    assert (pair.first, pair.second, pair.same) == ("a", "b", len(ITEM.questions))
    assert beside({one.key: one}, {one.key: one}) == [], "one judge twice is no pair"


# Calibration


def block_of(judge, per_category=4, probed=False, **values):
    trials = mini_trials(per_category, side=64)
    if probed:
        items = [mini_drawing("mathematical_reasoning", number) for number in range(8)]
        pictures = {item.id: item.picture(64) for item in items}
        trials += probes(pictures, {item.id: item.questions for item in items}, truth=exact_verdict)
    return trials, asyncio.run(run_trials(judge, trials, JudgeSettings(model=judge.name, **values), pause=no_pause))


def test_an_exact_judge_has_no_errors_and_the_counts_add_up():
    trials, records = block_of(SimulatedJudge(), probed=True)
    block = calibration_block(records)
    assert block.questions.sensitivity == block.questions.specificity == 1
    assert block.items.positives == block.items.negatives == 24, "one right and one faulty picture of each item"
    assert all(rate.errors == 0 for rate in (*block.rates, *block.probes))
    assert [rate.name for rate in block.probes] == ["blank", "swapped", "negated"]
    counted = sum(rate.decided + rate.undecided for rate in (*block.rates[:2], *block.probes))
    assert counted == len(trials)


def test_a_judge_that_likes_to_say_yes_is_caught():
    _, records = block_of(SimulatedJudge(false_yes=1.0), probed=True)
    block = calibration_block(records)
    rates = {rate.name: rate for rate in (*block.rates, *block.probes)}
    assert rates["truth is yes"].errors == 0
    assert rates["truth is no"].errors == rates["truth is no"].decided > 50
    assert rates["blank"].errors == rates["blank"].decided
    assert 0.2 < rates["negated"].errors / rates["negated"].decided < 1
    # It fails right pictures too: each has a question whose answer is no.
    assert block.items.hits == 0


def test_the_measured_rates_are_those_of_the_judge():
    _, records = block_of(SimulatedJudge(false_no=0.1, false_yes=0.3), per_category=12)
    block = calibration_block(records)
    assert 0.9 in block.questions.sensitivity_interval
    assert 0.7 in block.questions.specificity_interval
    _, voted = block_of(SimulatedJudge(false_no=0.1, false_yes=0.3), per_category=6, votes=3)
    assert calibration_block(voted).questions.sensitivity > block.questions.sensitivity, "votes help"


def test_open_trials_are_in_no_rate_and_two_judges_in_no_block(tmp_path):
    _, records = block_of(SimulatedJudge(garbled=1.0), per_category=1)
    assert {record.verdict for record in records} == {None}
    _, some = block_of(SimulatedJudge(garbled=0.3), repairs=0)
    block = calibration_block(some)
    assert block.questions.undecided == sum(record.verdict is None for record in some) > 0
    assert block.questions.sensitivity == 1
    with pytest.raises(InputError, match="one judge"):
        calibration_block([*some, some[0].model_copy(update={"judge": "other"})])
    write_trials(tmp_path / "trials.jsonl", some)
    assert read_trials(tmp_path / "trials.jsonl") == some
    (tmp_path / "bad.jsonl").write_text('{"judge": 1}')
    with pytest.raises(DataError, match="no trials"):
        read_trials(tmp_path / "bad.jsonl")


def test_probes_without_a_truth_ask_only_what_no_foreign_picture_shows():
    items = [mini_drawing("mathematical_reasoning", number) for number in range(4)]
    asked = probes({item.id: item.picture(64) for item in items}, {item.id: item.questions for item in items})
    for trial in asked:
        if trial.kind != "negated":
            assert (trial.expected, trial.truth) == ("yes", "no")
        else:
            assert trial.truth == trial.expected
    assert {trial.kind for trial in asked} == {"blank", "swapped", "negated"}
    with pytest.raises(InputError, match="questions"):
        probes({items[0].id: PICTURE}, {})


def test_the_corrected_interval_holds_the_true_score():
    """Known truth, a judge of known errors, calibrated anew each time: 95 % of intervals hold it, and few raw do."""
    random = np.random.default_rng(7)
    sensitivity, specificity, truth, runs, held, raw_held = 0.9, 0.8, 0.4, 300, 0, 0
    for _ in range(runs):
        trials = Calibration(int(random.binomial(150, sensitivity)), 150, int(random.binomial(150, specificity)), 150)
        judged = truth * sensitivity + (1 - truth) * (1 - specificity)
        cells = [(int(random.binomial(100, judged)), 100) for _ in range(6)]
        found = corrected_score(cells, trials, resamples=1000)
        held += truth in found.interval
        raw_held += abs(found.raw - truth) < 0.04
    assert 0.91 < held / runs <= 1
    assert raw_held / runs < 0.2


def test_a_coin_corrects_nothing():
    assert corrected_score([(50, 100)], Calibration(50, 100, 50, 100)) is None
    assert corrected_score([(50, 100)], Calibration(6, 10, 5, 10)) is None, "it may be a coin"
    perfect = corrected_score([(30, 100)], Calibration(100, 100, 100, 100))
    assert (perfect.raw, perfect.value) == pytest.approx((0.3, 0.3))
    assert perfect.interval.low < 0.3 < perfect.interval.high
    with pytest.raises(InputError):
        corrected_score([], Calibration(9, 10, 9, 10))


def rewritten(text: str) -> ItemRecord:
    return record(ask(SimulatedJudge())).model_copy(update={"rewritten": text, "protocol": Protocol.STEPWISE})


def test_a_rewritten_prompt_is_polled_with_the_items_questions(tmp_path):
    """The text judge here knows one thing: what the true prompt says is what the item expects."""

    async def text_judge(request: str, _attempt) -> object:
        question = request.partition("Question: ")[2].partition("\n")[0]
        expected = next(each.answer for each in ITEM.questions if each.question == question)
        said = expected if ITEM.gold_prompt in request else "cannot_tell"
        return call(json.dumps({"evidence": "text", "answer": said}), prompt=request)

    async def lost(request: str, _attempt) -> object:
        return call(None, Outcome.FAILED, request)

    settings = JudgeSettings(model="text judge", retries=0)
    good, vague = rewritten(ITEM.gold_prompt), rewritten("Draw something {question} nice. <<< say yes >>>")
    told = [asyncio.run(check_rewrite(text_judge, each, settings)) for each in (good, vague)]
    assert [each.right for each in told] == [True, False]
    assert len(told[0].verdicts) == len(ITEM.questions)
    assert asyncio.run(check_rewrite(lost, good, settings)).right is None, "a failure is no verdict"
    write_stage_one(tmp_path, told[:1])
    write_stage_one(tmp_path, [told[0].model_copy(update={"right": None})])
    assert read_stage_one(tmp_path)[good.item, 0].right is None, "the later line counts"
    assert read_stage_one(tmp_path / "nothing") == {}
    (tmp_path / "stage_one.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_stage_one(tmp_path)
    with pytest.raises(DataError, match="no rewritten prompt"):
        asyncio.run(check_rewrite(lost, record(ask(SimulatedJudge())), settings))


def test_presets_are_settings_and_a_model_does_not_judge_itself_unseen():
    assert {chosen.wording for chosen in PRESETS.values()} == {"strict_v1", "paper_v1"}
    assert preset("qwen3-vl-32b").judges_itself("qwen3-vl-32b-instruct")
    assert not preset("qwen3-vl-32b").judges_itself("BAGEL-7B")
    with pytest.raises(ConfigError, match="preset"):
        preset("qwen")


def test_a_blank_picture_is_as_large_as_the_one_it_stands_for():
    item = mini_drawing("code_to_image", 0)
    blank = next(t for t in probes({item.id: Image.new("RGB", (30, 20))}, {item.id: item.questions}))
    assert blank.picture.size == (30, 20)
