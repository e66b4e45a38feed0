"""What DeepSpeed is told: accelerate's configuration, completed from the recipe.

The recipe stays the one source of what is trained: batch sizes, accumulation, clipping, precision, optimiser and
schedule. "auto" and what is left out are filled from it; a value that says something else is refused. Keys that only
say how to compute (the stage of ZeRO, offloading to main memory, sizes of buffers, communication) are passed on.

Nothing here imports DeepSpeed.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from pixelword.errors import BackendError, ConfigError
from pixelword.recipe import Recipe

USE, FILE = "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_CONFIG_FILE"
PRECISION = "ACCELERATE_MIXED_PRECISION"
AUTO = "auto"

PASSED_ON = (
    *("zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "communication_data_type"),
    *("data_types", "steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "comms_logger"),
    *("flops_profiler", "disable_python_gc", "aio"),
)
"""Sections that say how to compute or what to print."""

FROM_THE_RECIPE = (
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
    *("bf16", "fp16", "optimizer", "scheduler"),
)

OTHER_NUMBERS = (
    *("zero_quantized_weights", "zero_quantized_nontrainable_weights", "zero_quantized_gradients"),
    *("zenflow", "legacy_stage1", "elastic_checkpoint"),
)
"""Keys of zero_optimization that train with other numbers, or in a way of their own."""


@contextmanager
def plain_processes() -> Iterator[dict[str, Any] | None]:
    """The configuration that `accelerate launch --use_deepspeed` left for this process; None when it was not asked for.

    Inside the block the variable that asks for it is gone: TrainingArguments, Trainer and Accelerator would each take
    DeepSpeed over and prepare model, loader and loss in their own way. They see processes started by torchrun.

    Raises:
        BackendError: DeepSpeed is not installed.
        ConfigError: accelerate cannot read the configuration.
    """
    asked = os.environ.get(USE, "false")
    if asked.lower() not in ("true", "1"):
        yield None
        return
    if find_spec("deepspeed") is None:
        raise BackendError(
            "DeepSpeed was asked for and is not installed",
            got=f"{USE}={asked}",
            fix="pip install deepspeed, or start with torchrun, which spreads the model by FSDP2",
        )
    configuration = read_configuration()
    with unasked():
        yield configuration


@contextmanager
def unasked() -> Iterator[None]:
    """As if DeepSpeed had not been asked for."""
    asked = os.environ.pop(USE, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[USE] = asked


def read_configuration() -> dict[str, Any]:
    """accelerate's view of its flags, its own configuration and the DeepSpeed file.

    Raises:
        ConfigError: one of them cannot be read or used.
    """
    from accelerate.utils import DeepSpeedPlugin
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    file = os.environ.get(FILE, "none")
    try:
        said = {} if file == "none" else copy.deepcopy(HfDeepSpeedConfig(file).config)
        configuration: dict[str, Any] = copy.deepcopy(DeepSpeedPlugin().deepspeed_config)
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "accelerate cannot use the configuration of DeepSpeed",
            got=f"{file}: {error}",
            fix='give it a JSON file with a section "zero_optimization", or --zero_stage',
        ) from error
    # accelerate writes 1 where nobody said how many micro-batches there are.
    if "gradient_accumulation_steps" not in said and configuration["gradient_accumulation_steps"] == 1:
        configuration["gradient_accumulation_steps"] = AUTO
    return configuration


def fitted(configuration: Mapping[str, Any], recipe: Recipe, ranks: int) -> dict[str, Any]:
    """The configuration for `deepspeed.initialize`.

    Args:
        configuration: from `read_configuration`; it is not changed.
        recipe: what to do.
        ranks: processes of the run.

    Raises:
        ConfigError: something that a recipe cannot be trained with, or that says otherwise than the recipe.
    """
    refuse_recipe(recipe)
    refuse_sections(configuration)
    refuse_zero(configuration["zero_optimization"])
    check_precision(configuration, recipe)
    result = without_auto({key: value for key, value in configuration.items() if key in PASSED_ON})
    accumulated = max(1, recipe.rows_per_step // (recipe.rows_per_batch * ranks))
    ours: dict[str, tuple[float, str]] = {
        "train_micro_batch_size_per_gpu": (recipe.rows_per_batch, "rows_per_batch"),
        "gradient_accumulation_steps": (accumulated, "rows_per_step / (rows_per_batch x processes)"),
        "train_batch_size": (accumulated * recipe.rows_per_batch * ranks, "rows_per_step"),
        "gradient_clipping": (recipe.optimizer.clip or 0.0, "optimizer.clip"),
    }
    for key, (value, name) in ours.items():
        agree(key, configuration.get(key, AUTO), value, name)
        result[key] = value
    half = recipe.model.dtype == "bfloat16"
    result["bf16"] = {**without_auto(section(configuration, "bf16")), "enabled": half}
    result["data_types"] = {"grad_accum_dtype": "fp32"} | result.get("data_types", {})
    # Ours is torch's AdamW, in main memory too.
    defaults = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
    return {"communication_data_type": "fp32"} | defaults | result


def agree(key: str, got: Any, wanted: float, name: str) -> None:
    """Raises:
    ConfigError: the configuration says another value than the recipe.
    """
    if got not in (AUTO, wanted):
        raise ConfigError(
            f"DeepSpeed's {key} is not what the recipe says",
            got=f"{key} {got}, the recipe's {name} makes it {wanted}",
            fix=f'write "{key}": "auto", and change the recipe if the other value is meant',
        )


def refuse_recipe(recipe: Recipe) -> None:
    """Raises:
    ConfigError: a recipe that ZeRO cannot train.
    """
    if recipe.optimizer.name == "muon":
        raise ConfigError(
            "Muon needs whole matrices, and DeepSpeed cuts them anywhere",
            got="optimizer.name muon",
            fix="start it with torchrun, where FSDP2 spreads Muon too; or set optimizer.name: adamw",
        )
    if recipe.spread == "node":
        raise ConfigError(
            "a copy of the model per machine is FSDP2's",
            got="spread: node",
            fix="set spread: all, or start it with torchrun",
        )


def refuse_sections(configuration: Mapping[str, Any]) -> None:
    """Raises:
    ConfigError: a section that a recipe is not trained with, or an optimiser or schedule of DeepSpeed's own.
    """
    other = [key for key in configuration if key not in PASSED_ON + FROM_THE_RECIPE and configuration[key] != AUTO]
    if other:
        raise ConfigError(
            "a recipe is not trained with this part of DeepSpeed",
            got=", ".join(other),
            fix="take it out of the configuration (pipelines, tensor parallelism, monitors and curricula among others)",
        )
    for key in ("optimizer", "scheduler"):
        parameters = section(configuration, key).get("params", {})
        if any(value != AUTO for value in parameters.values()):
            raise ConfigError(
                f"the {key} of DeepSpeed's configuration says what the recipe's section optimizer says",
                got=f"{key} {json.dumps(configuration[key])}",
                fix=f'take the section "{key}" out, or write "auto" for each of its params',
            )


def refuse_zero(zero: Mapping[str, Any]) -> None:
    """Raises:
    ConfigError: no stage of ZeRO, or a form of it that gives other numbers or was never tried.
    """
    if zero.get("stage") not in (1, 2, 3):
        raise ConfigError(
            "a recipe is trained with ZeRO stage 1, 2 or 3",
            got=f"zero_optimization.stage {zero.get('stage')}",
            fix="choose one of them; without ZeRO, start it with torchrun",
        )
    if found := [key for key in OTHER_NUMBERS if zero.get(key)]:
        raise ConfigError(
            "this form of ZeRO trains with other numbers than the recipe",
            got=", ".join(f"zero_optimization.{key} {json.dumps(zero[key])}" for key in found),
            fix="take it out of zero_optimization",
        )
    for key in ("offload_optimizer", "offload_param"):
        offload = zero.get(key) or {}
        odd = offload.get("device") == "nvme" or offload.get("ratio", 1.0) != 1.0 or offload.get("super_offload")
        if odd:
            raise ConfigError(
                "a recipe offloads to main memory, and whole",
                got=f"zero_optimization.{key} {json.dumps(offload)}",
                fix='write "device": "cpu" alone',
            )


def check_precision(configuration: Mapping[str, Any], recipe: Recipe) -> None:
    """Raises:
    ConfigError: another precision than the recipe's.
    """
    half = recipe.model.dtype == "bfloat16"
    bf16, fp16 = (section(configuration, key).get("enabled", AUTO) for key in ("bf16", "fp16"))
    launched = os.environ.get(PRECISION, "no")
    wrong = {
        "bf16.enabled": bf16 not in (AUTO, half),
        "fp16.enabled": fp16 not in (AUTO, False),
        PRECISION: launched not in ("no", "bf16" if half else "no"),
    }
    if any(wrong.values()):
        values = {"bf16.enabled": bf16, "fp16.enabled": fp16, PRECISION: launched}
        raise ConfigError(
            "DeepSpeed's precision is not the recipe's",
            got=", ".join(f"{key} {values[key]}" for key in values if wrong[key])
            + f"; model.dtype {recipe.model.dtype}",
            fix='leave it out or write "auto"; model.dtype: bfloat16 trains with bf16, and nothing trains with fp16',
        )
    low = [key for key, value in section(configuration, "bf16").items() if key.startswith("bf16_") and value]
    if low:
        raise ConfigError(
            "what learns is kept in float32",
            got=", ".join(f"bf16.{key}" for key in low),
            fix="take it out of the section bf16",
        )


def section(configuration: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A section of the configuration; empty where it is left out or "auto".

    Raises:
        ConfigError: it is something else.
    """
    found = configuration.get(key, AUTO)
    if found == AUTO or found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{key} is a section of DeepSpeed's configuration", got=found, fix='write it as {"...": ...}')
    return found


def without_auto(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left to DeepSpeed's own defaults is left out."""
    return {
        key: without_auto(value) if isinstance(value, dict) else value for key, value in values.items() if value != AUTO
    }
