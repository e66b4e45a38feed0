"""Each protocol asks what the paper says and ends in the right status. The witness is an asker that plays a script."""

from __future__ import annotations

import anyio
import pytest

from pixelword.errors import ConfigError, DataError
from pixelword.realunify import Protocol, Status, Track, read_benchmark
from pixelword.realunify.backends import Operation
from pixelword.realunify.mini import write_mini
from pixelword.realunify.protocols import Rules, Shown, rewritten, run_item
from pixelword.realunify.records import Call, Outcome, Polled, StoredPicture, Vote
from pixelword.realunify.run_settings import RunPlan, RunSettings
from pixelword.realunify.sources import MiniSize, chosen, fetch, read_source

PICTURE = StoredPicture(sha256="ab", format="PNG", width=4, height=4, bytes=9)


class Script:
    """Answers with the next outcome of its script and remembers what it was asked."""

    def __init__(self, *outcomes, text="B", verdict="right"):
        self.outcomes, self.text, self.verdict = list(outcomes), text, verdict
        self.asked = []

    async def ask(self, role, operation, prompt, pictures=(), *, sample=0):
        self.asked.append((role, operation, prompt, tuple(shown.picture.sha256 for shown in pictures)))
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.REPLY
        ok = outcome == Outcome.REPLY
        drawn = ok and operation in {Operation.GENERATE, Operation.EDIT}
        return Call(
            key="k",
            role=role,
            operation=operation.value,
            model="m",
            prompt=prompt,
            outcome=outcome,
            text=self.text if ok and not drawn else None,
            picture=PICTURE if drawn else None,
        )

    async def poll(self, picture, questions, *, sample=0):
        call = Call(key="j", role="judge", operation="understand", model="j", prompt="", outcome=Outcome.REPLY)
        said = [q.answer if self.verdict == "right" else self.verdict for q in questions]
        votes = [(Vote(judge="j", verdict=verdict, call=call),) for verdict in said]
        return tuple(
            Polled(question=q.question, expected=q.answer, verdict=verdict, votes=vote)
            for q, verdict, vote in zip(questions, said, votes, strict=True)
        )

    def show(self, path):
        return Shown(path, PICTURE.model_copy(update={"sha256": "gold" if "gold" in str(path) else "source"}))

    def stored(self, picture):
        return Shown(None, picture)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    write_mini(place, 1, side=64)
    return place


@pytest.fixture(scope="module")
def items(folder):
    found = read_benchmark(folder)
    return {Track.UEG: found.drawing[0], Track.GEU: found.choice[0]}


def ended(items, folder, track, protocol, script, **rules):
    async def run():
        return await run_item(items[track], protocol, script, Rules(folder, **rules))

    return anyio.run(run)


def test_direct_sends_the_prompt_unchanged(items, folder):
    script = Script()
    record = ended(items, folder, Track.UEG, Protocol.DIRECT, script)
    assert script.asked == [("generator", Operation.GENERATE, items[Track.UEG].prompt, ())]
    assert (record.status, record.right, record.picture) == (Status.OK, True, PICTURE)
    script = Script(text=items[Track.GEU].answer)
    record = ended(items, folder, Track.GEU, Protocol.DIRECT, script)
    assert script.asked == [("understander", Operation.UNDERSTAND, items[Track.GEU].evaluation_prompt, ("source",))]
    assert (record.status, record.right, record.read) == (Status.OK, True, items[Track.GEU].answer)


def test_stepwise_hands_on_the_reply_and_not_the_original(items, folder):
    script = Script(text=' <think>hm</think> "Draw a red square." ')
    record = ended(items, folder, Track.UEG, Protocol.STEPWISE, script)
    assert [asked[:3] for asked in script.asked] == [
        ("understander", Operation.UNDERSTAND, items[Track.UEG].new_prompt),
        ("generator", Operation.GENERATE, "Draw a red square."),
    ]
    assert record.rewritten == "Draw a red square."
    script = Script()
    ended(items, folder, Track.GEU, Protocol.STEPWISE, script)
    assert [asked[3] for asked in script.asked] == [("source",), ("ab",)], "the edited image alone"
    script = Script()
    ended(items, folder, Track.GEU, Protocol.STEPWISE_BOTH_IMAGES, script)
    assert script.asked[1][3] == ("source", "ab")


def test_a_true_intermediate_takes_the_place_of_stage_one(items, folder):
    script = Script()
    ended(items, folder, Track.UEG, Protocol.ORACLE_INTERMEDIATE, script)
    assert [asked[2] for asked in script.asked] == [items[Track.UEG].extra["gold_prompt"]]
    script = Script()
    ended(items, folder, Track.GEU, Protocol.ORACLE_INTERMEDIATE, script)
    assert [asked[3] for asked in script.asked] == [("gold",)]


