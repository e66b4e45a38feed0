"""Check: every position is taught the token that comes next, and nothing that should not be learned.

`taught` reads what the loss really teaches; here it is compared with the input, the labels, the padding and the
samples. That users' turns are taught is told and is no fault: there are recipes that mean it.

Legend: B rows · N tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from pixelword.model.loss import IGNORED
from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Batch, Subject, picture_tokens
from pixelword.train.doctor.taught import Taught, ahead, read_taught
from pixelword.train.doctor.turns import turn_heads, users_words


def check_labels(subject: Subject) -> Checked:
    """Read what each position is taught and compare it with the next token, the labels and the samples."""
    head = subject.network.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        return not_applicable("labels", "the model names no output embedding, so what it is taught cannot be read")
    if subject.network.base_model is subject.network:
        return not_applicable("labels", "the model has no backbone of its own whose final states could be read")
    heads = turn_heads(subject.tokenizer)
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for number, batch in enumerate(subject.batches):
        read = read_taught(subject, head, batch)
        findings += list(_faults(subject, batch, read, f"batch {number}"))
        target_BN = torch.zeros_like(read.taught)
        target_BN[:, 1:] = read.taught[:, :-1]
        words_BN = words(subject, batch)
        users_BN = users_words(batch, heads) & words_BN
        counts["taught"] += int(read.taught.sum())
        counts["words"] += int(words_BN.sum())
        counts["words taught"] += int((words_BN & target_BN).sum())
        counts["users"] += int(users_BN.sum())
        counts["users taught"] += int((users_BN & target_BN).sum())
    if not counts["taught"] and not findings:
        return not_applicable("labels", "nothing is taught in any batch: every label is -100")
    warnings = [_users_are_taught(counts)] if counts["users taught"] else []
    return checked("labels", _first_of_each(findings), _note(counts), warnings=warnings)


def _note(counts: Counter[str]) -> str:
    """How much is taught, and of whose turns, as far as the chat template lets it be known."""
    share = counts["words taught"] / max(1, counts["words"])
    note = f"{counts['taught']:,} positions that are taught, {share:.0%} of the words"
    if counts["users"]:
        return f"{note}, {counts['users taught']:,} in users' turns"
    return f"{note}: prompts too, if there are any" if share == 1 else note


def _users_are_taught(counts: Counter[str]) -> Finding:
    return _finding(
        f"{counts['users taught']:,} of {counts['users']:,} tokens of users' turns are taught: the model learns to ask",
        "the turns that the chat template marks as a user's",
        "label everything but the answers -100, unless that is meant",
    )


def words(subject: Subject, batch: Batch) -> Tensor:
    """(B, N) whether a token could be taught: no padding, no part of a picture, and not the first of its sample."""
    ids_BN = batch["input_ids"]
    padding_BN = padding(batch)
    words_BN = ~padding_BN
    words_BN[:, 1:] &= ~padding_BN[:, :-1]
    words_BN[:, 0] = False
    if "sample_ids" in batch:
        words_BN[:, 1:] &= batch["sample_ids"][:, 1:] == batch["sample_ids"][:, :-1]
    for token in picture_tokens(subject.network.config):
        words_BN &= ids_BN != token
    return words_BN


def padding(batch: Batch) -> Tensor:
    """(B, N) whether a position is filled up: outside every sample, or masked."""
    ids_BN = batch["input_ids"]
    padding_BN = torch.zeros_like(ids_BN, dtype=torch.bool)
    mask = batch.get("attention_mask")
    if isinstance(mask, Tensor) and mask.shape == ids_BN.shape:
        padding_BN |= mask == 0
    if "sample_ids" in batch:
        padding_BN |= batch["sample_ids"] < 0
    return padding_BN


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
    if picture is not None and (taught := read.taught & (ahead(ids_BN, 1) == picture)).any():
        yield _finding("placeholders of pictures are taught", f"{where}, first at {_place(taught)}", "label them -100")
    padded = read.taught & (ahead(padding(batch).long(), 1) == 1)
    if padded.any():
        yield _finding(
            f"padding is taught, at {int(padded.sum())} of {total} positions",
            f"{where}, first at {_place(padded)}",
            "label what the attention mask leaves out -100",
        )
    if "sample_ids" in batch:
        samples_BN = batch["sample_ids"]
        crossing = read.taught & (ahead(samples_BN, 1) != samples_BN) & ~padded
        if crossing.any():
            yield _finding(
                "the first token of a sample is taught to the last one of another",
                f"{where}, first at {_place(crossing)}",
                "label the first token of every packed sample -100",
            )


def _who_shifts(ids_BN: Tensor, labels_BN: Tensor) -> str:
    """What to do, by where the labels stand before the model sees them."""
    learned_BN = labels_BN != IGNORED
    shares = {d: float((ahead(ids_BN, d) == labels_BN)[learned_BN].float().mean()) for d in (0, 1, 2, -1)}
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
