"""Check: a sample in a packed row has the logits that it has alone, and no other sample can change them.

Two looks, because each is blind where the other sees. The first changes some samples and demands that the others stay
as they were, bit for bit: it finds a leak in any number format. Several passes change the samples in such sets that any
one sample is once changed without any given other. The second runs every sample alone: it finds positions that do not
start again, as far as the number format allows.

Legend: B rows · N tokens · D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, count, islice
from math import comb

import torch
from torch import Tensor

from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.samples import Part, alone_batch, cannot_be_parted, parts
from pixelword.train.doctor.subject import (
    Batch,
    Subject,
    final_states,
    listed,
    picture_tokens,
    taken,
    without_labels,
)


def check_packing(subject: Subject) -> Checked:
    """See the module's text; only batches with `sample_ids` say which token is whose."""
    if not subject.packed:
        return not_applicable("packing", "the batches have no sample_ids, so packed samples cannot be told apart")
    if reasons := [reason for batch in subject.packed if (reason := cannot_be_parted(subject, batch))]:
        return not_applicable("packing", reasons[0])
    was_training = subject.model.training
    findings: list[Finding] = []
    compared = rows = 0
    subject.model.eval()
    try:
        with torch.no_grad():
            for number, batch in enumerate(subject.packed):
                every = parts(subject, batch)
                shared = [part for part in every if sum(other.row == part.row for other in every) > 1]
                rows += len({part.row for part in shared})
                compared += len(shared)
                hidden_BND = _hidden(subject, batch)
                findings += list(_leaks(subject, batch, hidden_BND, shared, number)) or list(
                    _differing(subject, batch, hidden_BND, shared, number)
                )
    finally:
        subject.model.train(was_training)
    if not rows:
        return not_applicable("packing", "no examined row holds two samples")
    return checked("packing", findings[:3], f"{compared} samples of {rows} rows with more than one, each run alone too")


def _hidden(subject: Subject, batch: Batch) -> Tensor:
    """(B, N, D) final hidden states."""
    with final_states(subject.network) as states, subject.products():
        subject.network.base_model(**taken(subject.network.base_model, without_labels(batch)))
    return states[-1]


def _logits(subject: Subject, hidden_ND: Tensor) -> Tensor:
    with subject.products():
        logits_NV: Tensor = subject.network.get_output_embeddings()(hidden_ND)
    return logits_NV.float()


def _leaks(subject: Subject, batch: Batch, hidden_BND: Tensor, shared: list[Part], number: int) -> Iterator[Finding]:
    """Change some samples of every row at once; nobody else's states may move. At most one finding."""
    rows = {part.row: [other for other in shared if other.row == part.row] for part in shared}
    turns = {
        (part.row, part.number): passes
        for in_row in rows.values()
        for part, passes in zip(in_row, passes_of(len(in_row)), strict=True)
    }
    for turn in sorted({turn for passes in turns.values() for turn in passes}):
        changed = [part for part in shared if turn in turns[part.row, part.number]]
        others = [part for part in shared if turn not in turns[part.row, part.number]]
        moved_BN = (_hidden(subject, _disturbed(subject, batch, changed)) != hidden_BND).any(dim=-1)
        for part in others:
            if bool((moved_BN[part.row] & part.mask).any()):
                seen = [other for other in changed if other.row == part.row]
                seen = [other for other in seen if _moves(subject, batch, hidden_BND, other, part)][:1] or seen
                yield Finding(
                    "packing",
                    "a packed sample sees another one: its logits move when the other is changed",
                    f"batch {number}, {part}, which sees {listed(map(str, seen))}",
                    "pass sample_ids to the model, and let its mask keep samples apart; transformers makes such a mask"
                    " from position_ids only without an attention_mask and with use_cache False in the configuration",
                )
                return


def passes_of(samples: int) -> list[tuple[int, ...]]:
    """For every sample the passes in which it is disturbed; of any two, each is once disturbed without the other.

    That needs sets none of which holds another one: the halves of p passes, and p with enough of them for the samples
    is the least there is (Sperner's theorem). 6 passes tell 20 samples apart, 8 tell 70.
    """
    passes = next(p for p in count(1) if comb(p, p // 2) >= samples) if samples > 1 else 0
    return list(islice(combinations(range(passes), passes // 2), samples)) if passes else [()] * samples


def _moves(subject: Subject, batch: Batch, hidden_BND: Tensor, changed: Part, part: Part) -> bool:
    """Whether the states of one sample move when just another one is changed."""
    after_BND = _hidden(subject, _disturbed(subject, batch, [changed]))
    return bool((after_BND[part.row][part.mask] != hidden_BND[part.row][part.mask]).any())


def _differing(
    subject: Subject, batch: Batch, hidden_BND: Tensor, shared: list[Part], number: int
) -> Iterator[Finding]:
    """Run every sample alone and compare its logits."""
    for part in shared:
        together = _logits(subject, hidden_BND[part.row][part.mask])
        alone = _logits(subject, _hidden(subject, alone_batch(batch, part))[0])
        difference, scale = float((together - alone).abs().max()), float(alone.abs().max())
        if not difference <= subject.tolerance * max(scale, 1e-3):
            yield _differs(part, number, difference)


def _disturbed(subject: Subject, batch: Batch, changed: list[Part]) -> Batch:
    """The batch with other words and other pixels in some samples; lengths and grids stay."""
    ids_BN = batch["input_ids"].clone()
    special = picture_tokens(subject.network.config)
    words = [word for word in ids_BN.unique().tolist() if word not in special]
    other = dict(zip(words, words[1:] + words[:1], strict=True))
    pixels = batch["pixel_values"].clone() if "pixel_values" in batch else None
    for part in changed:
        for at in part.mask.nonzero().flatten().tolist():
            ids_BN[part.row, at] = other.get(int(ids_BN[part.row, at]), ids_BN[part.row, at])
        if pixels is not None:
            pixels[part.patches] = 1.0 - pixels[part.patches]
    return {**batch, "input_ids": ids_BN} | ({} if pixels is None else {"pixel_values": pixels})


def _differs(part: Part, number: int, difference: float) -> Finding:
    return Finding(
        "packing",
        f"a packed sample has other logits than alone, by up to {difference:.2g}, though it sees no other sample",
        f"batch {number}, {part}",
        "let positions and pictures start again in every sample",
    )
