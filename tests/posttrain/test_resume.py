"""A run that is killed without warning goes on exactly where its last whole checkpoint stands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl")

from safetensors.torch import load_file

from pixelword.errors import ConfigError
from pixelword.posttrain import PosttrainRecipe

from .one_run import RECIPE, run

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
MEASURED = ("loss", "reward", "entropy/all", "curriculum/level", "completions/mean_length", "learning_rate", "step")


def log_of(folder: Path) -> list[dict[str, float]]:
    rows = json.loads((folder / "log.json").read_text())
    return [{name: row.get(name) for name in MEASURED} for row in rows if "loss" in row]


def test_a_killed_run_continues_as_if_nothing_had_happened(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, str(Path(__file__).with_name("one_run.py")), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        mark, patience = killed / "checkpoint-4" / "complete", time.monotonic() + 300
        while not mark.exists() and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert mark.exists() and not (killed / "done.json").exists(), "killed on its way"
    continued, uninterrupted = run(killed), run(whole)
    assert log_of(killed) == log_of(whole) and len(log_of(whole)) == 12
    del continued["gate"], uninterrupted["gate"]  # passed anew, with the prompts of another generation
    assert continued == uninterrupted
    for name in ("health.json", "held_out.json"):
        assert json.loads((killed / name).read_text()) == json.loads((whole / name).read_text())
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (killed, whole))
    assert all((first[name] == second[name]).all() for name in first)


def test_checkpoints_inside_a_generation_are_refused():
    with pytest.raises(ConfigError, match="between generations"):
        PosttrainRecipe.model_validate({**RECIPE, "save_every": 3})
