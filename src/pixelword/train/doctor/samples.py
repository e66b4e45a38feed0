"""The samples of a packed batch, each with the pictures that are its own, and each as a batch of one.

Legend: N tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pixelword.train.doctor.subject import Batch, Subject, merge_size


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


def cannot_be_parted(subject: Subject, batch: Batch) -> str:
    """Why the pictures of a batch cannot be given to its samples; "" if they can."""
    if any(name in batch for name in ("pixel_values_videos", "video_grid_thw")):
        return "the videos of a batch cannot be told apart by sample"
    known = "image_grid_thw" in batch and merge_size(subject.network.config) is not None
    if "pixel_values" in batch and not (known and hasattr(subject.network.config, "image_token_id")):
        return "without image_grid_thw, a merge size and image_token_id it is not known whose the pictures are"
    return ""


def parts(subject: Subject, batch: Batch) -> list[Part]:
    """The samples of a packed batch with the pictures that are theirs, in the order of the rows."""
    config = subject.network.config
    placeholder = getattr(config, "image_token_id", None)
    tokens_per_patch = 1 / (merge_size(config) or 1) ** 2
    grids = batch["image_grid_thw"].tolist() if "image_grid_thw" in batch else []
    found, image, patch = [], 0, 0
    for row, samples_N in enumerate(batch["sample_ids"]):
        for number in samples_N[samples_N >= 0].unique_consecutive().tolist():
            mask_N = samples_N == number
            left = 0 if placeholder is None else int((batch["input_ids"][row][mask_N] == placeholder).sum())
            first_image, first_patch = image, patch
            while left > 0 and image < len(grids):
                patches = int(grids[image][0] * grids[image][1] * grids[image][2])
                left, image, patch = left - round(patches * tokens_per_patch), image + 1, patch + patches
            found.append(Part(row, number, mask_N, slice(first_image, image), slice(first_patch, patch)))
    return found


def alone_batch(batch: Batch, part: Part) -> Batch:
    """The sample as a batch of its own, with the positions that the model itself gives it.

    Positions of height and width (3 or 4, B, N) are kept where nothing in the batch would let the model make them.
    """
    ids_BN = batch["input_ids"]
    single = {
        name: value[part.row][part.mask][None]
        for name, value in batch.items()
        if isinstance(value, Tensor) and value.shape == ids_BN.shape and name not in ("sample_ids", "position_ids")
    }
    positions = batch.get("position_ids")
    if isinstance(positions, Tensor) and positions.ndim == 3 and "mm_token_type_ids" not in batch:
        single["position_ids"] = positions[:, part.row][:, part.mask][:, None]
    if part.images.start < part.images.stop:
        single["image_grid_thw"] = batch["image_grid_thw"][part.images]
        single["pixel_values"] = batch["pixel_values"][part.patches]
    return single
