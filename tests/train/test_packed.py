"""Claims of whole runs: exact resume, honest failures, and what a run leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from pixelword.errors import BackendError, CheckpointError, ConfigError, DataError, TrainingError
from pixelword.model import NeoForConditionalGeneration, NeoProcessor
from pixelword.recipe import Recipe, load_recipe, resolved
from pixelword.train import checkpoints
from pixelword.train.journal import read_journal
from pixelword.train.placement import Placement
from pixelword.train.run import run_recipe
from tests.train.rank_runs import run_on
from tests.train.small_run import small_recipe, write_data

STEPS = 6
WEIGHTS = "weights/shard-00001-model-00001-of-00001.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("small") / "data")


def recipe(folder: Path, /, **changes: Any) -> Recipe:
    return small_recipe(folder, **({"steps": STEPS, "save_every": 2} | changes))


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("straight") / "run"
    outcome = run_recipe(recipe(data), run)
    assert (outcome.step, outcome.finished, outcome.stopped, outcome.ended) == (STEPS, True, "", None)
    return run


class At(TrainerCallback):
    """Does something at the beginning of a step."""

    def __init__(self, step: int, do: Any) -> None:
        self.step, self.do, self.seen = step, do, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.seen.append(state.global_step + 1)
        if self.seen[-1] == self.step:
            self.do()


def losses(run: Path) -> list[dict[str, float]]:
    """What is the same in two equal runs: all but times."""
    timed = {"tokens/s", "images/s", "MFU", "seconds/step"}
    numbers = [line for line in read_journal(run / "log.jsonl")[0] if "loss" in line]
    return [{key: value for key, value in line.items() if key not in timed} for line in numbers]


def same_result(one: Path, other: Path) -> None:
    left, right = (load_file(run / "model" / "model.safetensors") for run in (one, other))
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert losses(one) == losses(other)


def test_a_run_leaves_what_it_promises(straight, data):
    names = {path.name for path in straight.iterdir()}
    assert names >= {"recipe.yaml", "run.json", "learns.txt", "learns.json", "log.jsonl", "model", "done.json"}
    assert load_recipe(straight / "recipe.yaml") == recipe(data)
    told = losses(straight)
    assert [line["step"] for line in told] == list(range(1, STEPS + 1))
    assert told[-1]["loss"] < 0.8 * told[0]["loss"]
    for key in ("loss/text", "loss/image", "loss/source/pictures", "gradient/pre-Buffer", "packed", "learning_rate"):
        assert all(key in line for line in told), key
    assert json.loads((straight / "learns.json").read_text())["names"]
    NeoForConditionalGeneration.from_pretrained(straight / "model")
    numbers = read_journal(straight / "log.jsonl")[0]
    assert not any("train_loss" in line for line in numbers), "the Trainer's last words are zeros here"
    pictures = NeoProcessor.from_pretrained(straight / "model").image_processor
    trained = recipe(data).images
    assert (pictures.min_pixels, pictures.max_pixels) == (trained.min_pixels, trained.max_pixels)
    assert pictures.share_pixels == trained.share_pixels


def test_files_of_another_version_are_named(straight, data, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    (run / "done.json").write_text("")
    with pytest.raises(CheckpointError, match=r"done\.json says nothing") as caught:
        run_recipe(recipe(data), run)
    assert "goes on from its newest checkpoint" in caught.value.fix
    (run / "done.json").unlink()
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text() + "unheard_of: 3\n")
    with pytest.raises(CheckpointError, match=r"recipe\.yaml is not a recipe of this version") as caught:
        run_recipe(recipe(data), run)
    assert "unheard_of" in str(caught.value.got)


def test_a_finished_run_is_found_and_not_repeated(straight, data):
    steps = At(0, None)
    assert run_recipe(recipe(data), straight, callbacks=[steps]).finished
    assert steps.seen == []
    with pytest.raises(CheckpointError, match="another recipe") as caught:
        run_recipe(recipe(data, optimizer={"rate": 2e-3}), straight, accept_changes=True)
    assert "optimizer.rate: 0.001 -> 0.002" in caught.value.got
    assert "--accept-changes" not in caught.value.fix


def test_a_stopped_run_goes_on_as_if_nothing_had_been(straight, data, tmp_path):
    """Step 3 lies between two checkpoints and inside an epoch of packed rows."""
    stop = At(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = run_recipe(recipe(data), tmp_path / "run", callbacks=[stop])
    assert (outcome.step, outcome.finished, outcome.stopped) == (3, False, "SIGINT")
    assert checkpoints.newest(tmp_path / "run").step == 3
    steps = At(0, None)
    assert run_recipe(recipe(data), tmp_path / "run", callbacks=[steps]).finished
    assert steps.seen == [4, 5, 6]
    same_result(straight, tmp_path / "run")


def test_dropout_and_adapters_go_on_exactly_too(data, tmp_path):
    lora = {"rank": 4, "alpha": 8, "dropout": 0.2, "targets": [r".*\.self_attn\.q_proj"]}
    changes = {"lora": lora, "learns": [r"model\.vision_model\..*"], "steps": 3, "optimizer": {"name": "muon"}}
    for name, callbacks in (("straight", []), ("stopped", [At(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])):
        run_recipe(recipe(data, **changes), tmp_path / name, callbacks=callbacks)
    assert run_recipe(recipe(data, **changes), tmp_path / "stopped").finished
    same_result(tmp_path / "straight", tmp_path / "stopped")
    table = (tmp_path / "straight" / "learns.txt").read_text()
    assert "adapters" in table and "Muon 0.001" in table
    assert (tmp_path / "straight" / "adapters" / "adapter_model.safetensors").exists()
    names = json.loads((tmp_path / "straight" / "learns.json").read_text())["names"]
    assert {("lora_" in name, "vision_model" in name) for name in names} == {(True, False), (False, True)}


KILLED = """
import os, signal, sys
from pathlib import Path
from pixelword.recipe import load_recipe
from pixelword.train import packed
from pixelword.train.placement import Placement
from pixelword.train.run import run_recipe

