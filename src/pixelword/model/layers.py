"""One native block: RMSNorm, attention with time, height and width channels, RMSNorm, gated MLP, two residuals.

Legend: B rows · N tokens · D width · h query heads · g key/value heads · d head_dim.

Source: NEO, section 3.1 and figure 2; a Qwen3 block plus `q_proj_hw`, `k_proj_hw` and four half-width norms.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from pixelword.model.attention import NEO_ATTENTION, Mask
from pixelword.model.configuration import NeoTextConfig
from pixelword.model.layout import TokenLayout
from pixelword.model.rope import rotate


class NeoRMSNorm(nn.Module):
    """x / rms(x) in float32, cast back, then times the weight: this order matters in bfloat16."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x32 = x.to(torch.float32)
        normed = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class NeoAttention(nn.Module):
    """Grouped-query attention whose queries and keys are (T, H, W) parts of widths d, d/2, d/2.

    The scale is 1 / sqrt(d), the LLM's own, although queries and keys are 2d wide: with zero H and W keys the scores
    are then exactly the LLM's (NEO, section 3.1).

    Shapes:
        hidden_states (B, N, D), cos and sin (B, N, d) -> (B, N, D) and the weights (B, h, N, K) where eager.
    """

    def __init__(self, config: NeoTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.config, self.layer_idx, self.is_causal = config, layer_idx, False
        d, width = config.head_dim, config.hidden_size
        self.head_dim, self.scaling = d, d**-0.5
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        queries, keys = config.num_attention_heads * d, config.num_key_value_heads * d
        self.q_proj = nn.Linear(width, queries, bias=False)
        self.q_proj_hw = nn.Linear(width, queries, bias=False)
        self.k_proj = nn.Linear(width, keys, bias=False)
        self.k_proj_hw = nn.Linear(width, keys, bias=False)
        self.v_proj = nn.Linear(width, keys, bias=False)
        self.o_proj = nn.Linear(queries, width, bias=False)
        self.q_norm = NeoRMSNorm(d, config.rms_norm_eps)
        self.q_norm_h = NeoRMSNorm(d // 2, config.rms_norm_eps)
        self.q_norm_w = NeoRMSNorm(d // 2, config.rms_norm_eps)
        self.k_norm = NeoRMSNorm(d, config.rms_norm_eps)
        self.k_norm_h = NeoRMSNorm(d // 2, config.rms_norm_eps)
        self.k_norm_w = NeoRMSNorm(d // 2, config.rms_norm_eps)

    def forward(
        self,
        hidden_states: Tensor,
        cos_sin: tuple[Tensor, Tensor],
        attention_mask: Mask,
        layout: TokenLayout,
        past_key_values: Cache | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        key = self._keys(hidden_states, cos_sin)
        value = self.v_proj(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        if rows is not None:
            hidden_states, cos_sin = hidden_states[:, rows], (cos_sin[0][:, rows], cos_sin[1][:, rows])
        query = self._queries(hidden_states, cos_sin)
        attend = NEO_ATTENTION[self.config._attn_implementation or "eager"]
        out, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            scaling=self.scaling,
            dropout=float(self.config.attention_dropout) if self.training else 0.0,
            layout=layout,
        )
        return self.o_proj(out.flatten(2)), weights

    def _queries(self, x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        """(B, N, D) -> (B, h, N, 2d), parts in the order T, H, W."""
        norms = (self.q_norm, self.q_norm_h, self.q_norm_w)
        return self._normed_and_rotated(self.q_proj(x), self.q_proj_hw(x), norms, cos_sin)

    def _keys(self, x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        """(B, N, D) -> (B, g, N, 2d), parts in the order T, H, W."""
        norms = (self.k_norm, self.k_norm_h, self.k_norm_w)
        return self._normed_and_rotated(self.k_proj(x), self.k_proj_hw(x), norms, cos_sin)

    def _normed_and_rotated(
        self, time: Tensor, spatial: Tensor, norms: tuple[nn.Module, ...], cos_sin: tuple[Tensor, Tensor]
    ) -> Tensor:
        d = self.head_dim
        height, width = spatial.unflatten(-1, (-1, d)).split(d // 2, dim=-1)
        parts = (time.unflatten(-1, (-1, d)), height, width)
        cos, sin = (table.split((d // 2, d // 4, d // 4), dim=-1) for table in cos_sin)
        turned = [
            rotate(norm(part).transpose(1, 2), cos_part, sin_part)
            for part, norm, cos_part, sin_part in zip(parts, norms, cos, sin, strict=True)
        ]
        return torch.cat(turned, dim=-1)


class NeoMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: NeoTextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class NeoDecoderLayer(GradientCheckpointingLayer):
    """A native block. `rows` (int64) keeps only those tokens of the output; keys and values still come from all."""

    def __init__(self, config: NeoTextConfig, layer_idx: int) -> None:
        super().__init__()
        self.input_layernorm = NeoRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = NeoAttention(config, layer_idx)
        self.post_attention_layernorm = NeoRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = NeoMLP(config)

    def forward(self, hidden_states: Tensor, rows: Tensor | None = None, **attention_inputs: Any) -> Tensor:
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), rows=rows, **attention_inputs)
        hidden_states = (hidden_states if rows is None else hidden_states[:, rows]) + attended
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))
