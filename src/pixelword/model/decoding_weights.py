"""The weights of the decoder arranged for generating: fewer, larger products, in the order a CPU reads fastest.

Legend: D width · h query heads · g key/value heads · d head_dim · M mlp width · V vocabulary.

Three rearrangements of the same numbers:
  * all products that read the same vector are one: q, q_hw, k, k_hw, v, and gate, up;
  * rows are ordered head by head as (T, H, W), so that a head's parts lie side by side and need no concatenation;
  * matrices are stored (in, out), or packed by oneDNN: for bfloat16 instructions, and in float32 for several rows.

They are copies: they cost the size of the blocks and the head once more, and `is_current` says when they are old.
"""

from __future__ import annotations

import itertools
import operator
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from pixelword.model.layers import NeoDecoderLayer, NeoRMSNorm
    from pixelword.model.modeling import NeoForConditionalGeneration


class Packed(NamedTuple):
    """A matrix in oneDNN's own layout, held outside of compiled graphs, which cannot take such tensors.

    Attributes:
        number: its place in the table of packed matrices.
        width: how many outputs it has.
    """

    number: int
    width: int


Matrix = Tensor | Packed
"""(in, out) strided, or packed."""

_packed: dict[int, Tensor] = {}
_numbers = itertools.count()
_library = torch.library.Library("pixelword", "DEF")
_library.define("packed_linear(Tensor x, SymInt number, int width) -> Tensor")


def _packed_linear(x: Tensor, number: int, width: int) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, _packed[number], None, "none", [], "")
    return out


def _packed_linear_shape(x: Tensor, number: int, width: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], width)


_library.impl("packed_linear", _packed_linear, "CPU")
torch.library.register_fake("pixelword::packed_linear", _packed_linear_shape, lib=_library)


def product(x: Tensor, matrix: Matrix) -> Tensor:
    """(n, in) times a matrix: (n, out)."""
    if isinstance(matrix, Packed):
        out: Tensor = torch.ops.pixelword.packed_linear(x, matrix.number, matrix.width)
        return out
    return torch.mm(x, matrix)


def sum_product(residual: Tensor, x: Tensor, matrix: Matrix) -> Tensor:
    """residual + x times a matrix."""
    if isinstance(matrix, Packed):
        return residual + product(x, matrix)
    return torch.addmm(residual, x, matrix)


class LayerWeights(NamedTuple):
    """One block. The weights of the norms in front of `qkv` and `gate_up` are multiplied into them.

    Attributes:
        qkv: D -> (h + g) * 2d + g * d; queries, keys (each head T, H, W), values.
        keys_values: D -> g * 2d + g * d, the last part of `qkv`; in the last block only, where few queries are needed.
        out: h * d -> D.
        gate_up: D -> 2M.
        down: M -> D.
    """

    qkv: Matrix
    keys_values: Matrix | None
    out: Matrix
    gate_up: Matrix
    down: Matrix


class DecodingWeights(NamedTuple):
    """The whole decoder.

    Attributes:
        words: (V, D), the word embedding itself, not a copy.
        layers: the blocks.
        norm_qk: (blocks, h + g, 2d) float32, the norms' weights of every head, those of queries times 1 / sqrt(d).
        head: D -> V, the final norm's weight multiplied into it.
    """

    words: Tensor
    layers: tuple[LayerWeights, ...]
    norm_qk: Tensor
    head: Matrix


PACKED_FROM = 4
"""Rows from which packed float32 weights are read faster than strided ones; for one row they are slower."""


