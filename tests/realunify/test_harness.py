"""The harness against a server over real HTTP: faults, kills, stops, and what is written down.

The witness is the server, which counts what it was asked, and the plain arithmetic of items and statuses.
"""

from __future__ import annotations

import gc
import json
import subprocess
from collections import Counter
from fractions import Fraction

import pytest
from inspect_ai.log import read_eval_log

from pixelword.cli.realunify_summary import summary
from pixelword.errors import BackendError, ConfigError
from pixelword.realunify import Protocol, Status, score_table
from pixelword.realunify.backends import RunStopped
from pixelword.realunify.inspecting.running import run_plan, score_again
from pixelword.realunify.judge import agreements
from pixelword.realunify.store import Store, results_of
from tests.realunify.harness import (
    KEY,
    Loopback,
    Plan,
    asked_name,
    command,
    environment,
    killed_after,
    known,
    plan_for,
    statuses,
)
from tests.realunify.loopback import FAULTS

# Both come from Inspect: a deprecated argument inside its display, and streams that it leaves to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]

NUMBER = 1
ITEMS = NUMBER * 10


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield
    gc.collect()  # here, where the marks above hold


def test_a_run_without_faults_scores_what_the_server_drew(tmp_path):
    with Loopback(Plan(side=64), known(NUMBER)) as server:
        run_plan(plan_for(server, tmp_path / "run", NUMBER))
        asked = sum(server.asked.values())
        assert set(server.asked.values()) == {1}, "no request went out twice"
        run_plan(plan_for(server, tmp_path / "run", NUMBER))
        assert sum(server.asked.values()) == asked, "the second run asked nothing"
    store = Store(tmp_path / "run")
    assert statuses(tmp_path / "run") == {"ok": 2 * ITEMS}
    for protocol in (Protocol.DIRECT, Protocol.STEPWISE):
        records = [record for record in store.items().values() if record.protocol == protocol]
        for record in records:
            # The server draws every third item with a thing missing, and knows every letter.
            assert record.right == (record.track == "GEU" or record.id.index % 3 != 0), record.item
        table = score_table(results_of(records, protocol), store.expected(protocol), protocol)
        right = sum(record.track == "UEG" and record.id.index % 3 != 0 for record in records)
        assert table.average("UEG") == Fraction(100 * right, 6 * NUMBER)


def test_every_item_has_a_status_whatever_the_server_does(tmp_path):
    with Loopback(Plan(FAULTS, share=0.5, slow=0.6, side=64), known(NUMBER)) as server:
        plan = plan_for(server, tmp_path / "run", NUMBER, args={"timeout": 0.3})
        run_plan(plan)
        assert len(server.met) >= 7, "the server did misbehave"
    store = Store(tmp_path / "run")
    records = store.items()
    assert len(records) == 2 * ITEMS
    assert sum(statuses(tmp_path / "run").values()) == 2 * ITEMS
    for record in records.values():
        assert (record.right is not None) == (record.status == Status.OK)
        failed = [call for call in record.calls if call.outcome != "reply"]
        assert not failed or record.status != Status.OK, "no failure becomes a score"
    assert any(call.rerouted for call in store.calls()), "a changed model name is recorded"


def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(side=64, delay=0.05), known(1)) as server:
        line = command(out, server.url, 1)
        kills = sum(killed_after(line, out, replies) for replies in (3, 11, 17))
        assert kills == 3
        # What was stored when the process died is known to the store; what was on its way may be asked again.
        cut_half_a_line(out)
        stored = {call.key: call for call in Store(out).calls()}
        before = dict(server.asked)
        counted = {asked_name(call): before[asked_name(call)] for call in stored.values()}
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(stored) <= sum(before.values())
        assert counted == {name: server.asked[name] for name in counted}, "no stored reply was asked for again"
        asked_anew = sum(server.asked.values()) - sum(before.values())
    store = Store(out)
    calls = list(store.calls())
    assert len(calls) == len({call.key for call in calls}), "no reply is stored twice"
    assert asked_anew == len(calls) - len(stored), "only what was not stored was asked"
    assert statuses(out) == {"ok": 20}, "no item is lost or counted twice"


