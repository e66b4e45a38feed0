"""Single tensors of a model under ZeRO, whole: its weights, what the optimiser averages, and parts of its gradients.

    stage   a parameter        its float32 copy, the averages
    1, 2    whole, everywhere  1/n of all parameters one after the other, cut anywhere
    3       1/n                1/n of this parameter, the last part padded

Everything that learns has a float32 copy; in float32 stage 3 it is the parameter itself. Where DeepSpeed has public
functions they are used. Tried with DeepSpeed 0.19.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def is_cut(parameter: nn.Parameter) -> bool:
    """Whether the parameter itself is spread: stage 3."""
    return hasattr(parameter, "ds_id")


def shape_of(parameter: nn.Parameter) -> torch.Size:
    """Its shape when it is whole."""
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))


@contextmanager
def gathered(parameter: nn.Parameter, *, changed: bool = False) -> Iterator[None]:
    """Within the block the parameter is whole on every rank; called by all.

    Args:
        parameter: of the model.
        changed: whether the first rank changes it in the block, for all of them.
    """
    if not is_cut(parameter):
        yield
        return
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([parameter], modifier_rank=0 if changed else None):
        yield


@torch.no_grad()
def whole(parameter: nn.Parameter) -> Tensor:
    """The float32 copy of what learns, frozen weights as they are; on every rank, called by all."""
    from deepspeed.utils import safe_get_full_fp32_param

    if parameter.requires_grad:
        found: Tensor = safe_get_full_fp32_param(parameter)
        return found
    with gathered(parameter):
        return parameter.detach().clone() if is_cut(parameter) else parameter.detach()


@torch.no_grad()
def put(parameter: nn.Parameter, value: Tensor) -> None:
    """Set a parameter and its float32 copy, if it has one; called by all ranks with the same value."""
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

    with gathered(parameter, changed=True):
        parameter.data.copy_(value)
    if not parameter.requires_grad:
        return
    if is_cut(parameter):
        safe_set_local_fp32_param(parameter, own_piece(parameter, value))
    else:
        safe_set_full_fp32_param(parameter, value)


@torch.no_grad()
def whole_state(parameter: nn.Parameter, key: str) -> Tensor:
    """What the optimiser keeps of a parameter under `key`, whole; called by all ranks."""
    from deepspeed.utils import safe_get_full_optimizer_state

    found: Tensor = safe_get_full_optimizer_state(parameter, key)
    return found


@torch.no_grad()
def put_state(parameter: nn.Parameter, key: str, value: Tensor) -> None:
    """Set what the optimiser keeps of a parameter; called by all ranks with the same value."""
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    if is_cut(parameter):
        safe_set_local_optimizer_state(parameter, own_piece(parameter, value), key)
    else:
        safe_set_full_optimizer_state(parameter, value, key)


def own_piece(parameter: Any, value: Tensor) -> Tensor:
    """This rank's part of a whole tensor as stage 3 cuts it, padded with zeros.

    DeepSpeed's own functions for whole values do not pad, and fail where the ranks do not divide a parameter.
    """
    size = parameter.partition_numel()
    rank = torch.distributed.get_rank(parameter.ds_process_group)
    piece = value.flatten()[rank * size : (rank + 1) * size]
    return nn.functional.pad(piece, (0, size - piece.numel()))


@torch.no_grad()
def own_gradient(parameter: Any) -> Tensor:
    """This rank's part of the mean gradient, flat, after the last micro-batch and before the step; may be empty.

    `safe_get_full_grad` would add up every gradient a second time over all ranks. This reads, as it does, the part
    that lies here already.
    """
    if is_cut(parameter):
        from deepspeed.utils import safe_get_local_grad

        size, rank = parameter.partition_numel(), torch.distributed.get_rank(parameter.ds_process_group)
        held = max(0, min(size, parameter.ds_numel - rank * size))
        local: Tensor = safe_get_local_grad(parameter)
        return local[:held]
    mapping = parameter._hp_mapping
    if mapping is None:
        return parameter.new_zeros(0, dtype=torch.float32)
    gradient: Tensor = mapping.get_lp_grad_fragment(parameter._index_in_param_group).flatten()
    address = mapping.lp_fragment_address
    if gradient.numel() == parameter.numel():  # in bfloat16 stage 1 has the sum of the whole on every rank
        gradient = gradient.narrow(0, address.start, address.numel)
    return gradient
