"""What DeepSpeed is told, what a recipe is not trained with, and parts of the way that need no DeepSpeed."""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import BackendError, CheckpointError, ConfigError
from pixelword.recipe import Recipe
from pixelword.train.deepspeed_checkpoint import common_numbers
from pixelword.train.deepspeed_placement import EngineSteps
from pixelword.train.deepspeed_settings import fitted, plain_processes, without_auto
from pixelword.train.flops import matrices
from pixelword.train.rates import build_schedule, rate_share
from pixelword.train.run import run_recipe

STATED = {"zero_optimization": {"stage": 2}}
ACCELERATES = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_CONFIG_FILE", "ACCELERATE_MIXED_PRECISION")


def recipe(**changes: Any) -> Recipe:
    values = {
        "name": "small",
        "model": {"preset": "neo-tiny", "tokenizer": "none", "dtype": "float32"},
        "optimizer": {"rate": 1e-3, "clip": 0.5} | changes.pop("optimizer", {}),
        "steps": 8,
        "rows_per_step": 12,
        "rows_per_batch": 2,
    }
    return Recipe.model_validate(values | changes)


def half() -> Recipe:
    return recipe(model={"preset": "neo-tiny", "tokenizer": "none", "dtype": "bfloat16"})


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> pytest.MonkeyPatch:
    """None of what accelerate's launcher leaves behind."""
    for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
        monkeypatch.delenv(name)
    for name in ACCELERATES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def installed(monkeypatch) -> None:
    """Stands for DeepSpeed; importing from it would fail."""
    module = types.ModuleType("deepspeed")
    module.__spec__ = importlib.machinery.ModuleSpec("deepspeed", None)
    monkeypatch.setitem(sys.modules, "deepspeed", module)