def cut_half_a_line(out):
    """What a kill in the middle of a write leaves, in case none of the kills hit one."""
    with (out / "replies.jsonl").open("ab") as file:
        file.write(b'{"key": "half a li')


@pytest.mark.parametrize("status", [401, 403, 404, 402])
def test_what_cannot_get_better_stops_the_run_with_one_sentence(tmp_path, status):
    with Loopback(Plan(always=(status, f"no: {KEY}"), side=64), known(3)) as server:
        with pytest.raises(RunStopped) as caught:
            run_plan(plan_for(server, tmp_path / "run", 3, run={"at_once": 4}))
        assert sum(server.asked.values()) <= 4, "what was on its way, and no more"
    assert KEY not in str(caught.value)
    assert str(status) in str(caught.value)


def test_a_request_that_is_refused_every_time_stops_the_run_and_does_not_bind_the_folder(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(always=(400, "Invalid size in request 1"), side=64), known(3)) as server:
        with pytest.raises(RunStopped, match="failed alike") as caught:
            run_plan(plan_for(server, out, 3, run={"at_once": 1}, protocols=["direct"]))
        assert "Invalid size" in str(caught.value)
        assert sum(server.asked.values()) == 5, "no retry, and no sixth"
        assert set(statuses(out)) <= {"stage2_failed"}
        server.plan.always = None
        other = {"name": "pixelword-openai/second", "args": {"base_url": server.url}}
        run_plan(plan_for(server, out, 3, protocols=["direct"], models={"model": other}))
    assert statuses(out) == {"ok": 30}
    assert {record.models["model"] for record in Store(out).runs()} >= {"pixelword-openai/second"}


def test_refusals_of_single_items_stay_theirs(tmp_path):
    """Everything is refused after the first answers: these are failures of items, and the run goes to its end."""
    out = tmp_path / "run"
    with Loopback(Plan(always=(400, "too long"), after=2, side=64), known(3)) as server:
        run_plan(plan_for(server, out, 3, run={"at_once": 1}, protocols=["direct"], tracks=["GEU"]))
    assert statuses(out) == {"ok": 2, "stage2_failed": 10}


def test_a_quota_that_ends_in_the_middle_leaves_what_was_answered(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(always=(429, "insufficient_quota"), after=30, side=64), known(NUMBER)) as server:
        with pytest.raises(RunStopped, match="quota"):
            run_plan(plan_for(server, out, NUMBER))
        assert len(list(Store(out).calls())) == 30
        server.plan.always = None
        run_plan(plan_for(server, out, NUMBER))
        assert max(server.asked.values()) <= 2
    assert statuses(out) == {"ok": 2 * ITEMS}


