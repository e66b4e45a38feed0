"""What the loss teaches each position, read off the gradient instead of trusted.

The gradient of a cross-entropy with respect to the final hidden state h of a position is

    w (p W - W[v]),   p = softmax(W h),   w the weight of the position,   v the token that it is taught

so its direction tells v, whatever the labels say, whoever shifts them, and however the loss is weighted or fused. The
directions that the next tokens of the input would give are compared with it.

Legend: B rows · N tokens · S positions that are taught · D width · K distances in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelword.train.doctor.subject import Batch, Subject, final_states

DISTANCES = (1, 0, 2, 3, 4, -1)
"""Distances from a position to the token it may be taught; the right one first, so that it wins ties."""
ALIKE = 0.9
"""Least cosine at which a gradient points to a token."""
TOLD_APART = 0.01
"""A distance must beat the right one by so much."""
CHUNK = 256


@dataclass(frozen=True)
class Taught:
    """What one batch teaches.

    Attributes:
        taught: (B, N) whether a position is taught anything.
        known: (B, N) whether that is one of the tokens around it; false for tokens that stand elsewhere or nowhere.
        distance: (B, N) how far ahead the taught token is, where it is known.
    """

    taught: Tensor
    known: Tensor
    distance: Tensor


def read_taught(subject: Subject, head: nn.Module, batch: Batch) -> Taught:
    """The token that the loss of a batch teaches at each position, as its distance."""
    model, was_training = subject.model, subject.model.training
    model.eval()
    try:
        with final_states(subject.network) as states, torch.enable_grad():
            loss = subject.loss_of(batch)
        hidden_BND = states[-1]
        (gradient_BND,) = torch.autograd.grad(loss, hidden_BND, allow_unused=True)
    finally:
        model.train(was_training)
    ids_BN = batch["input_ids"]
    if gradient_BND is None:
        gradient_BND = torch.zeros_like(hidden_BND)
    size_BN = gradient_BND.float().norm(dim=-1)
    taught_BN = size_BN > 1e-6 * size_BN.max()
    distance_BN, known_BN = torch.zeros_like(ids_BN), torch.zeros_like(taught_BN)
    candidates_BNK = torch.stack([ahead(ids_BN, distance) for distance in DISTANCES], dim=-1)
    distances_K = torch.tensor(DISTANCES, device=ids_BN.device)
    places = taught_BN.nonzero()
    for part in places.split(CHUNK):
        row, at = part.unbind(1)
        candidates_SK = candidates_BNK[row, at]
        likeness_SK = _likeness(hidden_BND[row, at].detach(), gradient_BND[row, at], head, candidates_SK)
        best_S = likeness_SK.max(dim=-1)
        right_S = likeness_SK[:, 0] >= best_S.values - TOLD_APART
        distance_BN[row, at] = torch.where(right_S, 1, distances_K[best_S.indices])
        known_BN[row, at] = best_S.values >= ALIKE
    return Taught(taught_BN, known_BN, distance_BN)


@torch.no_grad()
def _likeness(hidden_SD: Tensor, gradient_SD: Tensor, head: nn.Module, candidates_SK: Tensor) -> Tensor:
    """(S, K) cosines between the gradient and those that the candidates would give; -1 where there is no candidate."""
    weight_VD = head.weight
    assert isinstance(weight_VD, Tensor)
    expected_SD = head(hidden_SD.to(weight_VD.dtype)).float().softmax(-1).to(weight_VD.dtype) @ weight_VD
    direction_SKD = expected_SD[:, None].float() - weight_VD[candidates_SK.clamp(min=0)].float()
    likeness_SK = torch.cosine_similarity(direction_SKD, gradient_SD[:, None].float(), dim=-1)
    return likeness_SK.masked_fill(candidates_SK < 0, -1.0)


def ahead(ids_BN: Tensor, distance: int) -> Tensor:
    """The token so many places on; -1 behind the ends of a row."""
    moved_BN = torch.roll(ids_BN, -distance, dims=1)
    if distance > 0:
        moved_BN[:, -distance:] = -1
    elif distance < 0:
        moved_BN[:, :-distance] = -1
    return moved_BN
