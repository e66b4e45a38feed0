"""Claims of the loader: same steps for any number of ranks, exact resume, bad rows left out by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pixelword.data import PackedBatch, PackedLoader, build_loader, merged
from pixelword.data.json_rows import JsonRows
from pixelword.data.loader import HOPELESS
from pixelword.data.records import RowError
from pixelword.errors import ConfigError, DataError
from pixelword.recipe import Recipe
from tests.model.processors import SMALL, small_processor

PROCESSOR = small_processor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Thirty rows about pictures and forty of text; some of each are broken."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(4):
        Image.new("RGB", (8 + 8 * number, 16), (60 * number, 90, 30)).save(folder / f"{number}.png")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) * 6 // 10])
    rows: list[Any] = [
        {
            "id": n,
            "image": f"{n % 4}.png",
            "conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": "y" * (n % 7 + 1)}],
        }
        for n in range(30)
    ]
    rows[3]["image"] = "none.png"
    rows[8]["image"] = "cut.png"
    (folder / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = [json.dumps({"text": f"text {n} " + "z" * (n % 11)}) for n in range(40)]
    texts[5] = "{broken"
    (folder / "texts.jsonl").write_text("\n".join(texts))
    return folder


def recipe(folder: Path, **changes: Any) -> Recipe:
    every = {"kind": "json", "epochs": 1} | changes.pop("source", {})
    sources = [
        {"name": name, "path": str(folder / f"{name}.jsonl"), "weight": weight, **every}
        for name, weight in (("pictures", 0.7), ("texts", 0.3))
    ]
    values: dict[str, Any] = {
        "name": "test",
        "model": {"preset": "neo-tiny"},
        "images": {"min_pixels": SMALL["min_pixels"], "max_pixels": SMALL["max_pixels"]},
        "data": {"sources": sources, "lanes": 4, "pool": 8, "threads": 0} | changes.pop("data", {}),
        "packing": {"budget": 160, "max_sample": 160, "look_ahead": 5},
        "optimizer": {"rate": 1e-3},
        "steps": 3,
        "rows_per_step": 4,
    }
    return Recipe.model_validate(values | changes)


def loader(folder: Path, rank: int = 0, ranks: int = 1, **changes: Any) -> PackedLoader:
    return build_loader(recipe(folder, **changes), PROCESSOR, rank=rank, ranks=ranks)


def names(batches: list[PackedBatch]) -> list[str]:
    return [name for batch in batches for row in batch.names for name in row]


def same(left: list[PackedBatch], right: list[PackedBatch]) -> None:
    assert [batch.names for batch in left] == [batch.names for batch in right]
    for one, other in zip(left, right, strict=True):
        assert one.inputs.keys() == other.inputs.keys()
        for key in one.inputs:
            assert torch.equal(one.inputs[key], other.inputs[key])


def test_an_epoch_holds_every_good_row_once_and_counts_the_bad_ones(folder, caplog):
    read = loader(folder)
    batches = list(read)
    found = names(batches)
    assert len(found) == len(set(found)) == 67
    assert read.bad.counts == {"pictures": {"missing file": 1, "broken image": 1}, "texts": {"invalid JSON": 1}}
    for name in ("(id 3)", "(id 8)", "texts.jsonl, byte"):
        assert f"row left out: {'pictures.jsonl' if 'id' in name else ''}" in caplog.text
        assert name in caplog.text
    assert all(batch.inputs["input_ids"].shape == (1, 160) for batch in batches)
    assert all(batch.used > 0.5 for batch in batches[:8])


def test_decoding_in_threads_changes_nothing(folder):
    same(list(loader(folder)), list(loader(folder, data={"threads": 3})))


def test_the_rows_of_a_step_are_the_same_on_any_number_of_ranks(folder):
    endless = {"source": {"epochs": None}}
    steps = {}
    for ranks in (1, 2, 4):
        loaders = [loader(folder, rank, ranks, **endless) for rank in range(ranks)]
        steps[ranks] = [
            sorted(name for read in loaders for _ in range(4 // ranks) for name in names([read.next()]))
            for _ in range(6)
        ]
    assert steps[1] == steps[2] == steps[4]


@pytest.mark.parametrize("stop", [0, 1, 3, 7])
def test_a_loader_goes_on_from_its_state_written_as_json(folder, stop):
    endless = {"source": {"epochs": None}}
    whole, first, second = (loader(folder, **endless) for _ in range(3))
    expected = [whole.next() for _ in range(stop + 9)]
    head = [first.next() for _ in range(stop)]
    second.load(json.loads(json.dumps(first.state())))
    same(head + [second.next() for _ in range(9)], expected)
    assert second.bad.counts == whole.bad.counts
    assert second.batches == stop + 9


def test_states_of_two_ranks_go_on_with_one_or_four(folder):
    endless = {"source": {"epochs": None}}
    whole = loader(folder, **endless)
    before = [loader(folder, rank, 2, **endless) for rank in range(2)]
    for _ in range(2):
        names([whole.next() for _ in range(4)] + [read.next() for read in before for _ in range(2)])
    state = json.loads(json.dumps(merged([read.state() for read in before])))
    expected = sorted(names([whole.next() for _ in range(4)]))
    for ranks in (1, 4):
        after = [loader(folder, rank, ranks, **endless) for rank in range(ranks)]
        for read in after:
            read.load(state)
        assert sorted(names([read.next() for read in after for _ in range(4 // ranks)])) == expected
        assert sum(read.bad.total for read in after) >= sum(read.bad.total for read in before)


def test_states_inside_a_step_do_not_fit_together(folder):
    reads = [loader(folder, rank, 2) for rank in range(2)]
    reads[0].next()
    with pytest.raises(DataError, match="fit together only"):
        merged([read.state() for read in reads])


def test_files_are_looked_at_once_and_not_for_every_state(folder, monkeypatch):
    """A source may have many thousands of files on a slow disk, and every batch has a state."""
    asked: list[str] = []
    real = JsonRows.fingerprint

    def counted(self: JsonRows) -> str:
        asked.append(self.name)
        return real(self)

    monkeypatch.setattr(JsonRows, "fingerprint", counted)
    read = loader(folder)
    for _ in range(3):
        read.next()
        assert set(read.state()["data"]) == {"pictures", "texts"}
    assert sorted(asked) == ["pictures", "texts"]


def test_other_data_or_lanes_on_resume_are_refused(folder, tmp_path):
    for name in ("pictures", "texts"):
        (tmp_path / f"{name}.jsonl").write_text((folder / f"{name}.jsonl").read_text())
    state = loader(tmp_path, source={"root": folder}).state()
    with (tmp_path / "texts.jsonl").open("a") as file:
        file.write('\n{"text": "more"}')
    with pytest.raises(DataError, match="not what it was") as caught:
        loader(tmp_path, source={"root": folder}).load(state)
    assert "texts.jsonl" in str(caught.value.got)
    for lanes in (2, 8):
        with pytest.raises(DataError, match="of other lanes"):
            loader(folder, data={"lanes": lanes}, rows_per_step=8).load(loader(folder).state())


@pytest.mark.parametrize(("old", "new"), [(".png", "?png"), ("?", " "), ('"conv', '"vonc')])
def test_a_waiting_row_that_changed_is_found_even_if_the_file_kept_its_size(folder, tmp_path, old, new):
    for name in ("pictures", "texts"):
        (tmp_path / f"{name}.jsonl").write_text((folder / f"{name}.jsonl").read_text())
    changes = {"source": {"root": folder}, "packing": {"budget": 160, "max_sample": 160, "look_ahead": 20}}
    read = loader(tmp_path, **changes)
    read.next()
    assert len(read.lanes[0].packer) > 5
    text = (tmp_path / "pictures.jsonl").read_text()
    (tmp_path / "pictures.jsonl").write_text(text.replace(old, new))
    with pytest.raises(DataError) as caught:
        loader(tmp_path, **json.loads(json.dumps(changes, default=str))).load(read.state())
    assert caught.value.fix


def test_a_bad_row_ends_the_run_if_the_recipe_says_so(folder):
    with pytest.raises(RowError):
        list(loader(folder, data={"bad_rows": "fail"}))


def test_a_source_of_which_no_row_can_be_used_says_so_instead_of_reading_for_ever(folder):
    (folder / "elsewhere").mkdir(exist_ok=True)
    with pytest.raises(DataError, match="no row of source 'pictures' can be used") as caught:
        list(loader(folder, source={"root": folder / "elsewhere", "epochs": None}))
    assert "missing file" in str(caught.value.got)


def test_a_root_that_is_no_folder_is_refused_before_a_row_is_read(folder):
    with pytest.raises(DataError, match="the root of source 'pictures' is no folder") as caught:
        loader(folder, source={"root": folder / "nowhere"})
    assert caught.value.got == folder / "nowhere"


def test_a_source_without_one_good_row_ends_early_however_long_it_is(tmp_path, caplog):
    folder = tmp_path
    (folder / "texts.jsonl").write_text('{"text": "a"}\n' * 5)
    (folder / "pictures.jsonl").write_text('{"text": ""}\n' * 3000)
    with pytest.raises(DataError, match="no row of source 'pictures' could be used so far") as caught:
        list(loader(folder, source={"epochs": 3}, data={"lanes": 1}, rows_per_step=1))
    assert caught.value.got == {"empty answer": HOPELESS}
    assert caplog.text.count("row left out: pictures.jsonl") == HOPELESS


def test_many_bad_rows_among_good_ones_end_no_run_and_no_resume(tmp_path, monkeypatch):
    """The limit is of each lane from its beginning, not of all lanes together or of a run that went on."""
    monkeypatch.setattr("pixelword.data.loader.HOPELESS", 30)
    rows = [{"text": f"{number}" if number % 3 == 0 else ""} for number in range(300)]
    (tmp_path / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    changes = {"source": {"epochs": None}, "data": {"lanes": 8, "pool": 4}, "rows_per_step": 8}
    read = loader(tmp_path, **changes)
    for _ in range(6):
        state = json.loads(json.dumps(read.state()))
        again = loader(tmp_path, **changes)
        again.load(state)
        same([read.next() for _ in range(8)], [again.next() for _ in range(8)])
    assert read.bad.total > 10 * 30


def test_the_count_of_a_hopeless_source_goes_on_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("pixelword.data.loader.HOPELESS", 60)
    (tmp_path / "pictures.jsonl").write_text('{"text": ""}\n' * 300)
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": f"{number}" * 30}) for number in range(300)))
    changes = {"source": {"epochs": 2}, "data": {"lanes": 1, "pool": 4}, "rows_per_step": 1}
    read = loader(tmp_path, **changes)
    lane = read.lanes[0]
    lane._before_good["pictures"] = 59
    again = loader(tmp_path, **changes)
    again.load(json.loads(json.dumps(read.state())))
    with pytest.raises(DataError, match="could be used so far"):
        again.next()


def test_shares_are_of_rows_that_can_be_used(tmp_path):
    rows = [{"text": f"{number}" if number % 10 == 0 else ""} for number in range(400)]
    (tmp_path / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": f"{number}"}) for number in range(400)))
    read = loader(tmp_path, source={"epochs": None}, data={"lanes": 1}, rows_per_step=1)
    sources = Counter(name for _ in range(20) for row in read.next().sources for name in row)
    # What waits in the packer may be of either.
    assert abs(sources["pictures"] - 0.7 * sources.total()) <= 6


def test_a_lane_whose_rows_are_all_bad_is_named_and_goes_on_with_the_rows_of_the_next(tmp_path, caplog):
    """Few rows are dealt out to lanes by their number, so that a bad one may be all that a lane has."""
    rows = [{"text": f"text {n}"} if n % 4 != 1 else {"text": ""} for n in range(8)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    only = [{"name": "texts", "kind": "json", "path": str(tmp_path / "texts.jsonl")}]
    changes = {"data": {"sources": only, "lanes": 4, "pool": 8, "threads": 0}}
    read = loader(tmp_path, **changes)
    found = [names([read.next()]) for _ in range(40)]
    places = [sum(len(json.dumps(row)) + 1 for row in rows[:n]) for n in range(8)]
    own = [{f"texts.jsonl, byte {places[n]}" for n in (lane, lane + 4)} for lane in (0, 2, 2, 3)]
    assert [set().union(*(found[step][:] for step in range(lane, 40, 4))) for lane in range(4)] == own
    assert read.bad.counts == {"texts": {"empty answer": 2}}
    assert "source 'texts': no row of its share for lane 1 of 4 can be used" in caplog.text
    again = loader(tmp_path, **changes)
    again.load(json.loads(json.dumps(read.state())))
    same([again.next() for _ in range(4)], [read.next() for _ in range(4)])


@pytest.mark.parametrize(
    ("ranks", "changes", "said"),
    [
        (3, {}, "divide the lanes"),
        (1, {"rows_per_step": 6}, "as many rows from every lane"),
        (4, {"rows_per_step": 8, "rows_per_batch": 4}, "as many rows from every lane"),
        (1, {"data": {"sources": []}}, "no data"),
    ],
)
def test_ranks_lanes_and_rows_that_do_not_fit_are_refused(folder, ranks, changes, said):
    with pytest.raises(ConfigError, match=said):
        loader(folder, 0, ranks, **changes)


def four_rows(folder: Path, lanes: int = 8, bad: tuple[int, ...] = ()) -> dict[str, Any]:
    rows = [{"text": "" if n in bad else f"text {n}"} for n in range(4)]
    (folder / "four.jsonl").write_text("\n".join(map(json.dumps, rows)))
    only = [{"name": "four", "kind": "json", "path": str(folder / "four.jsonl")}]
    return {"data": {"sources": only, "lanes": lanes, "pool": 8, "threads": 0}, "rows_per_step": lanes}


def test_four_rows_for_eight_lanes_are_read_equally_often_and_resumed_on_any_number_of_ranks(tmp_path, caplog):
    changes = four_rows(tmp_path)
    read = loader(tmp_path, **changes)
    counts = {name: names([read.next() for _ in range(64)]).count(name) for name in set(names([read.next()]))}
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 8
    assert caplog.text.count("fewer rows than there are lanes") == 1
    steps = {}
    for ranks in (1, 4):
        loaders = [loader(tmp_path, rank, ranks, **changes) for rank in range(ranks)]
        halves = []
        for _ in range(2):
            halves.append(sorted(name for one in loaders for _ in range(24 // ranks) for name in names([one.next()])))
            state = json.loads(json.dumps(merged([one.state() for one in loaders])))
            loaders = [loader(tmp_path, rank, ranks, **changes) for rank in range(ranks)]
            for one in loaders:
                one.load(state)
        steps[ranks] = halves
    assert steps[1] == steps[4]


def test_bad_rows_among_fewer_rows_than_lanes_are_left_out_and_nothing_but_bad_rows_ends(tmp_path):
    read = loader(tmp_path, **four_rows(tmp_path, bad=(0, 2)))
    assert len(set(names([read.next() for _ in range(32)]))) == 2
    with pytest.raises(DataError, match="no row of source 'four' can be used"):
        loader(tmp_path, **four_rows(tmp_path, bad=(0, 1, 2, 3))).next()
