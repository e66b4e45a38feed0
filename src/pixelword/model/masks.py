"""Three renderings of one rule: `TokenLayout.allows`.

Legend: B rows · N queries · K keys · Q, C blocks of queries and of keys.

  * `dense_mask`: a (B, 1, N, K) boolean table, for any kernel.
  * `key_limits`: per query the first and last key, where one span says it all; `row_blocks` cuts it into pieces for a
    kernel that looks, for a run of queries, only at the keys that one of them needs.
  * `block_mask`: flex_attention's BlockMask, computed from the spans in O(N + Q C), never pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from pixelword.model.layout import TokenLayout

FLEX_BLOCK = 128
ROW_BLOCK = 128
"""Most queries of a block of `row_blocks`; 128 was found best on CPUs for samples of some hundred tokens."""
WORTH_A_CUT = 2**13
"""Pairs of query and key that two blocks must spare over one: the time that a block costs besides its pairs."""


def dense_mask(layout: TokenLayout, keys: int) -> Tensor:
    """(B, 1, N, K) bool, True where a query may attend to a key. Every row has a True, so softmax is defined.

    Args:
        layout: the tokens that ask.
        keys: K, how many keys there are; more than the layout knows when a static cache is longer than what it holds.
    """
    key = torch.arange(keys, device=layout.own_first.device)
    allowed = (key >= layout.own_first[..., None]) & (key <= layout.own_last[..., None])
    allowed |= (key >= layout.trunk_first[..., None]) & (key <= layout.trunk_last[..., None])
    if layout.key_mask is not None:
        allowed &= F.pad(layout.key_mask, (0, keys - layout.key_mask.shape[1]))[:, None, :]
        allowed |= key == layout.places[..., None]
    return allowed[:, None]


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as the summand that eager attention adds to the scores: 0 or minus infinity."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, float("-inf"))


def key_limits(layout: TokenLayout) -> tuple[Tensor, Tensor] | None:
    """(first, last), each (B, N): the one span of keys that each query sees; None where some query needs two spans."""
    if layout.key_mask is not None or bool((layout.trunk_last >= layout.trunk_first).any()):
        return None
    return layout.own_first, layout.own_last


class RowBlock(NamedTuple):
    """Queries `rows` need the keys `keys` only, and of those what `allowed` (B, 1, rows, keys) says."""

    rows: slice
    keys: slice
    allowed: Tensor


def row_blocks(layout: TokenLayout, block: int = ROW_BLOCK, worth: int = WORTH_A_CUT) -> list[RowBlock] | None:
    """The rule as blocks of at most `block` queries, each with the narrowest range of keys; None where spans are two.

    Queries are cut where samples and pictures begin and end, and longer runs evenly. The pairs that are computed
    shrink from N x K to about half for one picture and a text, and to the samples' own squares for a packed row.

    Args:
        layout: the tokens that ask.
        block: most queries of a block.
        worth: pairs that a cut must spare to be made.
    """
    limits = key_limits(layout)
    if limits is None:
        return None
    first, last = limits
    blocks = []
    for rows, keys in _row_spans(first, last, block, worth):
        key = torch.arange(keys.start, keys.stop, device=first.device)
        allowed = (key >= first[:, rows, None]) & (key <= last[:, rows, None])
        blocks.append(RowBlock(rows, keys, allowed[:, None]))
    return blocks


def _row_spans(first: Tensor, last: Tensor, block: int, worth: int) -> list[tuple[slice, slice]]:
    """Queries and keys of each block."""
    step = last.diff(prepend=last[:, :1] - 1)  # 1 along words, 0 within a picture
    begins = (first.diff() != 0) | (step[:, 1:] > 1) | (step.diff() == 1)
    edges = [0, *(begins.any(0).nonzero().flatten() + 1).tolist(), first.shape[1]]
    lowest, highest = first.amin(0).tolist(), last.amax(0).tolist()
    spans: list[tuple[slice, slice]] = []
    for start, end in pairwise(edges):
        pieces = -(-(end - start) // block)
        inner = [start + (end - start) * piece // pieces for piece in range(pieces + 1)]
        for rows in (slice(*two) for two in pairwise(inner)):
            keys = slice(min(lowest[rows]), max(highest[rows]) + 1)
            joined = _joined(spans[-1], (rows, keys)) if spans else None
            if joined and _length(joined[0]) <= block and _pairs(joined) <= _pairs(spans[-1], (rows, keys)) + worth:
                spans[-1] = joined
            else:
                spans.append((rows, keys))
    return spans


def _joined(one: tuple[slice, slice], next_one: tuple[slice, slice]) -> tuple[slice, slice]:
    (rows, keys), (next_rows, next_keys) = one, next_one
    both = slice(min(keys.start, next_keys.start), max(keys.stop, next_keys.stop))
    return slice(rows.start, next_rows.stop), both


def _pairs(*spans: tuple[slice, slice]) -> int:
    return sum(_length(rows) * _length(keys) for rows, keys in spans)


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def block_mask(layout: TokenLayout, keys: int, block: int = FLEX_BLOCK) -> BlockMask:
    """flex_attention's sparse mask of the same rule.

    A block of keys is skipped when no query of the block reaches it, taken whole when every query sees all of it,
    and evaluated pair by pair by the kernel otherwise. Which is which follows from minima and maxima of the spans:
    O(N + Q C) numbers instead of the N x K pairs that `create_block_mask` evaluates.

    Args:
        layout: the tokens that ask.
        keys: K, how many keys there are.
        block: side of a block in tokens.
    """
    reached, whole = _block_relations(layout, keys, block)
    partial_count, partial_index = _listed(reached & ~whole)
    full_count, full_index = _listed(whole)
    return BlockMask.from_kv_blocks(
        partial_count,
        partial_index,
        full_count,
        full_index,
        BLOCK_SIZE=block,
        mask_mod=_mask_mod(layout, keys),
        seq_lengths=(layout.own_first.shape[1], keys),
    )


def _block_relations(layout: TokenLayout, keys: int, block: int) -> tuple[Tensor, Tensor]:
    """(reached, whole), each (B, Q, C) bool. `reached` may include a block that no pair needs, never the reverse."""
    device = layout.own_first.device
    start = torch.arange(0, keys, block, device=device)
    end = (start + block).clamp(max=keys) - 1
    reached = whole = torch.zeros(0)
    for number, (first, last) in enumerate(
        ((layout.own_first, layout.own_last), (layout.trunk_first, layout.trunk_last))
    ):
        first_QB, last_QB = _blocks(first, block), _blocks(last, block)
        some = (first_QB.amin(-1)[..., None] <= end) & (last_QB.amax(-1)[..., None] >= start)
        every = (first_QB.amax(-1)[..., None] <= start) & (last_QB.amin(-1)[..., None] >= end)
        reached, whole = (some, every) if number == 0 else (reached | some, whole | every)
    if layout.key_mask is not None:
        known = layout.key_mask.shape[1]
        real = F.pad(layout.key_mask, (0, len(start) * block - known)).unflatten(1, (-1, block))
        inside = torch.arange(len(start) * block, device=device).unflatten(0, (-1, block)) < keys
        whole = whole & (real | ~inside).all(-1)[:, None, :]
    return reached, whole & reached


def _blocks(vector: Tensor, block: int) -> Tensor:
    """(B, N) -> (B, Q, block); the last block is filled up with copies of its last token."""
    missing = -vector.shape[1] % block
    filled = torch.cat((vector, vector[:, -1:].expand(-1, missing)), dim=1) if missing else vector
    return filled.unflatten(1, (-1, block))


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """A (B, Q, C) table as flex_attention wants it: how many per row, and their numbers first."""
    count = blocks.sum(-1, dtype=torch.int32)
    index = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True).to(torch.int32)
    return count[:, None], index[:, None]


def _mask_mod(layout: TokenLayout, keys: int) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    own_first, own_last = layout.own_first, layout.own_last
    trunk_first, trunk_last = layout.trunk_first, layout.trunk_last

    def span(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        own = (k >= own_first[b, q]) & (k <= own_last[b, q])
        return own | ((k >= trunk_first[b, q]) & (k <= trunk_last[b, q]))

    if layout.key_mask is None:
        return span
    real = F.pad(layout.key_mask, (0, keys - layout.key_mask.shape[1]))
    places = layout.places

    def span_of_real_keys(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (span(b, h, q, k) & real[b, k]) | (k == places[b, q])

    return span_of_real_keys
