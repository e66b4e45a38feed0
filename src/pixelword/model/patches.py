"""From pixels to vectors of the decoder's width: the only weights that see pixels.

Legend: P patches of all images · M merged tokens (P / merge²) · C channels between the convolutions · D decoder width.

    patch -> linear -> GELU -> 2-D rotation by (column, row) -> linear over merge x merge patches

Both convolutions have stride = kernel, so each is a matrix product over its window; the weights keep the released 4-D
shapes and are viewed as matrices. Patches of images of all sizes go through in one product, with no padded canvas.

Source: NEO, section 3.1; the released code (a rotation) differs from the paper's equation 1 (an added sinusoid), and
`patch_position` offers both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelword.errors import ShapeError
from pixelword.model.configuration import NeoVisionConfig
from pixelword.model.rope import frequencies


class NeoPatchEmbedding(nn.Module):
    """Two strided convolutions, a GELU and a 2-D position.

    Shapes:
        pixel_values (P, channels * patch²) in (channel, row, column) order, patches row by row, images one after
        the other; image_grid_thw (images, 3) of (1, rows, columns) -> (M, D), tokens row by row.

    Raises:
        ShapeError: pixels and grids do not describe the same number of patches.
    """

    def __init__(self, config: NeoVisionConfig) -> None:
        super().__init__()
        self.config = config
        patch, merge = config.patch_size, config.merge_size
        self.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, patch, stride=patch)
        self.dense_embedding = nn.Conv2d(config.hidden_size, config.llm_hidden_size, merge, stride=merge)

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        conv1, conv2, merge = self.patch_embedding, self.dense_embedding, self.config.merge_size
        self._check(pixel_values, image_grid_thw)
        order, column, row = (index.to(pixel_values.device) for index in merged_order(image_grid_thw, merge))
        pixels_PK = pixel_values[order].to(conv1.weight.dtype)
        hidden_PC = F.gelu(F.linear(pixels_PK, conv1.weight.flatten(1), conv1.bias))
        side = max(image_grid_thw.flatten().tolist(), default=0)
        hidden_PC = self._place(hidden_PC, column, row, side).to(conv1.weight.dtype)
        # Four neighbours stand together as (dy, dx, C), so the kernel (D, C, dy, dx) is read in that order.
        window_MK = hidden_PC.reshape(-1, merge * merge * hidden_PC.shape[-1])
        return F.linear(window_MK, conv2.weight.permute(0, 2, 3, 1).flatten(1), conv2.bias)

    def _place(self, hidden_PC: Tensor, column: Tensor, row: Tensor, side: int) -> Tensor:
        """Put the position in; `side` is larger than every column and row."""
        theta, half = float(self.config.rope_theta_vision), hidden_PC.shape[-1] // 2
        if self.config.patch_position == "none":
            return hidden_PC
        frequency = frequencies(theta, half).to(hidden_PC.device)
        angle = torch.arange(side, device=hidden_PC.device)[:, None] * frequency
        table = torch.polar(torch.ones_like(angle), angle)  # cos + i sin: a pair of channels is one complex number
        turn = torch.cat((table[column], table[row]), dim=-1)  # (P, C / 2)
        if self.config.patch_position == "sinusoidal_add":
            return hidden_PC + torch.stack((turn.imag, turn.real), dim=-1).flatten(1)
        pairs = torch.view_as_complex(hidden_PC.float().unflatten(1, (-1, 2)))
        return torch.view_as_real(pairs * turn).flatten(1)

    def _check(self, pixel_values: Tensor, image_grid_thw: Tensor) -> None:
        width = self.config.num_channels * self.config.patch_size**2
        patches = int(image_grid_thw.prod(-1).sum())
        if pixel_values.ndim != 2 or pixel_values.shape != (patches, width):
            raise ShapeError(
                f"pixel_values must be ({patches} patches, {width} values) for these grids",
                got=tuple(pixel_values.shape),
                fix="pass pixel_values and image_grid_thw as one call of the image processor returns them",
            )


def merged_order(image_grid_thw: Tensor, merge: int) -> tuple[Tensor, Tensor, Tensor]:
    """Patches reordered so that the merge x merge patches of a token stand together.

    Returns:
        order, column, row, each (P,) int64: which patch comes at each place, and its column and row in its image.
    """
    orders, columns, rows, before = [], [], [], 0
    for _, height, width in image_grid_thw.tolist():
        row, column = torch.arange(height), torch.arange(width)
        number = before + row[:, None] * width + column
        windows = number.view(height // merge, merge, width // merge, merge).transpose(1, 2)
        order = windows.flatten()
        orders.append(order)
        columns.append((order - before) % width)
        rows.append((order - before) // width)
        before += height * width
    if not orders:
        empty = torch.zeros(0, dtype=torch.long)
        return empty, empty, empty
    return torch.cat(orders), torch.cat(columns), torch.cat(rows)


class NeoVisionModel(nn.Module):
    """Holds the patch embedding under the released name `vision_model.embeddings`."""

    def __init__(self, config: NeoVisionConfig) -> None:
        super().__init__()
        self.embeddings = NeoPatchEmbedding(config)

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        return self.embeddings(pixel_values, image_grid_thw)