def launched(monkeypatch, tmp_path: Path, said: dict[str, Any] | None = None, **variables: str) -> None:
    """What `accelerate launch --use_deepspeed` sets."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if said is not None:
        file = tmp_path / "ds.json"
        file.write_text(json.dumps(said))
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(file))
    for name, value in variables.items():
        monkeypatch.setenv(f"ACCELERATE_{name}", value)


def asked() -> dict[str, Any] | None:
    with plain_processes() as configuration:
        assert "ACCELERATE_USE_DEEPSPEED" not in os.environ or configuration is None
        return configuration


def test_who_does_not_ask_gets_nothing(monkeypatch):
    assert asked() is None
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "false")
    assert asked() is None


def test_the_variable_is_gone_inside_and_back_outside(installed, monkeypatch, tmp_path):
    launched(monkeypatch, tmp_path, STATED)

    def fails() -> None:
        with plain_processes() as configuration:
            assert configuration is not None and "ACCELERATE_USE_DEEPSPEED" not in os.environ
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == "true"


def test_deepspeed_that_is_not_installed_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setattr("pixelword.train.deepspeed_settings.find_spec", lambda name: None)
    launched(monkeypatch, tmp_path, STATED)
    with pytest.raises(BackendError, match="not installed") as caught:
        run_recipe(recipe(), tmp_path / "run")
    assert "pip install deepspeed" in caught.value.fix and not (tmp_path / "run").exists()


def test_what_is_auto_or_left_out_comes_from_the_recipe(installed, monkeypatch, tmp_path):
    """Witness: the numbers by hand. 12 rows per step, 2 at a time, on 3 processes: 2 micro-batches."""
    auto = dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_clipping"), "auto")
    for said in (STATED, STATED | auto | {"bf16": {"enabled": "auto"}, "optimizer": "auto"}):
        launched(monkeypatch, tmp_path, said)
        configuration = asked()
        assert configuration is not None
        told = fitted(configuration, recipe(), ranks=3)
        numbers = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
        assert [told[key] for key in numbers] == [12, 2, 2]
        assert told["gradient_clipping"] == 0.5 and told["bf16"] == {"enabled": False}
        assert told["zero_optimization"]["stage"] == 2
        assert not {"optimizer", "scheduler", "fp16"} & told.keys()
        assert fitted(configuration, half(), ranks=1)["bf16"] == {"enabled": True}
    assert fitted(STATED, recipe(optimizer={"clip": None}), 1)["gradient_clipping"] == 0.0


def test_flags_without_a_file(installed, monkeypatch, tmp_path):
    launched(monkeypatch, tmp_path, DEEPSPEED_ZERO_STAGE="3", DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE="cpu")
    told = fitted(asked() or {}, recipe(), ranks=2)
    zero = told["zero_optimization"]
    assert zero["stage"] == 3 and zero["offload_optimizer"]["device"] == "cpu"
    assert told["gradient_accumulation_steps"] == 3, "the launcher's 1 is nobody's word"


def test_sums_are_float32_unless_someone_says_otherwise():
    told = fitted(STATED, half(), 2)
    assert told["communication_data_type"] == "fp32" and told["data_types"] == {"grad_accum_dtype": "fp32"}
    told = fitted(STATED | {"communication_data_type": "bf16", "data_types": {"grad_accum_dtype": "bf16"}}, half(), 2)
    assert told["communication_data_type"] == "bf16" and told["data_types"] == {"grad_accum_dtype": "bf16"}


def test_how_to_compute_is_passed_on():
    zero = {"stage": 3, "offload_param": {"device": "cpu"}, "stage3_prefetch_bucket_size": 7, "overlap_comm": "auto"}
    told = fitted({"zero_optimization": zero, "wall_clock_breakdown": True}, recipe(), 2)
    assert told["zero_optimization"] == {key: value for key, value in zero.items() if value != "auto"}
    assert told["wall_clock_breakdown"] is True


@pytest.mark.parametrize(
    ("said", "got"),
    [
        ({"train_batch_size": 8}, "train_batch_size 8, the recipe's rows_per_step makes it 12"),
        ({"train_micro_batch_size_per_gpu": 1}, "rows_per_batch makes it 2"),
        ({"gradient_accumulation_steps": 2}, "makes it 3"),
        ({"gradient_clipping": 1.0}, "the recipe's optimizer.clip makes it 0.5"),
        ({"bf16": {"enabled": True}}, "bf16.enabled True; model.dtype float32"),
        ({"fp16": {"enabled": True}}, "fp16.enabled True"),
        ({"bf16": {"enabled": False, "bf16_optimizer_states": True}}, "bf16.bf16_optimizer_states"),
        ({"bf16": True}, "True"),
        ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-4}}}, "0.0001"),
        ({"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 5}}}, "warmup_num_steps"),
        ({"tensor_parallel": {"autotp_size": 2}}, "tensor_parallel"),
        ({"pipeline": {"stages": 2}, "curriculum_learning": {"enabled": True}}, "pipeline, curriculum_learning"),
        ({"zero_optimization": {"stage": 0}}, "stage 0"),
        ({"zero_optimization": {"stage": "auto"}}, "stage auto"),
        ({"zero_optimization": {"stage": 3, "zero_quantized_weights": True}}, "zero_quantized_weights"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/x"}}}, "nvme"),
        ({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.3}}}, "0.3"),
    ],
)
def test_what_contradicts_the_recipe_or_cannot_hold_is_refused(said, got):
    with pytest.raises(ConfigError) as caught:
        fitted(STATED | said, recipe(), ranks=2)
    assert got in str(caught.value.got) and caught.value.fix


def test_sections_of_nothing_but_auto_leave_the_recipes_optimiser():
    optimizer = {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}
    scheduler = {"type": "WarmupLR", "params": {"warmup_num_steps": "auto"}}
    told = fitted(STATED | {"optimizer": optimizer, "scheduler": scheduler}, recipe(), 1)
    assert not {"optimizer", "scheduler"} & told.keys()


@pytest.mark.parametrize(
    ("changes", "said"), [({"optimizer": {"name": "muon"}}, "Muon"), ({"spread": "node"}, "copy of the model")]
)
def test_recipes_that_zero_cannot_train_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        fitted(STATED, recipe(**changes), 2)


def test_another_precision_of_the_launcher_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    fitted(STATED, half(), 1)
    with pytest.raises(ConfigError, match="precision"):
        fitted(STATED, recipe(), 1)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(ConfigError, match="precision"):
        fitted(STATED, half(), 1)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"zero_optimization": 3}', "null"])
def test_a_file_that_is_no_configuration_is_refused(installed, monkeypatch, tmp_path, content):
    launched(monkeypatch, tmp_path, STATED)
    (tmp_path / "ds.json").write_text(content)
    with pytest.raises(ConfigError):
        fitted(asked() or {}, recipe(), 1)


VALUES = st.recursive(
    st.sampled_from(["auto", 1, None, True]),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4))
def test_nothing_is_left_auto_and_all_else_stays(values):
    """Witness: the text of the result, and that doing it again changes nothing."""
    result = without_auto(values)
    assert "auto" not in json.dumps(result)
    assert without_auto(result) == result
    if "auto" not in json.dumps(values):
        assert result == values


# Parts that need no DeepSpeed


def test_the_schedule_sets_the_rates_of_the_optimiser_that_the_engine_steps():
    """Witness: the rates of the recipe's schedule, step by step, where the optimiser itself has them."""
    stated = recipe(optimizer={"warmup_steps": 2})
    real = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=stated.optimizer.rate)
    rates: list[float] = []

    class Engine:
        def step(self) -> None:
            rates.append(real.param_groups[0]["lr"])
            real.step()

    seen = EngineSteps(Engine(), real)
    schedule = build_schedule(stated, seen)
    for _ in range(5):
        seen.step()
        schedule.step()
    assert rates == [stated.optimizer.rate * rate_share(stated, step) for step in range(5)]


def test_steps_that_were_counted_apart_are_refused():
    def state(steps: float) -> dict[str, torch.Tensor]:
        return {"step": torch.tensor(steps), "exp_avg": torch.ones(3)}

    assert common_numbers([state(4), state(4)], Path("checkpoint-4")) == {"step": torch.tensor(4.0)}
    assert common_numbers([], Path("checkpoint-0")) == {}
    with pytest.raises(CheckpointError, match="checkpoint-4 counts the steps"):
        common_numbers([state(4), state(3)], Path("checkpoint-4"))


def test_operations_are_counted_where_a_parameter_is_elsewhere():
    """Witness: the same module before its weight was taken away, as ZeRO-3 does."""
    linear = torch.nn.Linear(3, 5)
    whole = matrices(linear)
    for parameter in linear.parameters():
        parameter.ds_shape = parameter.shape
        parameter.data = torch.empty(0)
    assert matrices(linear) == whole == [(15, True)]
