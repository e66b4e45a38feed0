"""Check: every position is taught the token that comes next, read off the gradient instead of trusted.

The gradient of a cross-entropy with respect to the final hidden state h of a position is

    w (p W - W[v]),   p = softmax(W h),   w the weight of the position,   v the token that it is taught

so its direction tells v, whatever the labels say, whoever shifts them, and however the loss is weighted or fused. The
directions that the next tokens of the input would give are compared with it.

Legend: B rows · N tokens · S positions that are taught · D width · K distances in tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelword.model.loss import IGNORED
from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
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


def check_labels(subject: Subject) -> Checked:
    """Read what each position is taught and compare it with the next token, the labels and the samples."""
    head = subject.network.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        return not_applicable("labels", "the model names no output embedding, so what it is taught cannot be read")
    if subject.network.base_model is subject.network:
        return not_applicable("labels", "the model has no backbone of its own whose final states could be read")
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for number, batch in enumerate(subject.batches):
        read = read_taught(subject, head, batch)
        counts["taught"] += int(read.taught.sum())
        findings += list(_faults(subject, batch, read, f"batch {number}"))
    if not counts["taught"] and not findings:
        return not_applicable("labels", "nothing is taught in any batch: every label is -100")
    return checked("labels", _first_of_each(findings), f"{counts['taught']:,} positions that are taught")


def read_taught(subject: Subject, head: nn.Module, batch: Batch) -> Taught:
    """The token that the loss of a batch teaches at each position, as its distance."""
    model, was_training = subject.model, subject.model.training
    model.eval()
    try:
        with final_states(subject.network) as states, torch.enable_grad(), subject.products():
            loss = model(**batch).loss
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
    candidates_BNK = torch.stack([_ahead(ids_BN, distance) for distance in DISTANCES], dim=-1)
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


def _ahead(ids_BN: Tensor, distance: int) -> Tensor:
    """The token so many places on; -1 behind the ends of a row."""
    moved_BN = torch.roll(ids_BN, -distance, dims=1)
    if distance > 0:
        moved_BN[:, -distance:] = -1
    elif distance < 0:
        moved_BN[:, :-distance] = -1
    return moved_BN


def _faults(subject: Subject, batch: Batch, read: Taught, where: str) -> Iterator[Finding]:
    ids_BN, labels_BN = batch["input_ids"], batch["labels"]
    known, total = int(read.known.sum()), int(read.taught.sum())
    distances = Counter(read.distance[read.known].tolist())
    wrong = {distance: count for distance, count in distances.items() if distance != 1}
    if wrong:
        usual = max(wrong, key=lambda distance: wrong[distance])
        yield _finding(
            f"{sum(wrong.values())} of {total} taught positions are not taught the next token, but mostly"
            f" {_in_words(usual)}",
            f"{where}, first at {_place(read.known & (read.distance != 1))}",
            _who_shifts(ids_BN, labels_BN),
        )
    if total > known:
        yield _finding(
            f"{total - known} of {total} taught positions are taught a token that is not near them in the input",
            f"{where}, first at {_place(read.taught & ~read.known)}",
            "make the labels after the placeholders of pictures were written out, from the same ids",
        )
    if wrong or total > known:
        return
    next_is_target_BN = torch.zeros_like(read.taught)
    next_is_target_BN[:, :-1] = labels_BN[:, 1:] != IGNORED
    weights_BN = batch.get("loss_weights")
    if weights_BN is not None:
        next_is_target_BN[:, :-1] &= weights_BN[:, 1:] != 0
    if (read.taught & ~next_is_target_BN).any():
        yield _finding(
            "positions are taught whose next label is -100",
            f"{where}, first at {_place(read.taught & ~next_is_target_BN)}",
            "leave labels of -100 out of the loss",
        )
    picture = getattr(subject.network.config, "image_token_id", None)
    if picture is not None and (taught := read.taught & (_ahead(ids_BN, 1) == picture)).any():
        yield _finding("placeholders of pictures are taught", f"{where}, first at {_place(taught)}", "label them -100")
    if "sample_ids" in batch:
        samples_BN = batch["sample_ids"]
        crossing = read.taught & (_ahead(samples_BN, 1) != samples_BN)
        if crossing.any():
            yield _finding(
                "the first token of a sample is taught to the last one of another",
                f"{where}, first at {_place(crossing)}",
                "label the first token of every packed sample -100",
            )


def _who_shifts(ids_BN: Tensor, labels_BN: Tensor) -> str:
    """What to do, by where the labels stand before the model sees them."""
    learned_BN = labels_BN != IGNORED
    shares = {d: float((_ahead(ids_BN, d) == labels_BN)[learned_BN].float().mean()) for d in (0, 1, 2, -1)}
    if shares[0] == 1:
        return (
            "the labels stand where their tokens are, so the model or the loss shifts wrongly: shift once, in the loss"
        )
    stands = max(shares, key=lambda distance: shares[distance])
    return (
        f"the labels are moved by {stands} before the model gets them ({shares[stands]:.0%} fit there), and the model"
        " shifts too: labels[j] must be input_ids[j]"
    )


def _in_words(distance: int) -> str:
    named = {0: "their own token again", 2: "the token two ahead", -1: "the token before"}
    return named.get(distance, f"the token {distance} ahead")


def _place(mask_BN: Tensor) -> str:
    row, at = mask_BN.nonzero()[0].tolist()
    return f"row {row}, position {at}"


def _first_of_each(findings: list[Finding]) -> list[Finding]:
    """One finding per kind of fault; the batches after the first would only repeat it."""
    kinds = {"".join(letter for letter in finding.what if not letter.isdigit()): finding for finding in findings[::-1]}
    return list(kinds.values())[::-1]


def _finding(what: str, where: str, fix: str) -> Finding:
    return Finding("labels", what, where, fix)
