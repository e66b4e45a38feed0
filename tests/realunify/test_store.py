"""The store: what is written is read, half a line costs nothing, and one process writes at a time."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import BackendError, ConfigError, DataError, ImageError
from pixelword.realunify import Protocol, Status
from pixelword.realunify.records import Call, ItemRecord, Outcome, Polled, Vote, read_item, write_line
from pixelword.realunify.store import DataRecord, RunRecord, Store, cut_half_line, lines


def call(key: str = "k", **more) -> Call:
    values = {"role": "generator", "operation": "generate", "model": "m", "prompt": "p", "outcome": Outcome.REPLY}
    return Call(**{"key": key, **values, **more})


def item(number: int = 1, **more) -> ItemRecord:
    about = {"item": f"UEG_{number}_code_to_image", "category": "code_to_image", "track": "UEG", "prompt": "p"}
    return ItemRecord(**{**about, "protocol": Protocol.DIRECT, "status": Status.OK, "right": True, **more})


def png(color: str = "red") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(written, "PNG")
    return written.getvalue()


@given(st.text(), st.text() | st.none(), st.integers(0, 10**9) | st.none())
def test_what_is_written_on_a_line_is_read_back(prompt, text, seed):
    one = call(prompt=prompt, text=text, seed=seed)
    line = write_line(one)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert Call.model_validate(json.loads(line)) == one


def test_a_whole_record_with_votes_is_read_back_and_scored():
    vote = Vote(judge="j", verdict="no", call=call("v"))
    asked = Polled(question="Is it?", expected="yes", verdict="no", votes=(vote,))
    one = item(right=False, polled=(asked,), calls=(call(),))
    assert read_item(json.loads(write_line(one))) == one
    result = one.result()
    assert (result.right, result.passed, result.questions) == (False, 0, 1)


def test_the_later_of_two_lines_for_one_item_counts(tmp_path):
    with Store(tmp_path) as store:
        store.keep_item(item(status=Status.TIMEOUT, right=None))
        store.keep_item(item(right=False))
        store.keep_item(item(2))
        store.keep_item(item(scoring="other"))
    read = Store(tmp_path)
    assert [record.right for record in read.items().values()] == [False, True]
    assert read.scorings() == ["default", "other"] and len(read.items("other")) == 1


def test_only_answers_are_kept_and_each_once(tmp_path):
    with Store(tmp_path) as store:
        for outcome in Outcome:
            store.keep_call(call(str(outcome), outcome=outcome))
            store.keep_call(call(str(outcome), outcome=outcome))
    kept = [one.key for one in Store(tmp_path).calls()]
    assert kept == ["reply", "refused", "empty", "bad_picture"]


@pytest.mark.parametrize("tail", [b"", b"{", b'{"key": "x"', b'{"key": "x"}', b"\xff" * 70000])
def test_half_a_last_line_is_passed_over_and_cut_off(tmp_path, tail):
    with Store(tmp_path) as store:
        store.keep_call(call("a"))
    whole = (tmp_path / "replies.jsonl").read_bytes()
    (tmp_path / "replies.jsonl").write_bytes(whole + tail)
    assert [one.key for one in Store(tmp_path).calls()] == ["a"]
    with Store(tmp_path) as store:
        store.keep_call(call("b"))
    assert [one.key for one in Store(tmp_path).calls()] == ["a", "b"]


@given(st.binary(max_size=300))
def test_cutting_leaves_whole_lines_and_nothing_else(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("cut") / "file"
    path.write_bytes(content)
    cut_half_line(path)
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    (tmp_path / "replies.jsonl").write_bytes(b"not json\n" + write_line(call()))
    with pytest.raises(DataError, match="line 1"):
        list(lines(tmp_path / "replies.jsonl", Call))
    (tmp_path / "replies.jsonl").write_bytes(b'{"from": "the future"}\n')
    with pytest.raises(ConfigError):
        list(lines(tmp_path / "replies.jsonl", Call))


def test_pictures_lie_under_their_hash_once(tmp_path):
    with Store(tmp_path) as store:
        one, same, other = (store.keep_picture(png(color)) for color in ("red", "red", "blue"))
        assert one == same != other
        assert (one.format, one.width, one.height) == ("PNG", 8, 6)
        assert store.path(one).read_bytes() == png("red")
        with pytest.raises(ImageError):
            store.keep_picture(png()[:-20])
    assert len([path for path in (tmp_path / "pictures").rglob("*") if path.is_file()]) == 2


def test_one_process_writes_at_a_time_and_anybody_reads(tmp_path):
    with Store(tmp_path) as store:
        store.keep_item(item())
        with pytest.raises(BackendError, match="another run"):
            Store(tmp_path).open()
        assert len(Store(tmp_path).items()) == 1
    Store(tmp_path).open().close()


def test_the_denominators_are_those_of_the_latest_start(tmp_path):
    data = DataRecord(source="mini", folder="x")

    def start(track: str, *numbers: int) -> RunRecord:
        named = tuple(
            f"{track}_{number}_{'code_to_image' if track == 'UEG' else 'mental_tracking'}" for number in numbers
        )
        return RunRecord(started="", track=track, protocol=Protocol.DIRECT, models={}, data=data, expected=named)

    with Store(tmp_path) as store:
        store.keep_run(start("UEG", 1))
        store.keep_run(start("UEG", 1, 2))
        store.keep_run(start("GEU", 7))
    expected = Store(tmp_path).expected(Protocol.DIRECT)
    assert sorted(map(str, expected)) == ["GEU_7_mental_tracking", "UEG_1_code_to_image", "UEG_2_code_to_image"]
    assert Store(tmp_path).expected(Protocol.STEPWISE) == frozenset()


def begun(**more) -> RunRecord:
    values = {"models": {"model": "m"}, "data": DataRecord(source="mini", folder="x", sha256={"f": "1"}), **more}
    return RunRecord(started="", track="UEG", protocol=Protocol.DIRECT, expected=("UEG_1_code_to_image",), **values)


def test_a_start_is_written_down_before_the_first_thing_that_comes_of_it(tmp_path):
    with Store(tmp_path) as store:
        store.begin(begun(models={"model": "typo"}))
        assert store.runs() == [], "nothing came of it"
        store.begin(begun())
        store.keep_call(call(outcome=Outcome.FAILED))
        assert store.runs() == []
        store.keep_call(call())
        assert store.runs() == [begun()]
        store.keep_item(item(calls=(call(),)))
        assert store.runs() == [begun()], "once"


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"models": {"model": "n"}}, "other models"),
        ({"data": DataRecord(source="mini", folder="y", sha256={"f": "2"})}, "other data"),
        ({"settings": {"seed": 1}}, "other settings"),
    ],
)
def test_a_start_of_which_something_came_binds_the_folder_and_one_that_failed_does_not(tmp_path, other, says):
    failed = item(status=Status.STAGE2_FAILED, right=None, calls=(call(outcome=Outcome.FAILED),))
    with Store(tmp_path) as store:
        store.begin(begun(settings={"seed": 0}))
        store.keep_item(failed)
        store.begin(begun(**{"settings": {"seed": 0}, **other}))
        store.begin(begun(settings={"seed": 0}))
        store.keep_item(item(calls=(call(),)))
        with pytest.raises(DataError, match=says):
            store.begin(begun(**{"settings": {"seed": 0}, **other}))
        store.begin(begun(settings={"seed": 0, "at_once": 3}))
