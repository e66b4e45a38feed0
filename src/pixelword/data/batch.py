"""Packed rows as model inputs.

Legend: B rows · N tokens of a row · P patches of all pictures · C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelword.data.weights import Weighting, token_weight, weight_sum
from pixelword.errors import DataError, ShapeError
from pixelword.model.loss import IGNORED


@dataclass(frozen=True, kw_only=True)
class ReadySample:
    """A sample with its pixels.

    Attributes:
        name: how messages call it.
        source: name of the dataset it came from.
        input_ids: token ids.
        labels: the ids that are learned, -100 elsewhere; not shifted.
        pixel_values: (P, C * patch²) float32, or None without pictures.
        grids: (1, rows, columns) of patches of each picture.
    """

    name: str
    source: str
    input_ids: Sequence[int]
    labels: Sequence[int]
    pixel_values: NDArray[np.float32] | None = None
    grids: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A micro-batch.

    Attributes:
        inputs: arguments of the model: `input_ids`, `labels`, `sample_ids` (-1 for padding), `loss_weights`, all
            (B, N); `pixel_values` (P, C * patch²) and `image_grid_thw` (images, 3) if there are pictures.
        weight: sum of the weights of its labels.
        tokens: tokens that are no padding.
        names, sources: of every sample, row by row.
    """

    inputs: dict[str, Tensor]
    weight: float
    tokens: int
    names: tuple[tuple[str, ...], ...] = field(repr=False)
    sources: tuple[tuple[str, ...], ...] = field(repr=False)

    @property
    def used(self) -> float:
        """Share of the row budget that is no padding."""
        return self.tokens / self.inputs["input_ids"].numel()


def collate(
    rows: Sequence[Sequence[ReadySample]], *, pad_id: int, weighting: Weighting = "square", length: int | None = None
) -> PackedBatch:
    """Put packed rows together.

    The first token of a sample is never a target: in a row it would be predicted from another sample's last token.

    Args:
        rows: samples of each row, in any order.
        pad_id: id that fills up; it is masked, so its meaning does not matter.
        weighting: of the loss; see `pixelword.data.weights`.
        length: tokens of every row; that of the longest when not given.

    Raises:
        DataError: no samples.
        ShapeError: a row is longer than `length`, or a sample's labels do not fit its ids.
    """
    used = [sum(len(sample.input_ids) for sample in row) for row in rows]
    if not rows or not any(used):
        raise DataError("a batch needs samples", got=f"{len(rows)} rows without tokens", fix="see the log of bad rows")
    length = max(used) if length is None else length
    if max(used) > length:
        raise ShapeError(f"a row is longer than {length} tokens", got=max(used), fix="pack with this length as budget")
    shape = (len(rows), length)
    ids, labels = np.full(shape, pad_id, np.int64), np.full(shape, IGNORED, np.int64)
    sample_ids, weights = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
    for row, samples in enumerate(rows):
        end = 0
        for number, sample in enumerate(samples):
            start, end = end, end + len(sample.input_ids)
            if len(sample.labels) != end - start:
                raise ShapeError(
                    f"{sample.name}: one label per token is needed",
                    got=f"{len(sample.labels)} labels, {end - start} tokens",
                    fix="write -100 where nothing is learned",
                )
            ids[row, start:end], labels[row, start:end] = sample.input_ids, sample.labels
            labels[row, start : start + 1] = IGNORED
            sample_ids[row, start:end] = number
            learned = labels[row, start:end] != IGNORED
            weights[row, start:end][learned] = token_weight(int(learned.sum()), weighting)
    arrays = {"input_ids": ids, "labels": labels, "sample_ids": sample_ids, "loss_weights": weights}
    everything = [sample for samples in rows for sample in samples]
    pixels = [sample.pixel_values for sample in everything if sample.pixel_values is not None]
    if pixels:
        arrays["pixel_values"] = np.concatenate(pixels)
        arrays["image_grid_thw"] = np.array([grid for sample in everything for grid in sample.grids], np.int64)
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return PackedBatch(
        inputs=inputs,
        weight=weight_sum(inputs["labels"], inputs["loss_weights"]),
        tokens=sum(used),
        names=tuple(tuple(sample.name for sample in samples) for samples in rows),
        sources=tuple(tuple(sample.source for sample in samples) for samples in rows),
    )
