"""A key/value cache with room to grow: new tokens are written in place instead of copying all old ones.

Legend: B rows · g key/value heads · K cached tokens · c channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    from pixelword.model.decoding import Decoder

ROOM = 64
"""Room is made in steps of so many tokens: at each, what is cached is copied once."""


class GrowingLayer(DynamicLayer):
    """A layer of transformers' dynamic cache whose `keys` and `values` are the first part of a larger buffer.

    Everything that a dynamic layer offers (crop, reorder, repeat, select) works as there. Those operations may replace
    `keys` and `values` by tensors of their own; the next update then moves them into a new buffer.
    """

    keys: Tensor  # None only while nothing is cached, when nobody asks
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append (B, g, N, c) keys and values; returns all of them in the dtype of the new ones."""
        if key_states.requires_grad:  # autograd cannot go back through a buffer that is written again
            return super().update(key_states, value_states)
        new = key_states.shape[-2]
        keys, values = self.extend(new, key_states, value_states)
        keys[:, :, -new:] = key_states
        values[:, :, -new:] = value_states
        return keys.to(key_states.dtype), values.to(value_states.dtype)

    def extend(self, new: int, key_like: Tensor, value_like: Tensor) -> tuple[Tensor, Tensor]:
        """Lengthen by `new` tokens that the caller fills in; `*_like` tell rows, heads, channels, dtype and device."""
        past = self.get_seq_length()
        total = past + new
        if not self._fits(total, key_like):
            self._move(past, total, key_like, value_like)
        assert self.room is not None
        self.keys, self.values = self.room[0][:, :, :total], self.room[1][:, :, :total]
        return self.keys, self.values

    def _fits(self, total: int, key_like: Tensor) -> bool:
        if self.room is None or total > self.room[0].shape[2] or self.room[0].shape[0] != key_like.shape[0]:
            return False
        # After an operation that made tensors of its own, the buffer does not hold what is cached.
        return self.get_seq_length() == 0 or (
            self.keys.data_ptr() == self.room[0].data_ptr() and self.values.data_ptr() == self.room[1].data_ptr()
        )

    def _move(self, past: int, total: int, key_like: Tensor, value_like: Tensor) -> None:
        capacity = -(-total // ROOM) * ROOM
        room = []
        for like, cached in ((key_like, self.keys), (value_like, self.values)):
            kept = cached if past else like
            rows, heads, _, channels = like.shape
            buffer = torch.zeros((rows, heads, capacity, channels), dtype=kept.dtype, device=kept.device)
            if past:
                buffer[:, :, :past] = cached
            room.append(buffer)
        self.room = room[0], room[1]
        self.dtype, self.device, self.is_initialized = room[0].dtype, room[0].device, True

    def reset(self) -> None:
        super().reset()
        self.room = None


class DecodingCache(Cache):
    """The cache that `generate()` uses where a `Decoder` serves the model; it names the decoder that fills it.

    Args:
        decoder: computes with fused weights; None makes this an ordinary cache.
        layers: number of layers of the model.
    """

    layers: list[GrowingLayer]  # type: ignore[assignment]

    def __init__(self, decoder: Decoder | None, layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(layers)])
        self.decoder = decoder

    def __deepcopy__(self, memo: dict[int, Any]) -> DecodingCache:
        """Copies what is cached; the decoder is shared."""
        copied = DecodingCache(self.decoder, 0)
        for old in self.layers:
            layer = GrowingLayer()
            if old.get_seq_length():
                layer.update(old.keys, old.values)
            copied.layers.append(layer)
        memo[id(self)] = copied
        return copied
