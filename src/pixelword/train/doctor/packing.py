"""Check: a sample in a packed row has the logits that it has alone, and no other sample can change them.

Two looks, because each is blind where the other sees. The first changes one sample and demands that the others stay
as they were, bit for bit: it finds a leak in any number format. The second runs samples alone: it finds positions that
do not start again, as far as the number format allows.

Legend: B rows · N tokens · D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Batch, Subject, final_states, without_labels

MOST_ALONE = 12
"""Samples of a batch that are run alone."""


@dataclass(frozen=True)
class Part:
    """One sample of a packed batch.

    Attributes:
        row, number: where it is; `number` as in `sample_ids`.
        mask: (N,) its tokens.
        images: the rows of `image_grid_thw` that are its pictures.
        patches: the rows of `pixel_values` that are theirs.
    """

    row: int
    number: int
    mask: Tensor
    images: slice
    patches: slice

    def __str__(self) -> str:
        return f"sample {self.number} of row {self.row}"


def check_packing(subject: Subject) -> Checked:
    """See the module's text; only batches with `sample_ids` say which token is whose."""
    if not subject.packed:
        return not_applicable("packing", "the batches have no sample_ids, so packed samples cannot be told apart")
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
                hidden_BND = _hidden(subject, batch)
                leaks = list(_leaks(subject, batch, hidden_BND, every, number))
                findings += leaks
                for part in shared[:MOST_ALONE] if not leaks else ():
                    compared += 1
                    together = _logits(subject, hidden_BND[part.row][part.mask])
                    alone = _logits(subject, _hidden(subject, alone_batch(batch, part))[0])
                    difference, scale = float((together - alone).abs().max()), float(alone.abs().max())
                    if not difference <= subject.tolerance * max(scale, 1e-3):
                        findings.append(_differs(part, number, difference))
    finally:
        subject.model.train(was_training)
    if not rows:
        return not_applicable("packing", "no examined row holds two samples")
    return checked("packing", findings[:3], f"{compared} samples of {rows} rows with more than one, run alone too")


def parts(subject: Subject, batch: Batch) -> list[Part]:
    """The samples of a packed batch with the pictures that are theirs, in the order of the rows."""
    config = subject.network.config
    merge = config.vision_config.merge_size
    grids = batch["image_grid_thw"].tolist() if "image_grid_thw" in batch else []
    found, image, patch = [], 0, 0
    for row, samples_N in enumerate(batch["sample_ids"]):
        for number in samples_N[samples_N >= 0].unique_consecutive().tolist():
            mask_N = samples_N == number
            left = int((batch["input_ids"][row][mask_N] == config.image_token_id).sum())
            first_image, first_patch = image, patch
            while left > 0 and image < len(grids):
                patches = grids[image][1] * grids[image][2]
                left, image, patch = left - patches // merge**2, image + 1, patch + patches
            found.append(Part(row, number, mask_N, slice(first_image, image), slice(first_patch, patch)))
    return found


def alone_batch(batch: Batch, part: Part) -> Batch:
    """The sample as a batch of its own."""
    single = {
        name: value[part.row][part.mask][None]
        for name, value in batch.items()
        if isinstance(value, Tensor) and value.shape == batch["input_ids"].shape and name != "sample_ids"
    }
    if part.images.start < part.images.stop:
        single["image_grid_thw"] = batch["image_grid_thw"][part.images]
        single["pixel_values"] = batch["pixel_values"][part.patches]
    return single


def _hidden(subject: Subject, batch: Batch) -> Tensor:
    """(B, N, D) final hidden states."""
    with final_states(subject.network) as states, subject.products():
        subject.network.base_model(**without_labels(batch))
    return states[-1]


def _logits(subject: Subject, hidden_ND: Tensor) -> Tensor:
    with subject.products():
        logits_NV: Tensor = subject.network.get_output_embeddings()(hidden_ND)
    return logits_NV.float()


def _leaks(subject: Subject, batch: Batch, hidden_BND: Tensor, every: list[Part], number: int) -> Iterator[Finding]:
    """Change the first and the last sample of each row in turn; nobody else's states may move."""
    for edge in (0, -1):
        rows = {part.row: [other for other in every if other.row == part.row] for part in every}
        changed = [in_row[edge] for in_row in rows.values() if len(in_row) > 1]
        if not changed:
            return
        after_BND = _hidden(subject, _disturbed(subject, batch, changed))
        moved_BN = (after_BND != hidden_BND).any(dim=-1)
        for disturbed in changed:
            for part in rows[disturbed.row]:
                if part.number != disturbed.number and bool((moved_BN[part.row] & part.mask).any()):
                    yield Finding(
                        "packing",
                        "a packed sample sees another one: its logits move when the other is changed",
                        f"batch {number}, {part}, which sees {disturbed}",
                        "pass sample_ids to the model, and let its mask keep samples apart",
                    )
                    return


def _disturbed(subject: Subject, batch: Batch, changed: list[Part]) -> Batch:
    """The batch with other words and other pixels in some samples; lengths and grids stay."""
    config = subject.network.config
    ids_BN = batch["input_ids"].clone()
    special = [getattr(config, name, None) for name in ("image_token_id", "image_start_token_id", "image_end_token_id")]
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
