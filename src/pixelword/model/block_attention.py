"""Attention of packed rows for training on a CPU: block by block of queries, with the probabilities kept for backward.

Legend: B rows · N queries · K keys · h heads · g key/value heads · d head_dim; queries and keys are 2d wide.

Three savings over a fused kernel behind a dense mask, all exact:
  * a block of queries meets only the keys that one of its queries sees (the samples' own squares of a packed row);
  * all query heads of a key head are one product, values keep their width, keys are not repeated;
  * backward reads the probabilities instead of computing them again. That costs memory, so `BlockTable` is made only
    up to `SAVED_PAIRS` pairs; longer samples take the fused kernel.

The blocks are tensors, not Python slices: a compiled layer takes every packing of a row length with one compilation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pixelword.model.masks import RowBlock

SAVED_PAIRS = 2**22
"""Most pairs of a query and a key, per head, whose probabilities are kept: 16 MiB per head and layer in float32."""


class BlockTable(NamedTuple):
    """Blocks of queries as tensors.

    Attributes:
        spans: (blocks, 8) int64 on the CPU: first and behind-last query, first and behind-last key, and the same of
            the smallest rectangle within the block that holds all its hidden pairs, counted from the block's corner.
        allowed: (pairs,) bool, the (B, queries, keys) tables of all blocks, one after the other.
    """

    spans: Tensor
    allowed: Tensor


def block_table(blocks: list[RowBlock]) -> BlockTable | None:
    """The blocks as tensors; None where keeping their probabilities would cost too much memory."""
    if sum(block.allowed.numel() for block in blocks) > SAVED_PAIRS:
        return None
    spans = [
        (block.rows.start, block.rows.stop, block.keys.start, block.keys.stop, *_rectangle_of_hidden(block.allowed))
        for block in blocks
    ]
    table = BlockTable(torch.tensor(spans), torch.cat([block.allowed.flatten() for block in blocks]))
    for part in table:
        torch._dynamo.maybe_mark_dynamic(part, 0)  # one compilation for all packings
    return table


def _rectangle_of_hidden(allowed: Tensor) -> tuple[int, int, int, int]:
    """Of a (B, 1, rows, keys) table: masking a part of the scores is cheaper than masking all of them."""
    hidden = allowed[:, 0].logical_not().any(0)
    if not hidden.any():
        return 0, 0, 0, 0
    rows, keys = (hidden.any(side).nonzero().flatten() for side in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(keys[0]), int(keys[-1]) + 1


def block_attention(query: Tensor, key: Tensor, value: Tensor, table: BlockTable, scaling: float) -> Tensor:
    """softmax(q kT · scaling) v over the allowed pairs: (B, h, N, 2d), (B, g, K, 2d), (B, g, K, d) -> (B, N, h, d).

    Under autocast in its precision, as torch's own products; float64 stays.
    """
    if torch.is_autocast_enabled("cpu") and query.dtype is not torch.float64:
        precision = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(precision), key.to(precision), value.to(precision)
    out, _ = _forward(query, key, value, table.spans, table.allowed, scaling)
    return out


class _Block(NamedTuple):
    """One block: its queries, its keys, the place of its pairs in `allowed`, and where some of them are hidden."""

    rows: slice
    keys: slice
    pairs: slice
    hidden: tuple[slice, slice]

    @property
    def sides(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.keys.stop - self.keys.start


def _blocks(spans: Tensor, batch: int) -> Iterator[_Block]:
    start = 0
    for row, row_end, key, key_end, *hidden in spans.tolist():
        end = start + batch * (row_end - row) * (key_end - key)
        rectangle = slice(*hidden[:2]), slice(*hidden[2:])
        yield _Block(slice(row, row_end), slice(key, key_end), slice(start, end), rectangle)
        start = end


def _by_key_head(x_BhNc: Tensor, kv_heads: int) -> Tensor:
    """(B, h, n, c) -> (B * g, h / g * n, c): the queries of one key head together."""
    return x_BhNc.reshape(x_BhNc.shape[0] * kv_heads, -1, x_BhNc.shape[-1])


def _of_keys(x_BgKc: Tensor, keys: slice) -> Tensor:
    """(B * g, keys, c). In bfloat16 contiguous, or the products would copy it, and transposed at that."""
    part = x_BgKc[:, :, keys].flatten(0, 1)
    return part.contiguous() if part.dtype == torch.bfloat16 else part


@torch.library.custom_op("pixelword::block_attention", mutates_args=())
def _forward(
    query: Tensor, key: Tensor, value: Tensor, spans: Tensor, allowed: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    batch, heads, new, _ = query.shape
    kv_heads = key.shape[1]
    out = query.new_empty(batch, new, heads, value.shape[-1])
    kept = query.new_empty(allowed.numel() * heads)
    key = key * scaling
    for block in _blocks(spans, batch):
        some = _by_key_head(query[:, :, block.rows], kv_heads)
        scores = torch.bmm(some, _of_keys(key, block.keys).transpose(1, 2))
        if block.hidden[0].stop:
            hidden = allowed[block.pairs].view(batch, 1, *block.sides)[:, :, *block.hidden].logical_not()
            scores.view(batch, heads, *block.sides)[:, :, *block.hidden].masked_fill_(hidden, float("-inf"))
        weights = kept[block.pairs.start * heads : block.pairs.stop * heads].view_as(scores)
        torch._softmax(scores, -1, False, out=weights)
        mixed = torch.bmm(weights, _of_keys(value, block.keys))
        out[:, block.rows] = mixed.view(batch, heads, -1, mixed.shape[-1]).transpose(1, 2)
    return out, kept


@_forward.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, spans: Tensor, allowed: Tensor, scaling: float) -> object:
    batch, heads, new, _ = query.shape
    return query.new_empty(batch, new, heads, value.shape[-1]), query.new_empty(allowed.numel() * heads)


@torch.library.custom_op("pixelword::block_attention_backward", mutates_args=())
def _backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, kept: Tensor, spans: Tensor, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads = query.shape[:2]
    kv_heads = key.shape[1]
    grad_query = torch.empty_like(query, memory_format=torch.contiguous_format)  # every query is in one block
    # A key belongs to several blocks of queries: their parts are summed in float32.
    grad_key = torch.zeros(key.shape, dtype=torch.float32)
    grad_value = torch.zeros(value.shape, dtype=torch.float32)
    key = key * scaling
    for block in _blocks(spans, batch):
        some = _by_key_head(query[:, :, block.rows], kv_heads)
        weights = kept[block.pairs.start * heads : block.pairs.stop * heads].view(*some.shape[:2], -1)
        above = _by_key_head(grad[:, block.rows].transpose(1, 2), kv_heads)
        grad_value[:, :, block.keys] += torch.bmm(weights.transpose(1, 2), above).unflatten(0, (batch, -1))
        of_weights = torch.bmm(above, _of_keys(value, block.keys).transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_queries = torch.bmm(of_scores, _of_keys(key, block.keys))
        grad_query[:, :, block.rows] = of_queries.view(batch, heads, -1, key.shape[-1])
        grad_key[:, :, block.keys] += torch.bmm(of_scores.transpose(1, 2), some).unflatten(0, (batch, -1))
    return grad_query, grad_key.mul_(scaling).to(key.dtype), grad_value.to(value.dtype)


@_backward.register_fake
def _(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, kept: Tensor, spans: Tensor, scaling: float) -> object:
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (query, key, value))


def _keep(ctx: object, inputs: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, spans, _, scaling = inputs
    ctx.save_for_backward(query, key, value, output[1], spans)  # type: ignore[attr-defined]
    ctx.scaling = scaling  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)  # type: ignore[attr-defined]  # no zeros in place of the probabilities' gradient


def _differentiate(ctx: object, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    query, key, value, kept, spans = ctx.saved_tensors  # type: ignore[attr-defined]
    grads = _backward(grad, query, key, value, kept, spans, ctx.scaling)  # type: ignore[attr-defined]
    return *grads, None, None, None


torch.library.register_autograd("pixelword::block_attention", _differentiate, setup_context=_keep)
