"""Where the model lies: whole in one process, or whole in every process with averaged gradients (DDP).

Everything that depends on it is here and can be replaced by another placement: wrapping, the precision of products,
norms of gradients, and what a checkpoint holds. A checkpoint's tensors are safetensors; nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pixelword.errors import CheckpointError

WEIGHTS, OPTIMIZER, REST = "weights.safetensors", "optimizer.safetensors", "optimizer.json"


@dataclass
class Placement:
    """The model whole in every process.

    Args:
        rank, ranks: which of how many processes.
        device: of this process.
    """

    rank: int
    ranks: int
    device: torch.device

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called; `model` itself stays the owner of the parameters. Before the optimiser is made."""
        model.to(self.device)
        if self.ranks == 1:
            return model
        where = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=where, gradient_as_bucket_view=True)

    def micro_batch(self, wrapped: nn.Module, *, last: bool) -> None:
        """Told before each micro-batch; DDP waits with its exchange by itself (the Trainer calls `no_sync`)."""

    def precision(self, dtype: torch.dtype) -> AbstractContextManager[Any]:
        """Around forward and loss: products in `dtype`, whatever the weights are kept in."""
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """(tensors,) float32: the norm of each whole tensor, the same on every rank."""
        return torch.stack([norm.float() for norm in torch._foreach_norm(list(tensors))])

    def save(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write weights and optimiser into an existing folder. Every rank calls it; some write nothing."""
        if self.rank:
            return
        weights = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
        save_file(weights, folder / WEIGHTS)
        tensors, rest = optimizer_tensors(model, optimizer)
        save_file(tensors, folder / OPTIMIZER)
        (folder / REST).write_text(json.dumps(rest) + "\n", encoding="utf-8")

    def load(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put a checkpoint's weights and optimiser back, after `wrap`. Every rank calls it.

        Raises:
            CheckpointError: it is of a model with other parameters.
        """
        check_shapes(folder / WEIGHTS, model)
        saved = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name])
        rest = json.loads((folder / REST).read_text(encoding="utf-8"))
        restore_optimizer(model, optimizer, load_file(folder / OPTIMIZER), rest)

    def gather(self, model: nn.Module) -> bool:
        """Bring the whole model together for saving its result; returns whether this rank has it. Ends training."""
        return self.rank == 0


def check_shapes(file: Path, model: nn.Module) -> None:
    """Raises:
    CheckpointError: a checkpoint is of a model with other names, shapes or dtypes.
    """
    wanted = {name: (list(p.shape), str(p.dtype)) for name, p in model.named_parameters()}
    with safe_open(file, framework="pt") as opened:
        found = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
        shapes = {name: list(piece.get_shape()) for name, piece in found.items()}
    differing = [f"no {name}" for name in wanted if name not in shapes]
    differing += [f"{name} is not in this model" for name in shapes if name not in wanted]
    differing += [
        f"{name} {shapes[name]}, here {shape}"
        for name, (shape, _) in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    if differing:
        raise CheckpointError(
            f"{file.parent} is a checkpoint of another architecture",
            got="; ".join(differing[:3]) + (f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""),
            fix="go on with the model that it was made from, or start in another --out",
        )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state by names of parameters: `name|key` -> tensor, and what is no tensor beside it."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {"values": {}, "groups": []}
    for group in optimizer.param_groups:
        kept = {key: value for key, value in group.items() if key != "params" and not isinstance(value, Tensor)}
        rest["groups"].append({**kept, "names": [names[parameter] for parameter in group["params"]]})
        for parameter in group["params"]:
            for key, value in optimizer.state[parameter].items():
                place = f"{names[parameter]}|{key}"
                if isinstance(value, Tensor):
                    tensors[place] = value.detach().contiguous()
                else:
                    rest["values"][place] = value
    return tensors, rest


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]
) -> None:
    """The inverse of `optimizer_tensors`.

    Raises:
        CheckpointError: the optimiser trains other parameters.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    here = [[names[parameter] for parameter in group["params"]] for group in optimizer.param_groups]
    there = [group["names"] for group in rest["groups"]]
    if list(map(sorted, here)) != list(map(sorted, there)):
        raise CheckpointError(
            "the checkpoint's optimiser trains other parameters",
            got=f"{sum(map(len, there))} there, {sum(map(len, here))} here",
            fix="go on with the same `learns` and optimizer, or start in another --out",
        )
    number = {name: place for place, name in enumerate(name for group in here for name in group)}
    state: dict[int, dict[str, Any]] = {}
    for place, value in (tensors | rest["values"]).items():
        name, _, key = place.rpartition("|")
        state.setdefault(number[name], {})[key] = value
    groups = [
        {key: as_it_was(group.get(key), value) for key, value in saved.items() if key != "names"}
        | {"params": [number[name] for name in own]}
        for group, saved, own in zip(optimizer.param_groups, rest["groups"], here, strict=True)
    ]
    # The optimiser itself knows which of its tensors lie beside their parameter.
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def as_it_was(before: Any, value: Any) -> Any:
    """JSON has lists only."""
    return tuple(value) if isinstance(before, tuple) else value
