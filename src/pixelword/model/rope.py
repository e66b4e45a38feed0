"""Native-RoPE and its rivals: which axis and frequency turns which pair of channels.

Legend: B rows · N tokens · d head_dim · a head's query and key hold d channels for T, d/2 for H and d/2 for W.

A rotary scheme is a table of d pairs, each with an axis (0 T, 1 H, 2 W) and a frequency; pairs 0..d/2-1 lie in the
T part, the next d/4 in the H part, the last d/4 in the W part. Inside a part, pair i joins channels i and i + half
(half-split). Everything else is `angle = index[axis] * frequency`.

Source: NEO, equation 2, figure 1 and table 3. What the paper leaves open for the rival schemes (how the extra
channels turn) is an interpretation, named by `rope_extra`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixelword.model.configuration import NeoTextConfig

T, H, W = 0, 1, 2


def axes_of_pairs(scheme: str, pairs: int) -> list[int]:
    """Axis of each of `pairs` frequency pairs, from the highest frequency to the lowest.

    Source: NEO, figure 1, which draws the allocation for 64 pairs; other widths keep its proportions.
    """
    quarter = pairs // 4
    if scheme == "1d":
        return [T] * pairs
    if scheme == "il":  # T H W in turn; the lowest frequencies (4 of 64) stay with T
        cycled = pairs * 60 // 64 // 3 * 3
        return [(T, H, W)[pair % 3] if pair < cycled else T for pair in range(pairs)]
    if scheme == "m":  # contiguous sections 16/24/24 of 64
        middle = quarter + (pairs - quarter) // 2
        return [T if pair < quarter else H if pair < middle else W for pair in range(pairs)]
    if scheme == "mm":
        return [(T, T, H, W, H, W, H, W)[pair % 8] for pair in range(pairs)]
    assert scheme == "video", scheme  # H W in turn; the lowest quarter is T
    return [(H, W)[pair % 2] if pair < pairs - quarter else T for pair in range(pairs)]


def frequencies(base: float, channels: int) -> Tensor:
    """base^(-2i/channels) for i < channels / 2, float32, computed as transformers does."""
    return 1.0 / (base ** (torch.arange(0, channels, 2, dtype=torch.float32) / channels))


def pair_table(config: NeoTextConfig) -> tuple[Tensor, Tensor]:
    """(axis, frequency), each (d,): the whole rotary scheme of a configuration."""
    d, base = config.head_dim, float(config.rope_theta)
    if config.rope_scheme == "native":
        spatial = frequencies(float(config.rope_theta_hw), d // 2)
        axis = torch.tensor([T] * (d // 2) + [H] * (d // 4) + [W] * (d // 4))
        return axis, torch.cat((frequencies(base, d), spatial, spatial))
    if config.rope_extra == "joint":
        return torch.tensor(axes_of_pairs(config.rope_scheme, d)), frequencies(base, 2 * d)
    extra_scheme = "1d" if config.rope_extra == "t_only" else config.rope_scheme
    extra = axes_of_pairs(extra_scheme, d // 4)
    axis = torch.tensor(axes_of_pairs(config.rope_scheme, d // 2) + extra + extra)
    half = frequencies(base, d // 2)
    return axis, torch.cat((frequencies(base, d), half, half))


class NeoRotaryEmbedding(nn.Module):
    """Turns the indices of tokens into the cosines and sines that all layers share.

    Args:
        config: decides the table of pairs.

    Shapes:
        position_ids (3, B, N) -> cos, sin (B, N, d), float32 angles, in the dtype asked for.
    """

    axis: Tensor
    frequency: Tensor

    def __init__(self, config: NeoTextConfig) -> None:
        super().__init__()
        self.config = config
        axis, frequency = self.table()
        self.register_buffer("axis", axis, persistent=False)
        self.register_buffer("frequency", frequency, persistent=False)

    def table(self) -> tuple[Tensor, Tensor]:
        """(axis, frequency), each (d,). A position scheme of one's own is a subclass with another table."""
        return pair_table(self.config)

    def _apply(self, fn: Any, recurse: bool = True) -> NeoRotaryEmbedding:
        """Follow to another device, but stay in float32: bfloat16 frequencies turn late tokens by wrong angles."""
        super()._apply(fn, recurse)
        if self.frequency.dtype != torch.float32:
            self.frequency = self.table()[1].to(self.frequency.device)
        return self

    @torch.no_grad()
    def forward(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        index = position_ids.to(torch.float32)[self.axis]  # (d, B, N)
        angle = index.permute(1, 2, 0) * self.frequency
        return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn one part of a head: x (B, heads, N, 2p), cos and sin (B, N, p); half-split pairs (i, i + p)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