@pytest.mark.parametrize(
    ("outcome", "only", "first", "answer"),
    [
        (Outcome.REFUSED, Status.REFUSED, Status.REFUSED, Status.REFUSED),
        (Outcome.TIMEOUT, Status.TIMEOUT, Status.TIMEOUT, Status.TIMEOUT),
        (Outcome.FAILED, Status.STAGE2_FAILED, Status.STAGE1_FAILED, Status.STAGE2_FAILED),
        (Outcome.EMPTY, Status.IMAGE_MISSING, Status.STAGE1_EMPTY, Status.ANSWER_UNPARSED),
        (Outcome.BAD_PICTURE, Status.IMAGE_UNREADABLE, Status.IMAGE_UNREADABLE, Status.IMAGE_UNREADABLE),
        (Outcome.NOT_SUPPORTED, Status.NOT_SUPPORTED, Status.NOT_SUPPORTED, Status.NOT_SUPPORTED),
    ],
)
def test_every_failure_ends_the_item_in_its_status_without_a_score(items, folder, outcome, only, first, answer):
    cases = [
        (Track.UEG, Protocol.DIRECT, (outcome,), only),
        (Track.UEG, Protocol.STEPWISE, (outcome,), first),
        (Track.UEG, Protocol.STEPWISE, (Outcome.REPLY, outcome), only),
        (Track.GEU, Protocol.DIRECT, (outcome,), answer),
        (Track.GEU, Protocol.STEPWISE, (outcome,), first),
        (Track.GEU, Protocol.STEPWISE, (Outcome.REPLY, outcome), answer),
    ]
    for track, protocol, outcomes, status in cases:
        record = ended(items, folder, track, protocol, Script(*outcomes))
        assert (record.status, record.right) == (status, None), (track, protocol)
        assert len(record.calls) == len(outcomes), "nothing is asked after a failure"


def test_a_judge_that_does_not_decide_leaves_the_item_open(items, folder):
    record = ended(items, folder, Track.UEG, Protocol.DIRECT, Script(verdict="cannot_tell"))
    assert (record.status, record.right) == (Status.JUDGE_UNPARSED, None)
    assert record.polled, "what it said is kept"


def test_an_empty_rewrite_is_no_prompt_and_a_long_one_is_cut(items, folder):
    record = ended(items, folder, Track.UEG, Protocol.STEPWISE, Script(text="<think>only thoughts</think>"))
    assert record.status == Status.STAGE1_EMPTY and len(record.calls) == 1
    record = ended(items, folder, Track.UEG, Protocol.STEPWISE, Script(text="x" * 50), prompt_limit=20)
    assert (record.rewritten, record.truncated) == ("x" * 20, True)


@pytest.mark.parametrize(
    ("reply", "prompt"),
    [
        ("  a cat \n", "a cat"),
        ('"a cat"', "a cat"),
        ("“a cat”", "a cat"),
        ('"a" and "b"', '"a" and "b"'),
        ('"a', '"a'),
        ('"', '"'),
        ("", ""),
    ],
)
def test_one_pair_of_quotes_is_taken_off(reply, prompt):
    assert rewritten(reply) == prompt


def test_the_data_asks_for_consent_before_the_network(monkeypatch):
    with pytest.raises(ConfigError, match="terms"):
        fetch(accept_license=False)
    with pytest.raises(DataError, match="hub"):
        fetch(accept_license=True)  # the tests are offline


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such data folder"):
        read_source(str(tmp_path / "none"), tmp_path, MiniSize())
    with pytest.raises(DataError, match="none of the benchmark"):
        read_source(str(tmp_path), tmp_path, MiniSize())


def test_a_mini_is_drawn_once_and_its_hashes_are_recorded(tmp_path):
    one = read_source("mini", tmp_path, MiniSize(1, 0, 64))
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.json"))
    two = read_source("mini", tmp_path, MiniSize(1, 0, 64))
    assert one.record == two.record and len(one.record.sha256) == 4
    assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.json"))


def test_a_choice_of_items_keeps_its_denominators(folder):
    found = read_benchmark(folder)
    items, expected = chosen(found, Track.UEG, Protocol.DIRECT, limit=1, categories=["code_to_image"])
    assert [item.id for item in items] == expected and len(items) == 1
    with pytest.raises(ConfigError, match="category"):
        chosen(found, Track.UEG, Protocol.DIRECT, categories=["painting"])
    with pytest.raises(ConfigError, match="no item"):
        chosen(found, Track.GEU, Protocol.DIRECT, categories=["code_to_image"])


def test_settings_read_what_one_types():
    assert RunSettings(protocol="stepwise-both-images").protocol == Protocol.STEPWISE_BOTH_IMAGES
    assert RunSettings(categories="a,b").categories == ("a", "b")
    plan = RunPlan(protocols=["stepwise-both-images", "direct"])
    assert [(track, settings.protocol) for track, settings in plan.tasks()] == [
        (Track.GEU, Protocol.STEPWISE_BOTH_IMAGES),
        (Track.UEG, Protocol.DIRECT),
        (Track.GEU, Protocol.DIRECT),
    ]
    with pytest.raises(ConfigError, match="max_cost"):
        RunSettings(max_costs=3)
