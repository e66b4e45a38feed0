"""Weighted next-token cross-entropy, shifted once, here and nowhere else.

Legend: B rows · N tokens · S supervised positions · D width · V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelword.errors import ShapeError

IGNORED = -100
CHUNK_ENTRIES = 2**25
"""Largest S x V table of logits held at once, in entries; larger ones are computed and differentiated in chunks."""

WORTH_A_CHOICE = 0.75
"""Share of tokens above which choosing them costs more than it saves."""


def next_token_loss(
    hidden_BND: Tensor,
    head: nn.Linear,
    labels_BN: Tensor,
    loss_weights_BN: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """sum_j w[j+1] CE(head(hidden[j]), labels[j+1]) / sum_j w[j+1], over the supervised positions only.

    Args:
        hidden_BND: final hidden states.
        head: the output embedding.
        labels_BN: unshifted token ids; -100 is not supervised.
        loss_weights_BN: weight of each label, unshifted; 1 where None. Labels of -100 count nothing in any case.
        normalizer: replaces the sum of weights, for means over several batches or ranks.

    Returns:
        Scalar in float32. Zero, with a gradient path, when nothing is supervised.

    Source: NEO's released training code, which divides by max(sum of weights, 1e-5); cross-entropy in float32 is ours.
    """
    return next_token_losses(hidden_BND, head, labels_BN, loss_weights_BN, normalizer)[0]


def next_token_losses(
    hidden_BND: Tensor,
    head: nn.Linear,
    labels_BN: Tensor,
    loss_weights_BN: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`next_token_loss`, and the cross-entropy of every label at its own place.

    Args:
        rows: (R,) int64, the tokens that `hidden_BND` (B, R, D) holds, where those are not all; see `rows_of_loss`.

    Returns:
        The scalar, and (B, N) float32 without gradient and without weights; 0 where nothing is supervised.
    """
    if rows is None and labels_BN.shape != hidden_BND.shape[:2]:
        raise ShapeError(
            "labels must have the shape of input_ids",
            got=f"{tuple(labels_BN.shape)} and {tuple(hidden_BND.shape[:2])}",
            fix="pass unshifted labels, -100 where nothing is learned",
        )
    if loss_weights_BN is not None and loss_weights_BN.shape != labels_BN.shape:
        raise ShapeError(
            "loss_weights must have the shape of labels",
            got=f"{tuple(loss_weights_BN.shape)} and {tuple(labels_BN.shape)}",
            fix="pass one unshifted weight per label",
        )
    supervised_BN = labels_BN[:, 1:] != IGNORED
    target_S = labels_BN[:, 1:][supervised_BN]
    hidden_SD = hidden_BND[:, :-1][supervised_BN] if rows is None else hidden_BND[supervised_BN[:, rows]]
    weight_S = torch.ones_like(target_S, dtype=torch.float32)
    if loss_weights_BN is not None:
        weight_S = loss_weights_BN[:, 1:][supervised_BN].float()
    losses_BN = torch.zeros(labels_BN.shape, dtype=torch.float32, device=hidden_BND.device)
    if len(target_S) == 0:
        # Through the head too: other ranks wait for its gradient.
        return head(hidden_BND[:, :1]).float().sum() * 0.0, losses_BN
    chunk = max(1, CHUNK_ENTRIES // head.weight.shape[0])
    total = hidden_SD.new_zeros((), dtype=torch.float32)
    pieces = []
    for hidden, target, weight in zip(
        hidden_SD.split(chunk), target_S.split(chunk), weight_S.split(chunk), strict=True
    ):
        if len(target) == len(target_S) or not torch.is_grad_enabled():
            part, losses = _weighted_sum(hidden, head.weight, target, weight)
        else:
            part, losses = checkpoint(_weighted_sum, hidden, head.weight, target, weight, use_reentrant=False)
        total = total + part
        pieces.append(losses)
    losses_BN[:, 1:][supervised_BN] = torch.cat(pieces)
    return total / (weight_S.sum().clamp(min=1e-5) if normalizer is None else normalizer), losses_BN


def rows_of_loss(labels_BN: Tensor) -> Tensor | None:
    """(R,) int64: the tokens whose final hidden state the loss reads, in some row; None where most are.

    The last layer needs queries, attention and MLP for these only, an exact saving that NEO's released code leaves.
    """
    read_N = (labels_BN[:, 1:] != IGNORED).any(0)
    rows = read_N.nonzero().flatten()
    if not 0 < len(rows) < WORTH_A_CHOICE * labels_BN.shape[1]:
        return None
    torch._dynamo.maybe_mark_dynamic(rows, 0)
    return rows


def _weighted_sum(hidden_SD: Tensor, head_VD: Tensor, target_S: Tensor, weight_S: Tensor) -> tuple[Tensor, Tensor]:
    logits_SV = F.linear(hidden_SD, head_VD).float()
    losses_S = F.cross_entropy(logits_SV, target_S, reduction="none")
    return (losses_S * weight_S).sum(), losses_S.detach()
