"""Stages: an interrupted one goes on as if nothing had happened, a finished one is not repeated."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback

from pixelword.errors import CheckpointError, ConfigError, TrainingError
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.train import Branch, BranchCollator, Machine, Row, Stage, first_stage, is_finished, run_stage
from pixelword.train.checkpoints import all_checkpoints, newest
from pixelword.train.trainer import StageTrainer

PLAIN = Machine(bfloat16=False, compiled=False, why="float32, eager")


class Counting(Dataset):
    """Row n counts on from n; the picture-less trunk is its first number."""

    def __len__(self):
        return 400

    def __getitem__(self, number):
        count = [10 + (number + step) % 7 for step in range(6)]
        return Row(Branch(tuple(count[:2]), (False, True)), (Branch(tuple(count[2:]), (True,) * 4),))


def tiny(seed=0):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "extra_num_layers": 1, "intermediate_size": 24}
    return NeoForConditionalGeneration(neo_tiny(**sizes, head_dim=8, num_attention_heads=2, num_key_value_heads=2))


def stage(**changes):
    settings = {"name": "count", "learns": (".*",), "steps": 24, "rows": 4, "length": 8, "rate": 0.01}
    return Stage(**{**settings, "schedule": "cosine", "save_every": 6, **changes})


def run(folder, model, *callbacks, **changes):
    collate = BranchCollator(8, pad_token_id=0)
    return run_stage(stage(**changes), model, Counting(), collate, folder, machine=PLAIN, seed=0, callbacks=callbacks)


class StopAt(TrainerCallback):
    """Ends the run like a crash would, in the middle of a step's work."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


class Steps(TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(state.global_step)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "count"
    return folder, run(folder, tiny())


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_a_stage_learns_and_leaves_what_it_promises(straight):
    folder, _ = straight
    assert {path.name for path in folder.iterdir()} == {"learns.txt", "learns.json", "log.json", "model", "done.json"}
    log = [entry["loss"] for entry in json.loads((folder / "log.json").read_text()) if "loss" in entry]
    assert log[-1] < 0.9 * log[0]
    assert json.loads((folder / "done.json").read_text())["steps"] == 24
    parts = json.loads((folder / "learns.json").read_text())["parts"]
    assert sum(part["trains"] for part in parts) == sum(parameter.numel() for parameter in tiny().parameters())


def test_an_interrupted_stage_ends_where_an_uninterrupted_one_does(straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "count", tiny(), StopAt(15))
    assert newest(tmp_path / "count").folder.name == "checkpoint-12"
    steps = Steps()
    continued = run(tmp_path / "count", tiny(seed=1), steps)
    assert steps.seen == list(range(13, 25)), "the finished steps are not repeated"
    for name, parameter in weights(straight[1]).items():
        assert torch.equal(parameter, weights(continued)[name]), name
    logs = [json.loads((folder / "log.json").read_text()) for folder in (straight[0], tmp_path / "count")]
    assert [e["loss"] for e in logs[0] if "loss" in e] == [e["loss"] for e in logs[1] if "loss" in e]


def test_a_checkpoint_that_was_cut_off_is_never_read(straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "count", tiny(), StopAt(8))
    whole = newest(tmp_path / "count")
    broken = tmp_path / "count" / "checkpoint-18"
    shutil.copytree(whole.folder, broken)
    (broken / "complete").unlink()
    (broken / "model.safetensors").write_bytes(b"half")
    assert newest(tmp_path / "count") == whole
    (tmp_path / "count" / "model.partial").mkdir()
    assert not is_finished(tmp_path / "count")
    continued = run(tmp_path / "count", tiny())
    for name, parameter in weights(straight[1]).items():
        assert torch.equal(parameter, weights(continued)[name]), name
    assert not all_checkpoints(tmp_path / "count")


def test_a_checkpoint_counts_only_if_every_file_is_there_as_long_as_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "count", tiny(), StopAt(8))
    whole = newest(tmp_path / "count")
    files = [path for path in whole.folder.rglob("*") if path.is_file()]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        path.unlink()
        assert newest(tmp_path / "count") is None, f"without {path.name}"
        path.write_bytes(content[:-5])
        assert newest(tmp_path / "count") is None, f"with less of {path.name}"
        path.write_bytes(content)
        assert newest(tmp_path / "count") == whole


def test_a_full_disk_in_the_middle_of_a_save_leaves_the_last_good_checkpoint(straight, tmp_path, monkeypatch):
    real = StageTrainer._save_optimizer_and_scheduler

    def full(self, output_dir):
        if output_dir.endswith("checkpoint-12"):
            raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")
        real(self, output_dir)

    monkeypatch.setattr(StageTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(TrainingError, match="checkpoint-12 could not be written; checkpoint-6 is whole"):
        run(tmp_path / "count", tiny())
    assert [path.name for path in all_checkpoints(tmp_path / "count")] == ["checkpoint-6"]
    monkeypatch.undo()
    continued = run(tmp_path / "count", tiny(seed=3))
    for name, parameter in weights(straight[1]).items():
        assert torch.equal(parameter, weights(continued)[name]), name


def test_a_finished_stage_is_loaded_and_not_run(straight):
    steps = Steps()
    loaded = run(straight[0], tiny(seed=5), steps)
    assert steps.seen == []
    for name, parameter in weights(straight[1]).items():
        assert torch.equal(parameter, weights(loaded)[name]), name


def test_a_finished_stage_of_other_settings_is_refused(straight):
    with pytest.raises(CheckpointError, match="steps: 24 there, 25 now"):
        run(straight[0], tiny(), steps=25)


def test_frozen_parameters_stay_bit_for_bit(tmp_path):
    model = tiny()
    before = weights(model)
    patterns = first_stage(model.config)
    after = weights(run(tmp_path / "count", model, learns=patterns, steps=3))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and moved <= {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any("embed_tokens" in name or "lm_head" in name for name in moved)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="steps"):
        stage(steps=0)
    with pytest.raises(ConfigError, match="schedule"):
        stage(schedul="cosine")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_stages
from pixelword.train import checkpoints

real = checkpoints.flush
def kill(path):
    # The files reach the disk one by one, the marker last; the third checkpoint dies between two of them.
    if path.parent.name == "checkpoint-9" and path.name == "scheduler.pt":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path)
checkpoints.flush = kill
test_stages.run(Path({folder!r}), test_stages.tiny(), save_every=3)
"""


def test_kill_9_between_two_files_of_a_save_loses_nothing_that_was_whole(straight, tmp_path):
    folder, tests = tmp_path / "count", os.path.dirname(__file__)
    program = KILLED.format(tests=tests, folder=str(folder))
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [path.name for path in all_checkpoints(folder)] == ["checkpoint-6", "checkpoint-9"]
    assert not is_finished(folder) and newest(folder).folder.name == "checkpoint-6"
    steps = Steps()
    continued = run(folder, tiny(seed=2), steps, save_every=3)
    assert steps.seen == list(range(7, 25))
    for name, parameter in weights(straight[1]).items():
        assert torch.equal(parameter, weights(continued)[name]), name