whole = Placement.save
def cut_off(self, folder, model, optimizer):
    if folder.name == "checkpoint-4":
        (folder / "half.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, folder, model, optimizer)
Placement.save = cut_off
run_recipe(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_kill_9_in_the_middle_of_a_save_loses_nothing_that_was_whole(straight, data, tmp_path, caplog):
    (tmp_path / "recipe.yaml").write_text(resolved(recipe(data)))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "recipe.yaml"), str(tmp_path / "run")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert {path.name for path in checkpoints.all_checkpoints(tmp_path / "run")} == {"checkpoint-2", "checkpoint-4"}
    steps = At(0, None)
    assert run_recipe(recipe(data), tmp_path / "run", callbacks=[steps]).finished
    assert steps.seen == [3, 4, 5, 6]
    assert "checkpoint-4 was cut off" in caplog.text
    same_result(straight, tmp_path / "run")


def test_a_full_disk_in_the_middle_of_a_save_leaves_the_last_good_checkpoint(straight, data, tmp_path, monkeypatch):
    whole = Placement.save

    def full(self, folder, model, optimizer):
        if folder.name == "checkpoint-4":
            (folder / "half.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")
        whole(self, folder, model, optimizer)

    monkeypatch.setattr(Placement, "save", full)
    with pytest.raises(TrainingError, match="checkpoint-2 is whole") as caught:
        run_recipe(recipe(data), tmp_path / "run")
    assert "No space left" in caught.value.got and "make room" in caught.value.fix
    assert [path.name for path in checkpoints.all_checkpoints(tmp_path / "run")] == ["checkpoint-2"]
    monkeypatch.undo()
    assert run_recipe(recipe(data), tmp_path / "run").finished
    same_result(straight, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_keeps_the_last_state_and_names_the_samples(data, tmp_path):
    wild = recipe(data, optimizer={"rate": 1e30, "warmup_steps": 0, "clip": None}, save_every=100)
    with pytest.raises(TrainingError, match=r"loss of step 2 is no number.*checkpoint-1") as caught:
        run_recipe(wild, tmp_path / "run")
    assert "pictures.jsonl" in caught.value.got and "texts.jsonl" in caught.value.got
    event = next(event for event in read_journal(tmp_path / "run" / "log.jsonl")[1] if event["event"] == "no number")
    assert event["step"] == 2 and len(event["names"]) > 4
    assert checkpoints.newest(tmp_path / "run").step == 1
    with pytest.raises(CheckpointError, match="another recipe"):
        run_recipe(recipe(data), tmp_path / "run")
    saved = load_file(tmp_path / "run" / "checkpoint-1" / WEIGHTS)
    assert all(tensor.isfinite().all() for tensor in saved.values())


def test_data_that_ends_early_ends_the_run_and_says_so(data, tmp_path, caplog):
    bad = [{"text": ""}, {"image": "gone.png", "conversations": [{"from": "human", "value": "?"}]}]
    whole = (data / "texts.jsonl").read_text()
    (data / "some-bad.jsonl").write_text("\n".join([whole, *map(json.dumps, bad), "{"]))
    source = {"epochs": 1, "path": str(data / "some-bad.jsonl")}
    outcome = run_recipe(recipe(data, source=source, steps=50), tmp_path)
    numbers, events = read_journal(tmp_path / "log.jsonl")
    assert {name: sum(reasons.values()) for name, reasons in outcome.bad_rows.items()} == {"pictures": 3, "texts": 3}
    assert numbers[-1]["bad rows"] == 6
    assert events[-1]["event"] == "finished" and events[-1]["bad_rows"] == outcome.bad_rows
    assert outcome.finished and outcome.ended == outcome.step < 50
    assert f"the data ended after step {outcome.step} of 50" in caplog.text
    assert f"the data ends after about {outcome.step} of 50 steps" in caplog.text, "said before the first step"
    assert caplog.text.count("row left out") == 6, "the look ahead is silent"
    assert "of the peak rate; " in caplog.text and f"set steps={outcome.step}" in caplog.text
    done = json.loads((tmp_path / "done.json").read_text())
    assert done["ended"] == outcome.step
    assert (tmp_path / "model").is_dir()
    (tmp_path / "done.json").unlink()
    again = run_recipe(recipe(data, source=source, steps=50), tmp_path)
    assert (again.step, again.finished) == (outcome.step, True)
    assert again.bad_rows, "those up to the checkpoint are told once more"


def test_data_without_a_single_step_is_refused_and_no_model_is_written(data, tmp_path):
    with pytest.raises(DataError, match="before the first step") as caught:
        run_recipe(recipe(data, source={"root": tmp_path, "epochs": 1}, rows_per_step=64), tmp_path / "run")
    assert "missing file" in str(caught.value.got)
    assert not (tmp_path / "run" / "model").exists() and not checkpoints.all_checkpoints(tmp_path / "run")


def test_out_of_memory_is_one_sentence_and_the_last_checkpoint_stays(data, tmp_path):
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(BackendError, match="out of memory") as caught:
        run_recipe(recipe(data), tmp_path, callbacks=[At(3, full)])
    assert "1 rows of 96 tokens" in caught.value.got and "rows_per_batch" in caught.value.fix
    marked = checkpoints.newest(tmp_path)
    assert marked is not None and marked.step == 2


def stopped(recipe: Recipe, run: Path) -> None:
    run_recipe(recipe, run, callbacks=[At(1, lambda: os.kill(os.getpid(), signal.SIGTERM))])


def test_a_changed_recipe_is_refused_or_accepted_with_the_difference(data, tmp_path, caplog):
    stopped(recipe(data), tmp_path)
    with pytest.raises(CheckpointError, match="another recipe") as caught:
        run_recipe(recipe(data, optimizer={"rate": 5e-4}, seed=7), tmp_path)
    assert "optimizer.rate: 0.001 -> 0.0005" in caught.value.got and "seed: 42 -> 7" in caught.value.got
    run_recipe(recipe(data, steps=3, optimizer={"rate": 5e-4}), tmp_path, accept_changes=True)
    assert "changed: steps: 6 -> 3" in caplog.text
    event = next(event for event in read_journal(tmp_path / "log.jsonl")[1] if event["event"] == "went on")
    assert event["changes"] == ["optimizer.rate: 0.001 -> 0.0005", "steps: 6 -> 3"]
    assert [line["learning_rate"] for line in losses(tmp_path)] == [0.0, 0.00025, 0.0005]


def test_a_change_of_how_it_is_computed_is_only_said(straight, data, tmp_path, caplog):
    stopped(recipe(data), tmp_path)
    other = recipe(data, rows_per_batch=2, save_every=3, data={"threads": 1}, checkpointing=True)
    assert run_recipe(other, tmp_path).finished
    assert "changed: rows_per_batch: 1 -> 2" in caplog.text
    ends = [losses(run)[-1]["loss"] for run in (straight, tmp_path)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)


def test_other_data_is_refused(tmp_path):
    data = write_data(tmp_path / "data")
    stopped(recipe(data), tmp_path / "run")
    with (data / "texts.jsonl").open("a") as file:
        file.write('\n{"text": "one more"}')
    with pytest.raises(DataError, match="not what it was"):
        run_recipe(recipe(data), tmp_path / "run")


def test_a_checkpoint_of_another_architecture_is_refused_and_a_truncated_one_left_out(data, tmp_path):
    stopped(recipe(data), tmp_path / "run")
    file = tmp_path / "run" / "checkpoint-1" / WEIGHTS
    tensors = load_file(file)
    tensors["model.language_model.layers.9.mlp.up_proj.weight"] = tensors.pop("lm_head.weight")
    save_file(tensors, file)
    checkpoints.finish(file.parents[1], 1, 1)
    with pytest.raises(CheckpointError, match="another architecture") as caught:
        run_recipe(recipe(data), tmp_path / "run")
    assert "no lm_head.weight" in caught.value.got and "layers.9" in caught.value.got
    file.write_bytes(file.read_bytes()[:-1])
    assert checkpoints.newest(tmp_path / "run") is None


def test_a_language_model_of_another_size_and_a_missing_tokenizer_are_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="needs a tokenizer"):
        run_recipe(recipe(data, model={"preset": "neo-tiny"}), tmp_path)
    assert not (tmp_path / "log.jsonl").exists()


FROM_THE_FIRST = {"warmup_steps": 0}


@pytest.fixture(scope="module")
def by_ranks(data, tmp_path_factory) -> Path:
    """Four rows per step as ranks x accumulation, in all three weightings."""
    if torch.__version__ < "2.7":
        pytest.skip("models are spread over processes on CPUs from torch 2.7 on")
    folder = tmp_path_factory.mktemp("ranks")
    for ranks in (1, 2, 4):
        runs = [
            (
                recipe(data, steps=2, packing={"weighting": weighting}, optimizer=FROM_THE_FIRST),
                folder / f"{weighting}-{ranks}",
            )
            for weighting in ("token", "sample", "square")
        ]
        run_on(ranks, runs)
    return folder


@pytest.mark.parametrize("weighting", ["token", "sample", "square"])
def test_ranks_and_accumulation_change_no_loss(by_ranks, weighting):
    told = {ranks: losses(by_ranks / f"{weighting}-{ranks}") for ranks in (1, 2, 4)}
    assert len(told[1]) == 2
    for ranks in (2, 4):
        for one, other in zip(told[1], told[ranks], strict=True):
            assert one.keys() == other.keys()
            for key in one:
                if key.startswith("loss") or key in ("tokens", "packed"):
                    assert one[key] == pytest.approx(other[key], rel=1e-6), (ranks, key)
                elif key.startswith("gradient"):
                    assert one[key] == pytest.approx(other[key], rel=1e-4), (ranks, key)
