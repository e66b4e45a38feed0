"""Rows of training data: one trunk (a picture, or words) and several branches that continue it side by side.

The branches of a row do not see each other, so one picture serves many questions for the price of its tokens once.
Each branch is exactly the conversation that would follow the trunk alone: positions and masks come from the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelword.errors import DataError
from pixelword.model.loss import IGNORED

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Branch:
    """Token ids, and for each whether it is supervised."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]


@dataclass(frozen=True)
class Row:
    """A trunk, the branches that continue it, and the picture whose placeholders are in the trunk, if any."""

    trunk: Branch
    branches: tuple[Branch, ...]
    picture: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class BranchCollator:
    """Puts rows into one batch of a fixed length, so that a compiled model sees one shape.

    Args:
        length: tokens of a row; shorter rows are filled up, and branches that no longer fit are left out.
        pad_token_id: what fills up.
        read_pictures: pictures to `pixel_values` and `image_grid_thw`, such as a `NeoImageProcessor`; not used for
            rows without pictures.

    Raises:
        DataError: a row of which nothing fits.
    """

    length: int
    pad_token_id: int
    read_pictures: Callable[[list[NDArray[np.uint8]]], Mapping[str, NDArray[np.generic]]] | None = None

    def __call__(self, rows: Sequence[Row]) -> Batch:
        shape = (len(rows), self.length)
        ids = np.full(shape, self.pad_token_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        branch_ids, sample_ids = np.zeros(shape, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
        for row, item in enumerate(rows):
            end = 0
            for number, branch in enumerate((item.trunk, *item.branches)):
                start, end = end, end + len(branch.ids)
                if end > self.length:
                    end = start
                    continue
                ids[row, start:end] = branch.ids
                labels[row, start:end] = np.where(branch.supervised, branch.ids, IGNORED)
                branch_ids[row, start:end], sample_ids[row, start:end] = number, 0
            if not (labels[row] != IGNORED).any():
                longest = len(item.trunk.ids) + max((len(branch.ids) for branch in item.branches), default=0)
                raise DataError(
                    f"nothing supervised of row {row} fits into {self.length} tokens",
                    got=f"{len(item.trunk.ids)} tokens of trunk, {longest} with its longest branch",
                    fix="raise the length, or shorten the row",
                )
        batch = {"input_ids": ids, "labels": labels, "branch_ids": branch_ids, "sample_ids": sample_ids}
        pictures = [row.picture for row in rows if row.picture is not None]
        if pictures and self.read_pictures is not None:
            read = self.read_pictures(pictures)
            batch |= {name: np.asarray(read[name]) for name in ("pixel_values", "image_grid_thw")}
        return {name: torch.from_numpy(value) for name, value in batch.items()}
