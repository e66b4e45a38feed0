"""A checkpoint of a model under ZeRO in the layout of all others, which any placement reads (`parallel_checkpoint`).

DeepSpeed's own checkpoints are pickles, one per process. Here each tensor is brought together in turn, and every
process keeps a block of its rows in main memory, as FSDP2 would hold it; these blocks are written and read. So besides
one whole tensor a process needs, while it saves or loads, its share of the checkpoint in main memory: 12 bytes of
every parameter that learns and 2 of every frozen one, divided by the number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from pixelword.errors import CheckpointError
from pixelword.train.deepspeed_tensors import put, put_state, shape_of, whole, whole_state
from pixelword.train.parallel_checkpoint import load_parts, model_tensors, names_of, save_parts

Groups = Sequence[Sequence[str]]


def save_zero(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, zero: Any, groups: Groups, mesh: DeviceMesh
) -> None:
    """Write weights and optimiser into an existing folder; called by all ranks.

    Args:
        folder: an empty one.
        model: under ZeRO.
        optimizer: the one that ZeRO steps, over flat pieces.
        zero: DeepSpeed's optimiser around it.
        groups: names of the parameters of each of its groups, as they were before ZeRO took them.
        mesh: all processes.

    Raises:
        CheckpointError: on all ranks, when one could not write.
    """
    named = dict(model.named_parameters())
    parts = {name: rows(whole(parameter), mesh) for name, parameter in named.items()}
    mirror = mirrored(optimizer, groups, parts)
    keys, numbers = kept(optimizer)
    if keys or numbers:
        link_states(zero)
        for name, parameter in named.items():
            if parameter.requires_grad:
                averages = {key: rows(whole_state(parameter, key), mesh) for key in keys}
                mirror.state[parts[name]] = {**numbers, **averages}
    save_parts(folder, with_buffers(model, parts), mirror, {part: name for name, part in parts.items()})


def load_zero(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, zero: Any, groups: Groups, mesh: DeviceMesh
) -> None:
    """Put back what any placement wrote; called by all ranks, before the first step.

    See `save_zero` for what is passed.

    Raises:
        CheckpointError: of another model or optimiser, not as it was written, or with parameters whose steps were
            counted apart, which ZeRO cannot do.
    """
    named = dict(model.named_parameters())
    parts = {name: room(parameter, mesh) for name, parameter in named.items()}
    mirror = mirrored(optimizer, groups, parts)
    load_parts(folder, with_buffers(model, parts), mirror, {part: name for name, part in parts.items()})
    for name, parameter in named.items():
        put(parameter, together(parts[name], mesh))
    for group, read in zip(optimizer.param_groups, mirror.param_groups, strict=True):
        group.update({key: value for key, value in read.items() if key != "params"})
    numbers = common_numbers([mirror.state[part] for part in mirror.state], folder)
    states = {name: mirror.state[part] for name, part in parts.items() if part in mirror.state}
    keys = sorted({key for state in states.values() for key, value in state.items() if is_average(value)})
    if not states:
        return
    make_states(optimizer, zero, keys, numbers)
    for name, state in states.items():
        for key in keys:
            put_state(named[name], key, together(state[key], mesh))


def rows(tensor: Tensor, mesh: DeviceMesh) -> DTensor:
    """This rank's block of rows of a whole tensor, in main memory, as a part of a spread one."""
    size, rank = -(-len(tensor) // mesh.size()), mesh.get_local_rank()
    block = tensor[rank * size : (rank + 1) * size].cpu().clone()
    return spread(block, tensor.shape, mesh)


def room(parameter: nn.Parameter, mesh: DeviceMesh) -> DTensor:
    """Place for `rows` of a parameter."""
    shape = shape_of(parameter)
    size, rank = -(-shape[0] // mesh.size()), mesh.get_local_rank()
    own = max(0, min(size, shape[0] - rank * size))
    dtype = torch.float32 if parameter.requires_grad else parameter.dtype
    return spread(torch.empty(own, *shape[1:], dtype=dtype), shape, mesh)


def together(part: Tensor, mesh: DeviceMesh) -> Tensor:
    """The whole tensor on every rank, on its device."""
    assert isinstance(part, DTensor)
    full: Tensor = spread(part.to_local().to(mesh.device_type), part.shape, mesh).full_tensor()
    return full


def spread(block: Tensor, shape: torch.Size, mesh: DeviceMesh) -> DTensor:
    stride = torch.empty(shape, device="meta").stride()
    made: DTensor = DTensor.from_local(block, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
    return made


def mirrored(optimizer: torch.optim.Optimizer, groups: Groups, parts: dict[str, DTensor]) -> torch.optim.Optimizer:
    """An optimiser over the parts with the groups and settings of the real one, and no state yet."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    held = [
        {**values, "params": [parts[name] for name in names]} for values, names in zip(settings, groups, strict=True)
    ]
    return torch.optim.Optimizer(held, {})


def kept(optimizer: torch.optim.Optimizer) -> tuple[list[str], dict[str, Any]]:
    """What the optimiser has of every parameter: names of averages, and numbers, which are the same for all."""
    states = [state for state in optimizer.state.values() if state]
    if not states:
        return [], {}
    keys = [key for key, value in states[0].items() if is_average(value)]
    return keys, {key: value for key, value in states[0].items() if key not in keys}


def common_numbers(states: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The numbers of all parameters' states, such as the count of steps.

    Raises:
        CheckpointError: they differ.
    """
    numbers = [{key: value for key, value in state.items() if not is_average(value)} for state in states]
    different = [found for found in numbers if found != numbers[0]]
    if different:
        raise CheckpointError(
            f"{folder.name} counts the steps of its parameters apart, which DeepSpeed does not",
            got=f"{numbers[0]} and {different[0]}",
            fix="go on with torchrun or one process",
        )
    return numbers[0] if numbers else {}


def make_states(optimizer: torch.optim.Optimizer, zero: Any, keys: Sequence[str], numbers: dict[str, Any]) -> None:
    """Room for the averages of all flat pieces, which the optimiser would make in its first step."""
    for flat in flat_pieces(optimizer, zero):
        beside = bool(optimizer.param_groups[0].get("fused"))
        own = {
            key: value.to(flat.device if beside else "cpu", copy=True) if isinstance(value, Tensor) else value
            for key, value in numbers.items()
        }
        optimizer.state[flat] = own | {key: torch.zeros_like(flat) for key in keys}
    link_states(zero)


def link_states(zero: Any) -> None:
    """Let stages 1 and 2 find the averages by parameter, which stage 3 does by itself.

    DeepSpeed does it once, after the first step of the first group, when the other groups have no state yet; without
    this its public functions find nothing for them (0.19.8).
    """
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def flat_pieces(optimizer: torch.optim.Optimizer, zero: Any) -> list[Tensor]:
    """What the optimiser steps; stage 3 puts it into the groups only for the step."""
    cut: list[Tensor] | None = getattr(zero, "fp32_partitioned_groups_flat", None)
    if cut is not None:
        return cut
    return [piece for group in optimizer.param_groups for piece in group["params"]]


def is_average(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def with_buffers(model: nn.Module, parts: dict[str, DTensor]) -> dict[str, Tensor]:
    """Everything of the model that has to be kept, by its names; parameters as parts."""
    parameters = set(names_of(model).values())
    buffers = {name: tensor for name, tensor in model_tensors(model).items() if name not in parameters}
    return {**parts, **buffers}
