"""Groups whose responses all earn the same: they give no gradient. Found, masked, or replaced row by row.

TRL splits a generation into equal batches and loses what does not divide, so the number of rows never changes here:
masked rows stay with an empty loss mask, refilled ones are overwritten.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]
LEFT_PADDED = ("prompt_ids", "prompt_mask")
TOLERANCE = 1e-6


def flat_groups(rewards_R: Tensor, group: int) -> Tensor:
    """(R,) rewards of whole groups one after another -> (R / group,) which of them have no variance."""
    rewards = rewards_R.view(-1, group)
    return (rewards - rewards[:, :1]).abs().amax(1) <= TOLERANCE


def mask_rows(batch: Batch, masked_R: Tensor, *, per_response_mean: bool, share: float) -> Batch:
    """Leave rows out of the loss.

    Args:
        batch: a scored generation.
        masked_R: (R,) bool.
        per_response_mean: the loss divides by the number of responses; the rest then weighs more, so that it is the
            mean over the rest.
        share: of all rows over all processes that remain.
    """
    kept = (~masked_R).to(batch["completion_mask"].dtype)[:, None]
    loss_mask = batch.get("tool_mask", torch.ones_like(batch["completion_mask"])) * kept
    made = {**batch, "tool_mask": loss_mask}
    if per_response_mean and share > 0:
        made["advantages"] = batch["advantages"] / share
    return made


def overwrite_rows(batch: Batch, rows: list[int], other: Batch, with_rows: list[int], pad_id: int) -> Batch:
    """Put rows of another generation in the place of some.

    Values along tokens are padded to the longer of the two: prompts on the left, the rest on the right.
    """
    made = dict(batch)
    for name, value in batch.items():
        theirs = other.get(name)
        if not isinstance(value, Tensor) or value.ndim == 0 or theirs is None:
            continue
        ours = value.clone()
        if value.ndim == 2:
            fill = pad_id if name.endswith("_ids") else 0
            width = max(value.shape[1], theirs.shape[1])
            ours, theirs = (widened(one, width, fill, left=name in LEFT_PADDED) for one in (ours, theirs))
        ours[rows] = theirs[with_rows]
        made[name] = ours
    return made


def widened(value_RT: Tensor, width: int, fill: int, *, left: bool) -> Tensor:
    missing = width - value_RT.shape[1]
    ends = (missing, 0) if left else (0, missing)
    return torch.nn.functional.pad(value_RT, ends, value=fill)
