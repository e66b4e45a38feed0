"""The decoder's formulas on rearranged weights, as plain functions that run as they are or compiled.

Legend: n tokens of all rows together · B rows · K keys · D width · h query heads · g key/value heads · d head_dim.

The same formulas as in `layers.py`, with three differences that leave the numbers equal up to rounding: products that
read one vector are one, both parts of a constants are two multiplications with tables over all 2d channels, and a
group of query heads meets its key head in one product instead of repeating keys and values.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelword.model.decoding_weights import DecodingWeights, LayerWeights, product, sum_product


class Dimensions(NamedTuple):
    """What the formulas need to know of a configuration."""

    heads: int
    kv_heads: int
    head_dim: int


class Constants(NamedTuple):
    """Small tensors that the formulas read.

    Attributes:
        axis, frequency: (d,), which index turns a pair of channels, and how fast.
        pair, sign: (2d,), which pair a channel belongs to, and the sign of its sine.
        partner: (8,), the eighth of a head that each eighth turns into: whole eighths are copied faster than channels.
        mean: (4, 4), from the sums of squares of a head's quarters to the mean square of the part that each quarter
            belongs to: T has two quarters, H and W one each.
        eps: (), of all norms.
    """

    axis: Tensor
    frequency: Tensor
    pair: Tensor
    sign: Tensor
    partner: Tensor
    mean: Tensor
    eps: Tensor


class BiasedBlock(NamedTuple):
    """Queries `rows` see the keys `keys`, those at minus infinity in `bias` (B, 1, rows, keys) excepted."""

    rows: slice
    keys: slice
    bias: Tensor | None


def constants_of(axis: Tensor, frequency: Tensor, eps: float) -> Constants:
    """The constants of half-split parts of widths d, d/2, d/2, each turned within itself."""
    d = len(axis)
    pair, sign, start = [], [], 0
    for width in (d, d // 2, d // 2):
        half = width // 2
        pairs = list(range(start // 2, start // 2 + half))
        pair += pairs + pairs
        sign += [-1.0] * half + [1.0] * half
        start += width
    mean = [[1 / d, 1 / d, 0.0, 0.0], [1 / d, 1 / d, 0.0, 0.0], [0.0, 0.0, 2 / d, 0.0], [0.0, 0.0, 0.0, 2 / d]]
    made = (torch.tensor(values, device=axis.device) for values in (pair, sign, [2, 3, 0, 1, 5, 4, 7, 6], mean, eps))
    return Constants(axis, frequency, *made)


def tables(position_ids: Tensor, constants: Constants) -> tuple[Tensor, Tensor]:
    """Indices (3, n) -> cosines and signed sines (n, 2d), float32."""
    angle = position_ids.to(torch.float32)[constants.axis].t() * constants.frequency
    return angle.cos()[:, constants.pair], angle.sin()[:, constants.pair] * constants.sign


def weighted_tables(cos_sin: tuple[Tensor, Tensor], norm_qk: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Tables (n, 2d) times the norms' weights (..., heads, 2d) -> (..., n, heads, 2d): norm and constants in one."""
    cos, sin = cos_sin
    return norm_qk[..., None, :, :] * cos[:, None], partners(norm_qk, partner)[..., None, :, :] * sin[:, None]


def partners(x: Tensor, partner: Tensor) -> Tensor:
    """The channel that each channel of (..., 2d) turns with."""
    return x.unflatten(-1, (8, -1)).index_select(-2, partner).flatten(-2)