def should_pack(dtype: torch.dtype, device: torch.device, rows: int) -> bool:
    """Whether oneDNN should arrange the weights: bfloat16 where the CPU multiplies it, float32 for several rows."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.float32:
        return rows >= PACKED_FROM
    return dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class WeightCopies:
    """Builds `DecodingWeights` from a model and frees their packed parts when it goes.

    Args:
        model: what to copy from; only its tensors are read, it is not kept.
        dtype: of the copies.
        rows: of the batch that is answered; it decides how float32 matrices are arranged.
    """

    def __init__(self, model: NeoForConditionalGeneration, dtype: torch.dtype, rows: int = 1) -> None:
        self.dtype = dtype
        self._numbers: list[int] = []
        self._pack = should_pack(dtype, model.device, rows)
        self._parameters = list(model.parameters())
        self._marks, self._norms = marks(self._parameters), norms(self._parameters)
        weakref.finalize(self, _free, self._numbers)
        text = model.model.language_model
        last = len(text.layers) - 1
        with torch.no_grad():
            self.weights = DecodingWeights(
                words=text.embed_tokens.weight.detach(),
                layers=tuple(self._layer(layer, number == last) for number, layer in enumerate(text.layers)),
                norm_qk=torch.stack([_norm_of_heads(layer.self_attn) for layer in text.layers]),
                head=self._matrix(model.lm_head.weight, behind=text.norm),
            )

    def is_current(self, model: NeoForConditionalGeneration) -> bool:
        """False once a weight of the model was changed, replaced or moved, by whatever means.

        Reads every weight once, since writes through `.data` leave no mark: as long as one token takes.
        """
        parameters = list(model.parameters())
        same = len(parameters) == len(self._parameters) and all(map(operator.is_, parameters, self._parameters))
        return same and self.is_marked_current() and norms(parameters) == self._norms

    def suits(self, device: torch.device, rows: int) -> bool:
        """Whether the matrices are arranged as so many rows want them."""
        return self._pack == should_pack(self.dtype, device, rows)

    def is_marked_current(self) -> bool:
        """The part of `is_current` that costs microseconds: no in-place write and no move since the copy."""
        return marks(self._parameters) == self._marks

    def _matrix(self, *parts: Tensor, behind: NeoRMSNorm | None = None) -> Matrix:
        rows = torch.cat([part.detach() for part in parts])
        if behind is not None:
            rows = rows.float() * behind.weight.detach().float()
        rows = rows.to(self.dtype)
        if not self._pack:
            return rows.t().contiguous()
        number = next(_numbers)
        _packed[number] = torch.ops.mkldnn._reorder_linear_weight(rows)
        self._numbers.append(number)
        return Packed(number, rows.shape[0])

    def _layer(self, layer: NeoDecoderLayer, is_last: bool) -> LayerWeights:
        attention, mlp, d = layer.self_attn, layer.mlp, layer.self_attn.head_dim

        def head_by_head(time: nn.Linear, spatial: nn.Linear) -> Tensor:
            parts = [module.weight.detach().unflatten(0, (-1, d)) for module in (time, spatial)]
            return torch.cat(parts, dim=1).flatten(0, 1)

        queries = head_by_head(attention.q_proj, attention.q_proj_hw)
        keys_values = head_by_head(attention.k_proj, attention.k_proj_hw), attention.v_proj.weight
        norm = layer.input_layernorm
        return LayerWeights(
            qkv=self._matrix(queries, *keys_values, behind=norm),
            keys_values=self._matrix(*keys_values, behind=norm) if is_last else None,
            out=self._matrix(attention.o_proj.weight),
            gate_up=self._matrix(mlp.gate_proj.weight, mlp.up_proj.weight, behind=layer.post_attention_layernorm),
            down=self._matrix(mlp.down_proj.weight),
        )


def _norm_of_heads(attention: Any) -> Tensor:
    """(h + g, 2d) float32."""
    query = torch.cat([norm.weight for norm in (attention.q_norm, attention.q_norm_h, attention.q_norm_w)])
    key = torch.cat([norm.weight for norm in (attention.k_norm, attention.k_norm_h, attention.k_norm_w)])
    heads = attention.config.num_attention_heads, attention.config.num_key_value_heads
    scaled = query.detach().float() * attention.scaling
    return torch.cat((scaled.expand(heads[0], -1), key.detach().float().expand(heads[1], -1)))


def _free(numbers: list[int]) -> None:
    for number in numbers:
        _packed.pop(number, None)


def marks(parameters: list[nn.Parameter]) -> list[tuple[int, int]]:
    """Where every parameter lies and how often it was written in place."""
    return [(parameter.data_ptr(), parameter._version) for parameter in parameters]


@torch.no_grad()
def norms(parameters: list[nn.Parameter]) -> list[float]:
    """The Euclidean norm of every parameter."""
    values: list[float] = torch.stack([norm.float() for norm in torch._foreach_norm(list[Tensor](parameters))]).tolist()
    return values
