"""Claims of `pixelword doctor`: a sound recipe is left alone; a resume that loses something is named; exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword.cli.main import run
from pixelword.data import PackedLoader
from pixelword.errors import DataError
from pixelword.model import neo_tiny
from pixelword.recipe import Recipe
from pixelword.train import checkpoints, doctor, first_stage
from pixelword.train.doctor import Diagnosis, Finding, examine_recipe, recipes, stand_in
from pixelword.train.doctor.findings import checked
from pixelword.train.doctor.resume import check_resume
from pixelword.train.doctor.subject import Subject
from pixelword.train.learns import PartLearns
from pixelword.train.placement import Placement
from pixelword.train.setting_up import prepare
from tests.convert.qwen3_folder import save_qwen3
from tests.train.small_run import small_recipe, write_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Data, and a Qwen3 of the shape that neo-tiny stands on."""
    folder = write_data(tmp_path_factory.mktemp("doctor"))
    text = neo_tiny().llm_config
    keys = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    config = Qwen3Config(
        **{key: getattr(text, key) for key in keys},
        vocab_size=384,
        num_hidden_layers=text.num_hidden_layers - text.extra_num_layers,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        bos_token_id=None,
        eos_token_id=258,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    save_qwen3(Qwen3ForCausalLM(config), folder / "llm")
    return folder


def first(folder: Path, **changes: Any) -> Any:
    """A first stage on top of the Qwen3."""
    model = {"preset": "neo-tiny", "language_model": str(folder / "llm"), "dtype": "float32"}
    return small_recipe(folder, model=model, learns=first_stage(neo_tiny()), data={"lanes": 1}, **changes)


def test_a_sound_first_stage_passes_every_check(folder):
    diagnosis = examine_recipe(first(folder))
    assert diagnosis.findings == (), str(diagnosis)
    assert {outcome.status for outcome in diagnosis.checks} == {"sound"}, str(diagnosis)


ADAPTERS = {"rank": 2, "alpha": 4, "targets": [r".*\.self_attn\.(q_proj|k_proj_hw)"]}
FROM_PEFT = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # it asks transformers


def adapted(folder: Path) -> Recipe:
    values = first(folder).model_dump(mode="json") | {"learns": [], "lora": ADAPTERS}
    return Recipe.model_validate(values)


@FROM_PEFT
def test_adapters_are_sound_and_a_large_model_is_tried_in_small(folder, monkeypatch):
    monkeypatch.setattr(recipes, "LARGE", 1000)
    monkeypatch.setattr(recipes, "TOKENS", 60)
    diagnosis = examine_recipe(adapted(folder))
    assert diagnosis.findings == (), str(diagnosis)
    notes = {outcome.check: outcome.note for outcome in diagnosis.checks}
    assert "a tiny model in place of the large one, with adapters on 4 layers" in notes["resume"]


@FROM_PEFT
def test_a_large_model_whose_adapters_are_lost_on_resume_is_named(folder, monkeypatch, tmp_path):
    load = Placement.load

    def forgetful(self: Placement, saved: Path, model: Any, optimizer: Any) -> None:
        load(self, saved, model, optimizer)
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                torch.nn.init.zeros_(parameter)

    monkeypatch.setattr(Placement, "load", forgetful)
    monkeypatch.setattr(recipes, "LARGE", 1000)
    recipe = adapted(folder)
    prepared = prepare(recipe)
    outcome = check_resume(recipes.with_trial(Subject(prepared.model, []), recipe, prepared, tmp_path))
    assert [finding.check for finding in outcome.findings] == ["resume"], outcome
    assert ".lora_A." in outcome.findings[0].where


@pytest.mark.parametrize("lora", [None, ADAPTERS])
def test_the_tiny_model_trains_the_parts_that_the_large_one_trains(folder, tmp_path, lora):
    """Stage 1: patch embedding, pre-Buffer, height and width. By number, the pre-Buffer's layers are others there."""
    recipe = Recipe.model_validate(first(folder).model_dump(mode="json") | {"lora": lora})
    large = prepare(recipe)
    tiny, told = stand_in.small_recipe(recipe, large.model, large.processor, tmp_path / "tiny")
    small = prepare(tiny)
    assert any("layers.1.mlp.up_proj" in name for name in large.learning)  # the pre-Buffer is two layers deep

    def of(parts: list[PartLearns]) -> dict[str, bool]:
        return {part.part: part.trains > 0 for part in parts}

    assert of(small.parts) == of(large.parts)
    assert ("with adapters on 4 layers" in told) == (lora is not None)


def test_where_nothing_in_the_tiny_model_can_have_an_adapter_that_is_said(folder, tmp_path):
    recipe = adapted(folder)
    large = prepare(recipe)
    assert recipe.lora is not None
    elsewhere = recipe.lora.model_copy(update={"targets": (r".*\.encoder\..*",)})
    tiny, told = stand_in.small_recipe(
        recipe.model_copy(update={"lora": elsewhere}), large.model, large.processor, tmp_path / "tiny"
    )
    assert told.endswith("adapters not tried")
    assert tiny.lora is None and tiny.learns == (".*",)


def test_a_trainer_that_forgets_its_random_generators_is_named(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "set_random_state", lambda state: torch.manual_seed(9))
    monkeypatch.setattr(recipes, "LARGE", 1000)
    diagnosis = examine_recipe(first(folder))
    assert {finding.check for finding in diagnosis.findings} == {"resume"}, str(diagnosis)
    assert "rng-0.json" in diagnosis.findings[0].where


def test_the_command_ends_with_1_and_says_what_where_and_how(folder, tmp_path, monkeypatch, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(first(folder).model_dump(mode="json")))
    monkeypatch.setattr(PackedLoader, "load", lambda self, state: None)
    with pytest.raises(SystemExit) as leaving:
        run(["doctor", str(file), "--no-trial", "--device", "cpu", "--out", str(tmp_path / "deep" / "findings.json")])
    assert leaving.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    for words in ("resume: after a resume the data starts again", "where: batch 2", "fix: save the loader's state"):
        assert words in said
    kept = json.loads((tmp_path / "deep" / "findings.json").read_text())
    assert [check["status"] for check in kept["checks"]].count("faulty") == 1


def test_a_folder_in_place_of_the_file_is_refused_before_the_work(folder, tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(first(folder).model_dump(mode="json")))
    with pytest.raises(SystemExit) as leaving:
        run(["doctor", str(file), "--out", str(tmp_path)])
    assert leaving.value.code == 2
    assert "the file to write is a folder" in capsys.readouterr().err


def test_a_warning_is_shown_and_lets_the_command_end_with_0(folder, tmp_path, monkeypatch, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(first(folder).model_dump(mode="json")))
    idle = Finding("gradients", "3 parameters train, and stand idle", "a head", "freeze them")
    found = Diagnosis((checked("gradients", [], "looked at", warnings=[idle]),))
    monkeypatch.setattr(doctor, "examine_recipe", lambda *given, **more: found)
    with pytest.raises(SystemExit) as leaving:
        run(["doctor", str(file), "--device", "cpu", "--out", str(tmp_path / "findings.json")])
    assert leaving.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "warning" in said and "gradients: 3 parameters train, and stand idle where: a head fix: freeze them" in said
    kept = json.loads((tmp_path / "findings.json").read_text())["checks"][0]
    assert kept["status"] == "warning" and kept["findings"] == [] and kept["warnings"][0]["where"] == "a head"


def test_a_recipe_without_a_parent_or_without_rows_says_so(folder):
    diagnosis = examine_recipe(small_recipe(folder), trial=False)
    notes = {outcome.check: (outcome.status, outcome.note) for outcome in diagnosis.checks}
    assert notes["language"] == ("not applicable", "all weights are drawn, there is no parent language model")
    assert diagnosis.findings == (), str(diagnosis)
    (folder / "empty.jsonl").write_text("")
    with pytest.raises(DataError):
        examine_recipe(small_recipe(folder, source={"path": str(folder / "empty.jsonl"), "epochs": 1}), trial=False)