def normed(x: Tensor, eps: Tensor) -> Tensor:
    """x / rms(x), computed in float32, in x's dtype; the weight of the norm is inside the matrix that comes next."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return (x * torch.addcmul(eps, length, length, value=1 / x.shape[-1]).rsqrt()).to(x.dtype)


def turned(x: Tensor, cos_sin: tuple[Tensor, Tensor], constants: Constants) -> Tensor:
    """Norm of each part of each head, then its rotation: (n, heads, 2d), weighted tables -> the same shape, dtype."""
    quarters = x.unflatten(-1, (4, -1))
    square = torch.linalg.vector_norm(quarters, dim=-1, dtype=torch.float32).square()
    mean = (square.unsqueeze(-2) * constants.mean).sum(-1, keepdim=True)
    y = (quarters * (mean + constants.eps).rsqrt()).flatten(-2)
    cos, sin = cos_sin
    return torch.addcmul(y * cos, partners(y, constants.partner), sin).to(x.dtype)


def queries_keys_values(
    x: Tensor, layer: LayerWeights, cos_sin: tuple[Tensor, Tensor], constants: Constants, size: Dimensions
) -> tuple[Tensor, Tensor, Tensor]:
    """(n, D) -> queries (n, h, 2d), scale included, keys (n, g, 2d), values (n, g, d)."""
    d = size.head_dim
    heads, values = product(normed(x, constants.eps), layer.qkv).split(
        ((size.heads + size.kv_heads) * 2 * d, size.kv_heads * d), dim=1
    )
    queries, keys = turned(heads.unflatten(1, (-1, 2 * d)), cos_sin, constants).split(
        (size.heads, size.kv_heads), dim=1
    )
    return queries, keys, values.unflatten(1, (-1, d))


def before_attention(
    x: Tensor,
    layer: LayerWeights,
    cos_sin: tuple[Tensor, Tensor],
    norm_qk: Tensor,
    constants: Constants,
    size: Dimensions,
) -> tuple[Tensor, Tensor, Tensor]:
    """`queries_keys_values` from plain tables, for many tokens."""
    return queries_keys_values(x, layer, weighted_tables(cos_sin, norm_qk, constants.partner), constants, size)


def keys_values(
    x: Tensor, layer: LayerWeights, cos_sin: tuple[Tensor, Tensor], constants: Constants, size: Dimensions
) -> tuple[Tensor, Tensor]:
    """Keys and values alone, for tokens whose queries nobody needs."""
    assert layer.keys_values is not None
    d = size.head_dim
    heads, values = product(normed(x, constants.eps), layer.keys_values).split(
        (size.kv_heads * 2 * d, size.kv_heads * d), dim=1
    )
    cos, sin = (table[:, size.heads :] for table in cos_sin)
    return turned(heads.unflatten(1, (-1, 2 * d)), (cos, sin), constants), values.unflatten(1, (-1, d))


def after_attention(x: Tensor, attended: Tensor, layer: LayerWeights, constants: Constants) -> Tensor:
    """Output projection, residual, gated MLP, residual: x (n, D), attended (n, h * d) -> (n, D)."""
    x = sum_product(x, attended, layer.out)
    gate, up = product(normed(x, constants.eps), layer.gate_up).chunk(2, dim=1)
    return sum_product(x, F.silu(gate) * up, layer.down)


def attend_one(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """One query per row: (B, h, 2d), (B * g, K, 2d), (B * g, K, d), (B, K) additive or None -> (B, h * d)."""
    rows, length = query.shape[0], keys.shape[1]
    scores = torch.bmm(query.reshape(keys.shape[0], -1, keys.shape[2]), keys.transpose(1, 2))
    if bias is not None:
        scores = (scores.view(rows, -1, length) + bias[:, None]).view_as(scores)
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return torch.bmm(weights, values).view(rows, -1)


def attend_blocks(query: Tensor, keys: Tensor, values: Tensor, blocks: list[BiasedBlock]) -> Tensor:
    """Many queries, in blocks: (B, h, N, 2d), (B, g, K, 2d), (B, g, K, d) -> (B, N, h, d).

    All query heads of a key head are one product, and values keep their width. In float32 that is less work than
    torch's fused kernel, which wants values as wide as keys; in bfloat16 the kernel is faster.
    """
    rows, kv_heads = keys.shape[:2]
    pieces = []
    for block in blocks:
        some = query[:, :, block.rows]
        grouped = some.reshape(rows * kv_heads, -1, some.shape[-1])
        scores = torch.bmm(grouped, keys[:, :, block.keys].flatten(0, 1).transpose(1, 2))
        if block.bias is not None:
            scores.view(*some.shape[:3], -1).add_(block.bias)
        weights = F.softmax(scores, dim=-1)
        mixed = torch.bmm(weights, values[:, :, block.keys].flatten(0, 1))
        pieces.append(mixed.view(*some.shape[:3], -1).transpose(1, 2))
    return torch.cat(pieces, dim=1)


def logits_of(x: Tensor, weights: DecodingWeights, constants: Constants) -> Tensor:
    """(n, D) -> (n, V)."""
    return product(normed(x, constants.eps), weights.head)


def one_token(
    input_ids: Tensor,
    position_ids: Tensor,
    place: Tensor,
    keys: tuple[Tensor, ...],
    values: tuple[Tensor, ...],
    bias: Tensor | None,
    weights: DecodingWeights,
    constants: Constants,
    size: Dimensions,
    dtype: torch.dtype,
) -> Tensor:
    """The next token of every row: ids (B,), indices (3, B) -> logits (B, V).

    `keys` and `values` hold one (B * g, K, 2d) and (B * g, K, d) per block; the token is written at `place` (1,) of
    each. `bias` (B, K) hides what is padding or not written yet.
    """
    x = F.embedding(input_ids, weights.words).to(dtype)
    cos, sin = weighted_tables(tables(position_ids, constants), weights.norm_qk, constants.partner)
    cos_sin = zip(cos.unbind(), sin.unbind(), strict=True)
    for layer, layer_keys, layer_values, table in zip(weights.layers, keys, values, cos_sin, strict=True):
        query, key, value = queries_keys_values(x, layer, table, constants, size)
        layer_keys.index_copy_(1, place, key.flatten(0, 1)[:, None])
        layer_values.index_copy_(1, place, value.flatten(0, 1)[:, None])
        x = after_attention(x, attend_one(query, layer_keys, layer_values, bias), layer, constants)
    return logits_of(x, weights, constants)
