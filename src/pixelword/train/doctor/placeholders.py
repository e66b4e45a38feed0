"""Check: every picture has as many placeholders as it has tokens, and its patches are there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Batch, Subject, merge_size

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
    merge = merge_size(config)
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
        for medium in MEDIA:
            token = getattr(config, medium[0], None)
            if token is None:
                continue
            placeholders += int((batch["input_ids"] == token).sum())
            faults = list(_faults(batch, medium, merge, token, number))
            found += faults
            broken |= {number} if faults else set()
    return checked("placeholders", found[:3], f"{placeholders:,} placeholders"), broken


def _faults(batch: Batch, medium: tuple[str, str, str], merge: int, token: int, number: int) -> Iterator[Finding]:
    """At most one fault of a batch: the first place where pictures and placeholders part."""
    grids, patches = batch.get(medium[1]), batch.get(medium[2])
    runs = _runs(batch["input_ids"] == token)
    wanted = [] if grids is None else [int(time * rows * columns) // merge**2 for time, rows, columns in grids.tolist()]
    # Some models write words between the frames of a video.
    frames = medium == MEDIA[1] and len(runs) > len(wanted) and sum(run[2] for run in runs) == sum(wanted)
    if not frames and (fault := _first_parting([length for _, _, length in runs], wanted)):
        at, what = fault
        where = f"batch {number}"
        if at < len(runs):
            row, start, _ = runs[at]
            where += f", row {row}, position {start}{_sample(batch, row, start)}"
        fix = "write out as many placeholders as the processor's grid says, and never cut a sample inside a picture"
        yield Finding("placeholders", what, where, fix)
        return
    rows = 0 if grids is None else int(grids.prod(dim=-1).sum())
    if isinstance(patches, Tensor) and patches.ndim == 2 and len(patches) != rows:
        what = f"{len(patches)} patches where the grids say {rows}"
        yield Finding("placeholders", what, f"batch {number}", "take pixels and grids from one call of the processor")


def _first_parting(lengths: list[int], wanted: list[int]) -> tuple[int, str] | None:
    """The number of the first run of placeholders that is not as long as its pictures, and what is wrong.

    With as many runs as pictures they belong together one by one. Pictures that touch share a run, which then has to
    end where one of them ends.
    """
    pairs = zip(lengths, wanted, strict=False)
    different = next((at for at, (run, tokens) in enumerate(pairs) if run != tokens), min(len(lengths), len(wanted)))
    if len(lengths) == len(wanted):
        if different == len(wanted):
            return None
        return different, f"picture {different} has {lengths[different]} placeholders and {wanted[different]} tokens"
    ends = set(accumulate(wanted))
    inside = next((at for at, end in enumerate(accumulate(lengths)) if end not in ends), None)
    if sum(lengths) == sum(wanted) and inside is None:
        return None
    at = different if inside is None else inside
    return at, f"{sum(lengths)} placeholders in {len(lengths)} runs for {len(wanted)} pictures of {sum(wanted)} tokens"


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
