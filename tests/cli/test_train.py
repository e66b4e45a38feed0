"""`pixelword train` runs a recipe from a file; `pixelword tiny` writes what the tiny recipes need."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pixelword.cli.main import run
from pixelword.demo.tiny import write_tiny
from pixelword.recipe import load_recipe, resolved
from pixelword.train import prepare
from tests.train.small_run import small_recipe, write_data

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"


def code(*words: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        run(list(words))
    return int(leaving.value.code or 0)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine" / "first.yaml"
    path.parent.mkdir()
    path.write_text(resolved(small_recipe(write_data(tmp_path / "data"))))
    return path


def test_a_stopped_command_leaves_with_the_code_of_its_signal_and_the_same_command_continues(
    file, tmp_path, capsys, monkeypatch
):
    from pixelword.train.packed import PackedTrainer

    whole = PackedTrainer.training_step

    def interrupted(self, *given):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *given)

    command = ["train", str(file), "--set", "steps=3", "--set", "rows_per_batch=4"]
    monkeypatch.setattr(PackedTrainer, "training_step", interrupted)
    assert code(*command) == 143
    assert "stopped by SIGTERM after step 1; the same command continues" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert code(*command) == 0
    assert "model: runs/mine/first/model (3 steps)" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs/mine/first/done.json").read_text())["step"] == 3


def test_a_mistake_is_one_sentence(file, capsys):
    assert code("train", str(file), "--set", "optimiser.rate=1") == 2
    assert "did you mean 'optimizer'" in capsys.readouterr().err


def test_the_tiny_world_is_what_the_tiny_recipes_expect(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "data" / "tiny", pictures=12, texts=12, held_out=4, steps=0)
    first = prepare(load_recipe(RECIPES / "pretrain.yaml"))
    batch = first.loader.next()
    assert batch is not None and "pixel_values" in batch.inputs
    assert first.loader.bad.total == 0
    patterns = {name.partition("layers.")[2][:2] for name in first.learning if "mlp" in name}
    assert patterns == {"0.", "1."}
    for stage in ("midtrain", "sft"):
        recipe = load_recipe(RECIPES / f"{stage}.yaml", ["model.checkpoint=null", "model.preset=neo-tiny"])
        assert {Path(source.path).exists() for source in recipe.data.sources} == {True}
    assert code("tiny", str(tmp_path / "data" / "tiny")) == 2
    card = (tmp_path / "data" / "tiny" / "README.md").read_text(encoding="utf-8")
    for said in ("config_name: text", "12 pictures", "12 texts", "4 texts", "0 steps"):
        assert said in card, said
