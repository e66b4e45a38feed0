"""A model whose weights, gradients and optimiser state are spread over all processes: torch's FSDP2.

Each block is gathered when it computes and let go afterwards; so is the patch embedding, and an untied word embedding.
The rest, norm and head, stays gathered from the forward to the backward pass.

    what                    held by one process of n
    weights                 1/n in their own precision, and one block whole in the precision of the products
    gradients               1/n, added up over the processes in float32 and divided by n
    optimiser               1/n

Source: torch.distributed.fsdp.fully_shard. transformers' Trainer and accelerate know FSDP2 only for GPUs, and would
fall back to a copy of the model on every process on CPUs; here it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.torch_version import TorchVersion

from pixelword.errors import ConfigError
from pixelword.model.modeling import NeoModel
from pixelword.model.patches import NeoVisionModel
from pixelword.train.parallel import is_first

Model = TypeVar("Model", bound=nn.Module)
Over = Literal["all", "node"]


def mesh_of(device: torch.device, ranks: int, per_node: int, over: Over = "all") -> DeviceMesh:
    """How the processes share a model.

    Args:
        device: where this process computes.
        ranks, per_node: processes of the run, and of one machine.
        over: "all" spreads the model over all processes; "node" over those of one machine, with a copy on every
            machine, which talks less between machines and needs more memory.

    Raises:
        ConfigError: machines with different numbers of processes.
    """
    if over == "all" or ranks == per_node:
        return init_device_mesh(device.type, (ranks,), mesh_dim_names=("shard",))
    if ranks % per_node:
        raise ConfigError(
            "a copy of the model per machine needs as many processes on every machine",
            got=f"{ranks} processes, {per_node} on this machine",
            fix='start the same --nproc-per-node everywhere, or spread the model over "all"',
        )
    return init_device_mesh(device.type, (ranks // per_node, per_node), mesh_dim_names=("copy", "shard"))


def shard(model: Model, mesh: DeviceMesh, *, products: torch.dtype | None = None) -> Model:
    """Spread a model over the processes, in place. Every process brings the same weights; each keeps its part.

    Before this: new parameters (adapters), what learns, compiled blocks. After it: the optimiser.
    Gradients are means over the processes, so a loss that is a sum over all of them is multiplied by their number
    (`pixelword.data.weights.step_share`).

    Args:
        model: a NEO, or any transformers model whose blocks are named in `_no_split_modules`.
        mesh: from `mesh_of`.
        products: precision of the matrix products; that of the weights when None. Gradients are added in float32.

    Raises:
        ConfigError: no blocks to spread, trained weights of several precisions, or a torch that is too old for them.
    """
    parts = parts_of(model)
    precisions = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    if len(precisions) > 1:
        raise ConfigError(
            "the trained weights must have one precision",
            got=", ".join(sorted(str(precision) for precision in precisions)),
            fix="load the model in float32; products in bfloat16 are a setting of their own",
        )
    check_torch(parts, mesh.device_type)
    # The root must not cast what it is given: weights of the loss would lose digits in bfloat16.
    policy = MixedPrecisionPolicy(param_dtype=products, reduce_dtype=torch.float32, cast_forward_inputs=False)
    every_batch_looks(model)
    for part in parts[:-1]:
        fully_shard(part, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    check_sharded(model)
    return model


def parts_of(model: nn.Module) -> list[nn.Module]:
    """What is gathered at a time: each block, the patch embedding, an untied word embedding, the rest (the model).

    Raises:
        ConfigError: there are no blocks.
    """
    words = untied_words(model)
    looking = [module for module in model.modules() if isinstance(module, NeoVisionModel)]
    return [*blocks_of(model), *looking, *([] if words is None else [words]), model]


def check_torch(parts: Sequence[nn.Module], device: str, version: TorchVersion = torch.__version__) -> None:
    """Say what an older torch cannot spread, before it says so in its own words.

    Raises:
        ConfigError: processes on CPUs before torch 2.7; frozen weights in another precision than what learns, in one
            block, before 2.8.
    """
    if device == "cpu" and version < "2.7":
        raise ConfigError(
            "a model is spread over processes on CPUs only from torch 2.7 on",
            got=f"torch {version}",
            fix="install torch 2.7 or newer; or start one process",
        )
    if version >= "2.8":
        return
    seen: set[Tensor] = set()
    for part in parts:
        own = set(part.parameters()) - seen
        seen |= own
        if len({parameter.dtype for parameter in own}) > 1:
            raise ConfigError(
                "frozen weights in another precision than what learns beside them are spread only from torch 2.8 on",
                got=f"torch {version}, several precisions in one {type(part).__name__}",
                fix="install torch 2.8 or newer; or load the model in float32 (model.dtype); or start one process",
            )


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The modules that are gathered one at a time: the decoder layers.

    Raises:
        ConfigError: there are none.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    if not blocks:
        raise ConfigError(
            "the model has no blocks to spread over processes",
            got=f"{type(model).__name__}, _no_split_modules {sorted(names)}",
            fix="use a transformers model that names its decoder layers in _no_split_modules",
        )
    return blocks


def untied_words(model: nn.Module) -> nn.Module | None:
    """The word embedding, if its weight is its own; the head is read without a call, so it belongs to the root."""
    inside, outside = (getattr(model, name, None) for name in ("get_input_embeddings", "get_output_embeddings"))
    words = inside() if inside else None
    head = outside() if outside else None
    if not isinstance(words, nn.Module) or not isinstance(head, nn.Module):
        return None
    return None if words.weight is head.weight else words


def every_batch_looks(model: nn.Module) -> None:
    """Give the patch embedding zero gradients in batches without pictures, instead of none.

    Processes must meet at every module and every gradient, whatever their batches hold. One process does the same,
    so that its optimiser takes the same steps as that of many.
    """
    for module in model.modules():
        if isinstance(module, NeoModel):
            module.every_batch_looks = True


def check_sharded(model: nn.Module) -> None:
    """Make sure that every parameter is spread.

    Raises:
        ConfigError: one is not; each process would train its own.
    """
    alone = [name for name, parameter in model.named_parameters() if not isinstance(parameter, DTensor)]
    if alone:
        raise ConfigError(
            f"{len(alone)} parameters are not spread over the processes",
            got=", ".join(alone[:3]),
            fix="add parameters (adapters) before the model is spread",
        )


def gather_model(model: nn.Module) -> bool:
    """End the spreading: on the first process the model becomes an ordinary one again, whole, on the CPU.

    Called by all processes. On the others it keeps its shape and loses its weights.

    Returns:
        Whether this is the first process.
    """
    model.state_dict()  # parameters that are still gathered from the last forward pass go back to their parts
    whole: dict[Tensor, nn.Parameter] = {}
    for parameter in model.parameters():
        full = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        kept = full.detach().to("cpu" if is_first() else "meta")
        whole[parameter] = nn.Parameter(kept, parameter.requires_grad)
    for module in model.modules():
        for name, own in module._parameters.items():
            if own is not None:
                module._parameters[name] = whole[own]
        if isinstance(module, FSDPModule):
            _make_ordinary(module)
    return is_first()


def _make_ordinary(module: nn.Module) -> None:
    """Take out what `fully_shard` put in: a class in front of the module's own, and hooks around calls and states."""
    order = type(module).__mro__
    module.__class__ = order[order.index(FSDPModule) + 1]
    for hooks in (
        module._forward_pre_hooks,
        module._forward_hooks,
        module._state_dict_pre_hooks,
        module._load_state_dict_pre_hooks,
        module._load_state_dict_post_hooks,
    ):
        hooks.clear()
