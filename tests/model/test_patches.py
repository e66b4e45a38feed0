"""The patch embedding against strided convolutions on whole pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pixelword import ShapeError
from pixelword.model.patches import NeoPatchEmbedding

from .conftest import small_config

GRIDS = torch.tensor([(1, 4, 6), (1, 2, 2), (1, 6, 2)])


def embedding(position: str = "rotary") -> NeoPatchEmbedding:
    torch.manual_seed(0)
    return NeoPatchEmbedding(small_config(patch_position=position).vision_config)


def slow(layer: NeoPatchEmbedding, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """One image through real convolutions, its channels turned pair by pair."""
    patch = layer.config.patch_size
    picture = (
        pixels.view(rows, columns, 3, patch, patch).permute(2, 0, 3, 1, 4).reshape(1, 3, rows * patch, columns * patch)
    )
    hidden = F.gelu(layer.patch_embedding(picture))[0]  # (C, rows, columns)
    turned, half = hidden.clone(), hidden.shape[0] // 2
    for channel in range(0, hidden.shape[0], 2):
        axis = torch.arange(columns)[None, :] if channel < half else torch.arange(rows)[:, None]
        angle = axis * 10000.0 ** (-float(channel % half) / half)
        even, odd = hidden[channel], hidden[channel + 1]
        if layer.config.patch_position == "rotary":
            turned[channel] = even * angle.cos() - odd * angle.sin()
            turned[channel + 1] = even * angle.sin() + odd * angle.cos()
        elif layer.config.patch_position == "sinusoidal_add":
            turned[channel] = even + angle.sin()
            turned[channel + 1] = odd + angle.cos()
    return layer.dense_embedding(turned[None])[0].flatten(1).T


@pytest.mark.parametrize("position", ["rotary", "sinusoidal_add", "none"])
@torch.no_grad()
def test_matrix_products_equal_convolutions_image_by_image(position):
    layer = embedding(position)
    pixels = torch.randn(int(GRIDS.prod(-1).sum()), 12)
    together = layer(pixels, GRIDS)
    alone = [
        slow(layer, part, int(grid[1]), int(grid[2]))
        for part, grid in zip(pixels.split(GRIDS.prod(-1).tolist()), GRIDS, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_and_columns_are_not_the_same_thing():
    layer, pixels = embedding(), torch.randn(24, 12)
    wide, tall = layer(pixels, torch.tensor([(1, 4, 6)])), layer(pixels, torch.tensor([(1, 6, 4)]))
    assert not torch.allclose(wide, tall)


def test_pixels_that_do_not_fit_the_grids_are_named():
    with pytest.raises(ShapeError, match=r"40 patches, 12 values"):
        embedding()(torch.randn(39, 12), GRIDS)


def test_no_image_at_all_gives_no_tokens():
    assert embedding()(torch.zeros(0, 12), torch.zeros(0, 3, dtype=torch.long)).shape == (0, 48)
