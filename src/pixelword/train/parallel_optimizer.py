"""An optimiser's state by the names of parameters: tensors for DCP, everything else as JSON.

torch keeps it by numbers, which change with the order of parameters. By name it fits a model that is spread
otherwise, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pixelword.errors import CheckpointError

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "int64": torch.int64}

Names = Mapping[Tensor, str]


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Names) -> dict[str, Tensor]:
    """`name of parameter/name of state` -> tensor as large as the parameter, spread as it is."""
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor) and value.ndim > 0
    }


def optimizer_plain(optimizer: torch.optim.Optimizer, names: Names) -> dict[str, Any]:
    """What is no large tensor: the settings of each group, and single numbers of each parameter's state.

    Raises:
        CheckpointError: a state that is neither a number nor a tensor of the parameter's shape.
    """
    groups = [
        {
            "names": [names[parameter] for parameter in group["params"]],
            "settings": {key: _plain(value, key) for key, value in group.items() if key != "params"},
        }
        for group in optimizer.param_groups
    ]
    state = {
        names[parameter]: {key: _described(value, parameter, names[parameter], key) for key, value in entries.items()}
        for parameter, entries in optimizer.state.items()
    }
    return {"groups": groups, "state": state}


def prepare_optimizer(optimizer: torch.optim.Optimizer, names: Names, plain: Mapping[str, Any]) -> None:
    """Set everything that `optimizer_plain` wrote, and make room for what `optimizer_tensors` names.

    Raises:
        CheckpointError: other groups of parameters, or a description that nobody wrote.
    """
    try:
        groups, states = list(plain["groups"]), dict(plain["state"])
        written = [list(group["names"]) for group in groups]
        settings = [dict(group["settings"]) for group in groups]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("no description of an optimiser", got=error, fix="use an older checkpoint") from error
    wanted = [[names[parameter] for parameter in group["params"]] for group in optimizer.param_groups]
    if written != wanted:
        numbers = f"{[len(group) for group in written]} there, {[len(group) for group in wanted]} now"
        raise CheckpointError(
            "the optimiser's groups hold other parameters",
            got=f"groups of {numbers}",
            fix="what learns, and the optimiser, must be those of the checkpoint; or start anew from its weights",
        )
    for group, values in zip(optimizer.param_groups, settings, strict=True):
        group |= {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    optimizer.state.clear()
    for group in optimizer.param_groups:
        beside = bool(group.get("fused") or group.get("capturable"))
        for parameter in group["params"]:
            entries = states.pop(names[parameter], None)
            if entries is not None:
                optimizer.state[parameter] = {key: _room(entry, parameter, beside) for key, entry in entries.items()}
    if states:
        raise CheckpointError("state of unknown parameters", got=", ".join(states), fix="use an older checkpoint")


def _described(value: Any, parameter: Tensor, name: str, key: str) -> dict[str, Any]:
    if not isinstance(value, Tensor):
        return {"value": _plain(value, f"{name}/{key}")}
    kind = str(value.dtype).removeprefix("torch.")
    if value.ndim == 0 and kind in DTYPES:
        return {"number": value.item(), "dtype": kind}
    if value.shape == parameter.shape and kind in DTYPES:
        return {"tensor": kind}
    raise CheckpointError(
        "this optimiser's state cannot be saved",
        got=f"{key} of {name}: {kind} of shape {tuple(value.shape)}, the parameter's is {tuple(parameter.shape)}",
        fix="use AdamW, Muon or SGD",
    )


def _room(entry: Any, parameter: Tensor, beside: bool) -> Any:
    """A number, a plain value, or a tensor of zeros to be read into.

    torch keeps step counts on the CPU, but `beside` the parameter where a fused kernel counts them.
    """
    try:
        if "value" in entry:
            return entry["value"]
        if "number" in entry:
            device = parameter.device if beside else torch.device("cpu")
            return torch.tensor(entry["number"], dtype=DTYPES[entry["dtype"]], device=device)
        return torch.zeros_like(parameter, dtype=DTYPES[entry["tensor"]], memory_format=torch.preserve_format)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "a state of the optimiser that nobody wrote", got=entry, fix="use an older checkpoint"
        ) from error


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(item, key) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CheckpointError(
        "a setting of the optimiser cannot be saved", got=f"{key}: {type(value).__name__}", fix="use AdamW, Muon or SGD"
    )