def test_a_typo_in_the_prices_is_refused_before_anything_is_asked(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("tinny: {per_request: 1}\n", encoding="utf-8")
    with Loopback(Plan(side=64), known(NUMBER)) as server:
        with pytest.raises(RunStopped, match="did you mean 'tinny'"):
            run_plan(plan_for(server, tmp_path / "run", NUMBER, run={"prices": str(prices), "max_cost": 10}))
        assert not server.asked


def test_a_cap_stops_and_a_higher_one_goes_on(tmp_path):
    out, prices = tmp_path / "run", tmp_path / "prices.yaml"
    prices.write_text("tiny: {per_request: 1}\n", encoding="utf-8")
    with Loopback(Plan(side=64), known(NUMBER)) as server:
        run = {"prices": str(prices), "max_cost": 10, "at_once": 2}
        with pytest.raises(RunStopped, match="cap"):
            run_plan(plan_for(server, out, NUMBER, run=run))
        assert sum(server.asked.values()) == 10, "what is on its way is counted beforehand"
        run_plan(plan_for(server, out, NUMBER, run={**run, "max_cost": 1000}))
        assert set(server.asked.values()) == {1}
    assert statuses(out) == {"ok": 2 * ITEMS}


def test_the_second_run_in_a_folder_is_refused(tmp_path):
    with Store(tmp_path / "run"), Loopback(Plan(side=64)) as server:
        with pytest.raises(BackendError, match="another run is writing into this folder"):
            run_plan(plan_for(server, tmp_path / "run", 1))
        assert not server.asked
    run_again = Store(tmp_path / "run").open()
    run_again.close()


def test_other_data_or_another_model_wants_another_folder(tmp_path):
    with Loopback(Plan(side=64), known(1)) as server:
        only = {"tracks": ["GEU"], "protocols": ["direct"]}
        run_plan(plan_for(server, tmp_path / "run", 1, **only))
        asked = sum(server.asked.values())
        with pytest.raises(RunStopped, match="other data"):
            run_plan(plan_for(server, tmp_path / "run", 1, **only, run={"mini_seed": 7}))
        other = {"name": "pixelword-openai/second", "args": {"base_url": server.url}}
        with pytest.raises(RunStopped, match="other models"):
            run_plan(plan_for(server, tmp_path / "run", 1, **only, models={"model": other}))
        assert sum(server.asked.values()) == asked
    assert statuses(tmp_path / "run") == {"ok": 4}


def test_no_key_reaches_any_file(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(("broken",), share=0.3, side=64), known(1)) as server:
        run_plan(plan_for(server, out, 1))
        assert server.keys == {f"Bearer {KEY}"}, "it was sent"
    for file in out.rglob("*"):
        assert not file.is_file() or KEY.encode() not in unpacked(file), file


def unpacked(file):
    """A file's bytes; of Inspect's log, which is packed, all that is in it."""
    return read_eval_log(str(file)).model_dump_json().encode() if file.suffix == ".eval" else file.read_bytes()


@pytest.mark.parametrize("name", ["pixelword-openai/tiny", "mockllm/x"])
def test_a_key_as_an_argument_is_refused(tmp_path, name):
    model = {"name": name, "args": {"api_key": KEY}}
    with pytest.raises(ConfigError, match="would stand in the log") as caught:
        run_plan(plan_for("http://127.0.0.1:9/v1", tmp_path / "run", 1, models={"model": model}))
    assert KEY not in str(caught.value)


def test_a_model_that_cannot_edit_says_so_and_gets_no_score(tmp_path):
    with Loopback(Plan(side=64), known(1)) as server:
        args = {"can": "understand,generate"}
        run_plan(plan_for(server, tmp_path / "run", 1, args=args, protocols=["stepwise"], tracks=["GEU"]))
        assert not server.asked
    store = Store(tmp_path / "run")
    assert statuses(tmp_path / "run") == {"not_supported": 4}
    table = score_table(
        results_of(store.items().values(), Protocol.STEPWISE), store.expected(Protocol.STEPWISE), Protocol.STEPWISE
    )
    assert table.average("GEU") is None


def test_all_protocols_end_and_keep_their_names(tmp_path):
    protocols = ["stepwise-both-images", "interleaved", "oracle-intermediate", "oracle-pair"]
    with Loopback(Plan(side=64), known(1)) as server:
        args = {"can": "understand,generate,edit,interleave"}
        painter = {"name": "pixelword-openai/painter", "args": {"base_url": server.url, **args}}
        plan = plan_for(server, tmp_path / "run", 1, args=args, protocols=protocols, models={"generator": painter})
        run_plan(plan)
    records = list(Store(tmp_path / "run").items().values())
    ended = {(str(record.protocol), record.track): record.status for record in records}
    assert set(ended.values()) == {Status.OK}
    assert len(ended) == 7, "UEG has no both images"
    for record in records:
        roles = [call.role for call in record.calls]
        if record.protocol == Protocol.ORACLE_INTERMEDIATE:
            assert len(roles) == 1
            assert record.intermediate or record.rewritten
        if record.protocol == Protocol.STEPWISE_BOTH_IMAGES:
            assert len(record.calls[-1].pictures_in) == 2
        if record.protocol == Protocol.ORACLE_PAIR:
            assert {call.model.rpartition("/")[2] for call in record.calls} == {"tiny", "painter"}


def test_a_panel_judges_and_its_agreement_is_told(tmp_path, capsys):
    """Three judges, one of which always says yes: the majority is right, and the kappa shows who differs."""
    out = tmp_path / "run"
    yes = Plan(side=64, says='{"answer": "yes"}')
    with Loopback(Plan(side=64), known(1)) as server, Loopback(yes) as easy:
        judges = [
            {"name": f"pixelword-openai/{name}", "args": {"base_url": where.url}}
            for name, where in (("first", server), ("second", server), ("easy", easy))
        ]
        run_plan(plan_for(server, out, 1, protocols=["direct"], tracks=["UEG"], models={"judge": judges}))
    records = list(Store(out).items().values())
    assert {record.status for record in records} == {Status.OK}
    assert all(record.right == (record.id.index % 3 != 0) for record in records)
    pairs = {(pair.first.rpartition("/")[2], pair.second.rpartition("/")[2]): pair for pair in agreements(records)}
    assert pairs["first", "second"].kappa == 1
    assert pairs["easy", "first"].same < pairs["easy", "first"].questions
    assert any("kappa 1.00" in line for line in summary(out))


def test_votes_have_seeds_of_their_own(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(side=64), known(1)) as server:
        run_plan(plan_for(server, out, 1, protocols=["direct"], tracks=["UEG"], run={"judge_votes": 3}))
    votes = [vote.call for record in Store(out).items().values() for each in record.polled for vote in each.votes]
    assert Counter(vote.seed for vote in votes) == dict.fromkeys((0, 1000, 2000), len(votes) // 3)


def test_a_judge_that_is_down_makes_the_run_incomplete_until_it_is_back(tmp_path):
    out = tmp_path / "run"
    down = {"name": "pixelword-openai/judge", "args": {"base_url": "", "backoff": 0.01}}
    with Loopback(Plan(side=64), known(1)) as server, Loopback(Plan(side=64)) as judge:
        down["args"]["base_url"] = judge.url
        only = {"protocols": ["direct"], "tracks": ["UEG"], "models": {"judge": down}}
        # One reply, so that what follows is no mistake of the settings.
        judge.plan.always, judge.plan.after = (500, "down"), 1
        run_plan(plan_for(server, out, 1, **only))
        table = score_table(
            results_of(Store(out).items().values(), Protocol.DIRECT), Store(out).expected(Protocol.DIRECT), "direct"
        )
        assert table.headline("UEG") is None and statuses(out)["judge_failed"] >= 5
        assert "wait for a judge" in "\n".join(summary(out))
        judge.plan.always = None
        run_plan(plan_for(server, out, 1, **only))
    assert statuses(out) == {"ok": 6}
    assert "no headline" not in "\n".join(summary(out))


def test_scoring_again_asks_only_the_judge(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(side=64), known(1)) as server:
        run_plan(plan_for(server, out, 1))
        before = sum(server.asked.values())
        judge = {"name": "pixelword-openai/second", "args": {"base_url": server.url}}
        plan = plan_for(server, out, 1, models={"judge": judge}, run={"judge_wording": "paper_v1"})
        score_again(plan, "second")
        store = Store(out)
        polled = sum(len(record.polled) for record in store.items("second").values())
        assert sum(server.asked.values()) - before == len(
            {
                vote.call.key
                for record in store.items("second").values()
                for each in record.polled
                for vote in each.votes
            }
        )
    assert polled and store.scorings() == ["default", "second"]
    assert {key: record.right for key, record in store.items().items()} == {
        key: record.right for key, record in store.items("second").items()
    }


def test_inspect_finds_the_tasks_by_name():
    from importlib.metadata import EntryPoint

    from inspect_ai._util.registry import registry_lookup

    EntryPoint("pixelword", "pixelword.inspect_tasks", "inspect_ai").load()
    assert registry_lookup("task", "pixelword/realunify_ueg") and registry_lookup("task", "pixelword/realunify_geu")
    assert registry_lookup("modelapi", "pixelword/pixelword-openai")


def test_a_log_of_inspect_holds_no_picture(tmp_path):
    out = tmp_path / "run"
    with Loopback(Plan(side=64), known(1)) as server:
        logs = run_plan(plan_for(server, out, 1, tracks=["GEU"], protocols=["direct"]))
    text = json.dumps([sample.model_dump(mode="json") for sample in logs[0].samples])
    assert "base64" not in text and "img_0" in text
