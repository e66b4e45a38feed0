"""Check: every picture has as many placeholders as it has tokens, and its patches are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Batch, Subject

MEDIA = (
    ("image_token_id", "image_grid_thw", "pixel_values"),
    ("video_token_id", "video_grid_thw", "pixel_values_videos"),
)
"""Name of the placeholder in the configuration, of the grids and of the patches in a batch."""


def check_placeholders(subject: Subject) -> tuple[Checked, set[int]]:
    """Count placeholders against grids and patches.

    Returns:
        The outcome, and the numbers of the batches in which they differ: no other check can use those.
    """
    config = subject.network.config
    merge = getattr(getattr(config, "vision_config", None), "merge_size", None)
    merge = getattr(getattr(config, "vision_config", None), "spatial_merge_size", merge)
    if merge is None or not isinstance(getattr(config, "image_token_id", None), int):
        reason = "the model's configuration has no image_token_id or no merge size, so placeholders cannot be counted"
        return not_applicable("placeholders", reason), set()
    pictures = any(grids in batch for batch in subject.batches for _, grids, _ in MEDIA)
    if not pictures and not any(bool((batch["input_ids"] == config.image_token_id).any()) for batch in subject.batches):
        return not_applicable("placeholders", "no examined batch has a picture"), set()
    found: list[Finding] = []
    broken: set[int] = set()
    placeholders = 0
    for number, batch in enumerate(subject.batches):
        for token_name, grids_name, patches_name in MEDIA:
            token = getattr(config, token_name, None)
            if token is None:
                continue
            placeholders += int((batch["input_ids"] == token).sum())
            faults = list(_faults(batch, token, batch.get(grids_name), batch.get(patches_name), merge, number))
            found += faults
            broken |= {number} if faults else set()
    return checked("placeholders", found[:3], f"{placeholders:,} placeholders"), broken


def _faults(batch: Batch, token: int, grids: Tensor | None, patches: Any, merge: int, number: int) -> Iterator[Finding]:
    """At most one fault of a batch: the first place where pictures and placeholders part."""
    ids_BN = batch["input_ids"]
    runs = _runs(ids_BN == token)
    wanted = [] if grids is None else [int(time * rows * columns) // merge**2 for time, rows, columns in grids.tolist()]
    place = next(
        (at for at, ((_, _, length), tokens) in enumerate(zip(runs, wanted, strict=False)) if length != tokens), None
    )
    # Pictures that touch make one run, so single runs accuse only where the sums differ too.
    if sum(length for _, _, length in runs) != sum(wanted):
        if place is None:
            what = f"{len(runs)} runs of placeholders and {len(wanted)} pictures"
            where = f"batch {number}"
        else:
            row, start, length = runs[place]
            what = f"picture {place} has {length} placeholders and {wanted[place]} tokens"
            where = f"batch {number}, row {row}, position {start}{_sample(batch, row, start)}"
        fix = "write out as many placeholders as the processor's grid says, and never cut a sample inside a picture"
        yield Finding("placeholders", what, where, fix)
        return
    rows = 0 if grids is None else int(grids.prod(dim=-1).sum())
    if isinstance(patches, Tensor) and patches.ndim == 2 and len(patches) != rows:
        what = f"{len(patches)} patches where the grids say {rows}"
        yield Finding("placeholders", what, f"batch {number}", "take pixels and grids from one call of the processor")


def _runs(mask_BN: Tensor) -> list[tuple[int, int, int]]:
    """(row, start, length) of every run of True."""
    found = []
    for row, mask_N in enumerate(mask_BN):
        edges = torch.diff(mask_N.int(), prepend=mask_N.new_zeros(1).int(), append=mask_N.new_zeros(1).int())
        starts, ends = (edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist()
        found += [(row, start, end - start) for start, end in zip(starts, ends, strict=True)]
    return found


def _sample(batch: Batch, row: int, position: int) -> str:
    return f", sample {int(batch['sample_ids'][row, position])}" if "sample_ids" in batch else ""
