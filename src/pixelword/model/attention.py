"""Attention kernels behind transformers' registry.

Legend: B rows · N queries · K keys · h heads · g key/value heads · d head_dim; queries and keys are 2d wide, values d.

`NEO_ATTENTION` is an `AttentionInterface`: names that transformers or a user registered globally are found through it,
and three names are ours because queries and keys are wider than values, which the stock kernels do not expect:
  * "eager": the formula, in float32 softmax, with its weights returned.
  * "sdpa": values padded to the width of the keys, so that torch's fused kernels run instead of its slow path.
  * "flex_attention": a BlockMask; where it cannot compile or differentiate, "sdpa" takes over and says so once.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers.modeling_utils import AttentionInterface

from pixelword.model.block_attention import BlockTable, block_attention, block_table
from pixelword.model.layout import TokenLayout
from pixelword.model.masks import RowBlock, additive_mask, block_mask, dense_mask, row_blocks

logger = logging.getLogger(__name__)

BLOCKWISE_FROM = 256
"""Queries from which "sdpa" on a CPU works block by block; below it one small mask is as fast."""


Mask = Tensor | BlockMask | BlockTable | list[RowBlock] | None


def render(layout: TokenLayout, keys: int, implementation: str, dtype: torch.dtype, *, training: bool = False) -> Mask:
    """The mask in the form that a kernel takes; None where plain causal attention needs none.

    Args:
        layout: who may attend to whom.
        keys: K, the length of the key sequence, cache included.
        implementation: name in the attention registry.
        dtype: of the scores, for the additive form.
        training: gradients will be asked for, without dropout.
    """
    if layout.plain and implementation != "eager":
        new = layout.own_first.shape[1]
        if new in {1, keys}:
            return None
    if implementation == "flex_attention" and layout.own_first.shape[1] > 1:
        return block_mask(layout, keys)
    on_cpu = layout.own_first.device.type == "cpu"
    if implementation == "sdpa" and on_cpu and layout.own_first.shape[1] >= BLOCKWISE_FROM:
        blocks = row_blocks(layout)
        if blocks is not None:
            return (block_table(blocks) if training else None) or blocks
    allowed = dense_mask(layout, keys)
    return additive_mask(allowed, dtype) if implementation == "eager" else allowed


def repeat_heads(x: Tensor, groups: int) -> Tensor:
    """(B, g, K, c) -> (B, g * groups, K, c): each key/value head serves `groups` consecutive query heads."""
    return x if groups == 1 else x.repeat_interleave(groups, dim=1)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ · scaling + mask) v, softmax in float32: (B, N, h, d) and the weights (B, h, N, K)."""
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_heads(key, groups).transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return (weights @ repeat_heads(value, groups)).transpose(1, 2), weights


def sdpa_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockTable | list[RowBlock] | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """torch's fused attention: (B, N, h, d). The scale is passed, or the kernel would take 1 / sqrt(2d)."""
    if isinstance(attention_mask, BlockTable):
        return block_attention(query, key, value, attention_mask, scaling), None
    if isinstance(attention_mask, list):
        pieces = [
            sdpa_attention(module, query[:, :, rows], key[:, :, keys], value[:, :, keys], allowed, scaling, dropout)[0]
            for rows, keys, allowed in attention_mask
        ]
        return torch.cat(pieces, dim=1), None
    width, new = value.shape[-1], query.shape[2]
    groups = query.shape[1] // key.shape[1]
    if query.is_cuda and attention_mask is not None:  # with a mask, CUDA has no fused kernel for grouped heads
        key, value, groups = repeat_heads(key, groups), repeat_heads(value, groups), 1
    out = F.scaled_dot_product_attention(
        query,
        key,
        F.pad(value, (0, key.shape[-1] - width)),  # unequal widths would run the unfused path, silently
        attn_mask=attention_mask,
        dropout_p=dropout if module.training else 0.0,
        is_causal=attention_mask is None and new > 1,
        scale=scaling,
        enable_gqa=groups > 1,
    )
    return out[..., :width].transpose(1, 2), None


class FlexKernel:
    """The compiled flex_attention, compiled at its first use, with a fallback that is said once.

    Attributes:
        refusal: why flex_attention is not used any more in this process; empty while it works.
    """

    def __init__(self) -> None:
        self.refusal = ""
        self._compiled: Any = None
        self._said_no_backward = False

    def usable(self, device: torch.device, needs_gradient: bool) -> bool:
        """Whether it can run here; says why not, once."""
        if device.type == "cpu" and needs_gradient and not self.refusal:
            if not self._said_no_backward:
                logger.warning("flex_attention has no backward on CPU; training uses sdpa")
            self._said_no_backward = True
            return False
        return not self.refusal

    def refuse(self, reason: str) -> None:
        if not self.refusal:
            self.refusal = reason
            logger.warning("flex_attention is replaced by sdpa with a dense mask: %s", reason)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        if self._compiled is None:
            self._compiled = torch.compile(flex_attention, dynamic=False)
        kernel = flex_attention if torch.compiler.is_compiling() else self._compiled
        return kernel(query, key, value, **options)


flex_kernel = FlexKernel()

try:
    from triton.runtime.errors import OutOfResources
except ImportError:  # triton comes with CUDA builds only
    COMPILE_ERRORS: tuple[type[Exception], ...] = (torch._dynamo.exc.TorchDynamoException,)
else:
    COMPILE_ERRORS = (torch._dynamo.exc.TorchDynamoException, OutOfResources)


def flex_attention_with_fallback(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask | Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    layout: TokenLayout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """flex_attention with a BlockMask: (B, N, h, d); plain and single-token queries go to sdpa."""
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention(module, query, key, value, attention_mask, scaling, dropout)
    if not flex_kernel.refusal:
        # Under autocast norms kept in float32 make float32 queries and keys beside bfloat16 values.
        query, key = query.to(value.dtype), key.to(value.dtype)
        try:
            out = flex_kernel(
                query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
            )
            return out.transpose(1, 2), None
        except COMPILE_ERRORS as error:
            # Reported for consumer cards whose shared memory is too small for keys of width 256.
            flex_kernel.refuse(str(error).splitlines()[0])
    assert layout is not None
    allowed = dense_mask(layout, key.shape[2])
    return sdpa_attention(module, query, key, value, allowed, scaling, dropout)


NEO_ATTENTION = AttentionInterface()
NEO_ATTENTION["eager"] = eager_attention
NEO_ATTENTION["sdpa"] = sdpa_attention
NEO_ATTENTION["flex_attention"] = flex_attention_with_fallback
