"""Claims of prefetching: the same batches, the state of what was handed out, errors in their place, no thread left."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from pixelword.data import PackedLoader, Prefetched, build_loader
from pixelword.data.records import RowError
from pixelword.errors import ConfigError
from pixelword.recipe import Recipe
from tests.model.processors import small_processor

PROCESSOR = small_processor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    texts = [json.dumps({"text": f"text {n} " + "z" * (n % 11)}) for n in range(40)]
    (folder / "texts.jsonl").write_text("\n".join([*texts, "{broken"]))
    return folder


def loader(folder: Path, bad_rows: str = "skip", shuffle: bool = True) -> PackedLoader:
    source = {"name": "texts", "kind": "json", "path": str(folder / "texts.jsonl"), "epochs": 1}
    values: dict[str, Any] = {
        "name": "test",
        "model": {"preset": "neo-tiny"},
        "data": {"sources": [source], "lanes": 2, "threads": 0, "bad_rows": bad_rows, "shuffle": shuffle},
        "packing": {"budget": 64, "max_sample": 64, "look_ahead": 3},
        "optimizer": {"rate": 1e-3},
        "steps": 3,
        "rows_per_step": 2,
    }
    return build_loader(Recipe.model_validate(values), PROCESSOR)


def test_batches_are_those_of_the_loader_and_the_thread_ends(folder):
    threads = threading.active_count()
    with Prefetched(loader(folder), depth=3) as ahead:
        assert [batch.names for batch in ahead] == [batch.names for batch in loader(folder)]
        assert ahead.next() is None
    assert threading.active_count() == threads


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_the_state_is_that_of_the_batches_handed_out(folder, taken):
    expected = [batch.names for batch in loader(folder)]
    with Prefetched(loader(folder), depth=3) as ahead:
        assert [ahead.next().names for _ in range(taken)] == expected[:taken]
        state = json.loads(json.dumps(ahead.state()))
    again = loader(folder)
    again.load(state)
    assert [batch.names for batch in again] == expected[taken:]


def test_an_error_comes_where_its_batch_would_have_come(folder):
    plain, good = loader(folder, "fail", shuffle=False), 0
    with pytest.raises(RowError):
        while plain.next():
            good += 1
    with Prefetched(loader(folder, "fail", shuffle=False)) as ahead:
        for _ in range(good):
            assert ahead.next()
        with pytest.raises(RowError, match="is not JSON"):
            ahead.next()
        assert ahead.next() is None


def test_closing_early_waits_for_nobody(folder):
    ahead = Prefetched(loader(folder), depth=1)
    ahead.close()
    assert ahead.next() is None


def test_no_depth_is_refused(folder):
    with pytest.raises(ConfigError, match="at least 1"):
        Prefetched(loader(folder), depth=0)
