"""A recipe on two processes: spread, the same as on one, and what happens when one of them dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.train import checkpoints
from pixelword.train.journal import read_journal
from pixelword.train.run import run_recipe
from tests.train import spread_runs
from tests.train.small_run import small_recipe, write_data
from tests.train.two_processes import in_processes


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("small") / "data")


@pytest.fixture(scope="module")
def recipe(data):
    return small_recipe(data, steps=4, save_every=1, rows_per_step=2, data={"lanes": 2}, checkpointing=True)


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    run_recipe(recipe, run)
    return run


@pytest.fixture(scope="module")
def together(recipe, tmp_path_factory) -> tuple[Path, list[tuple[int, list[str]]]]:
    run = tmp_path_factory.mktemp("together") / "run"
    return run, in_processes(2, spread_runs.watched, recipe, run, launch=False)


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_journal(run / "log.jsonl")[0] if "loss" in line]


def test_everything_that_learns_is_spread_in_weights_and_optimiser(together):
    for learning, whole in together[1]:
        assert learning > 50
        assert whole == []


def test_two_processes_run_a_recipe_as_one_does(alone, together):
    assert losses(together[0]) == pytest.approx(losses(alone), rel=1e-5)
    left, right = (load_file(run / "model" / "model.safetensors") for run in (alone, together[0]))
    assert left.keys() == right.keys()
    assert {name: tensor.shape for name, tensor in left.items()} == {n: t.shape for n, t in right.items()}


@pytest.mark.skipif(torch.__version__ < "2.8", reason="several precisions in one block are spread from torch 2.8 on")
def test_adapters_over_frozen_weights_in_bfloat16(data, tmp_path):
    recipe = small_recipe(
        data,
        steps=2,
        rows_per_step=2,
        data={"lanes": 2},
        learns=[r"model\.vision_model\..*"],
        lora={"rank": 2, "alpha": 4, "targets": [r".*\.q_proj"]},
        model={"preset": "neo-tiny", "tokenizer": str(data / "tokenizer"), "dtype": "bfloat16"},
        optimizer={"warmup_steps": 1},
    )
    run_recipe(recipe, tmp_path / "1")
    for learning, whole in in_processes(2, spread_runs.watched, recipe, tmp_path / "2", launch=False):
        assert (learning, whole) == (16, [])
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-3)
    one, two = (load_file(tmp_path / number / "adapters" / "adapter_model.safetensors") for number in "12")
    assert {name: tensor.shape for name, tensor in one.items()} == {name: tensor.shape for name, tensor in two.items()}
    assert (tmp_path / "2" / "model" / "model.safetensors").is_file()


def test_a_process_that_dies_ends_the_run_with_a_sentence_and_the_last_checkpoint_stays(recipe, alone, tmp_path):
    said, gone = in_processes(2, spread_runs.with_a_death, recipe, tmp_path / "run", 4, launch=False)
    assert gone is None
    assert said.startswith("BackendError: another process of this run is gone; process 0 of 2 stops too")
    assert "it goes on from checkpoint-3" in said
    assert checkpoints.newest(tmp_path / "run").step == 3
    assert not (tmp_path / "run" / "done.json").exists()
    assert run_recipe(recipe, tmp_path / "run").finished, "one process goes on from what two wrote"
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), rel=1e-5)
    went_on = next(event for event in read_journal(tmp_path / "run" / "log.jsonl")[1] if event["event"] == "went on")
    assert went_on["changes"] == ["processes: 2 -> 1"]


def test_a_checkpoint_of_two_lists_the_files_of_both(together, tmp_path):
    newest = checkpoints.newest(together[0])
    assert newest.ranks == 2
    listed = json.loads((newest.folder / "complete").read_text())["files"]
    for part in ("weights", "optimizer"):
        assert sum(name.startswith(f"{part}/shard-") for name in listed) == 2
    (newest.folder / "weights" / "shard-00002-model-00001-of-00001.safetensors").unlink()
    assert checkpoints.whole(newest.folder) is None
