"""Claims of the reports beside the journal: TensorBoard holds the same numbers, also after a crash."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from pixelword.train import run as run_module
from pixelword.train.journal import read_journal
from pixelword.train.run import installed_reports, run_recipe
from tests.train.small_run import small_recipe, write_data


class Crash(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyError("crash")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve as TensorBoard itself reads it: (step, value) in the order in which they were written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_numbers_of_the_log_each_step_once_also_after_a_crash(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: event files are not looked at")
    data = write_data(tmp_path / "data")
    recipe = small_recipe(data, steps=5, save_every=2, report_to=["tensorboard"])
    with pytest.raises(KeyError):
        run_recipe(recipe, tmp_path / "run", callbacks=[Crash()])
    assert [step for step, _ in scalars(tmp_path / "run" / "tensorboard")["train/loss"]] == [1, 2, 3]
    run_recipe(recipe, tmp_path / "run")
    curves = scalars(tmp_path / "run" / "tensorboard")
    numbers, _ = read_journal(tmp_path / "run" / "log.jsonl")
    for name in ("loss", "loss/text", "loss/source/pictures", "tokens/s", "MFU", "gradient", "packed", "learning_rate"):
        told = [(line["step"], line[name]) for line in numbers if name in line]
        assert len(told) >= 4
        assert [step for step, _ in curves[f"train/{name}"]] == [step for step, _ in told]
        assert [value for _, value in curves[f"train/{name}"]] == pytest.approx([value for _, value in told], rel=1e-6)


def test_a_report_that_is_not_installed_is_said_and_those_of_the_trainer_are_passed_on(tmp_path, caplog, monkeypatch):
    there: dict[str, Any] = {"tensorboard": object(), "trackio": object()}
    monkeypatch.setattr(run_module, "find_spec", there.get)
    recipe = small_recipe(write_data(tmp_path / "data"), report_to=["tensorboard", "trackio", "wandb"])
    with caplog.at_level(logging.WARNING):
        assert installed_reports(recipe) == ["trackio"]
    assert "not installed: wandb" in caplog.text
