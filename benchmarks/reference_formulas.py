"""The reference's formulas, written out plainly: the straightforward baseline of the speed comparisons.

Nothing here comes from `pixelword.model`. Every formula is the one of the released NEO code, in the order in which
that code computes it, and none is made faster than it is there:

- patches pass through strided convolutions, one image after the other for answering, on one canvas padded to the
  largest image for training;
- five separate projections (q, q_hw, k, k_hw, v) read the same input in every layer, gate and up are separate too;
- the cosine and sine tables of T, H and W are computed again in every layer;
- each RMSNorm is five separate operations; there are eight in a layer;
- key and value heads are repeated up to the number of query heads;
- the mask is a dense additive float32 matrix, the softmax runs in float32 over materialised scores;
- the cache grows by concatenation;
- prefill returns the logits of every position, and so does training, where the loss reads all of them.

The parameters carry the released key names, so one state dict feeds this module and the package's model.

Legend: B batch (always 1 here), n tokens, D hidden size, d head width of the text channels, P patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """The sizes of one NEO model; the defaults are the 29.9 M configuration of the speed rows."""

    hidden_size: int = 384
    layers: int = 8
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    mlp_size: int = 1792
    vocabulary: int = 8192
    vision_hidden: int = 1024
    patch: int = 16
    merge: int = 2
    theta_t: float = 1e6
    theta_hw: float = 1e4
    theta_vision: float = 1e4
    eps: float = 1e-6


def rotate_half(x: Tensor) -> Tensor:
    """[-second half, first half] of the last axis."""
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-second, first), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Half-split rotation of heads x [B, heads, n, width] by tables [B, n, width]."""
    return x * cos.unsqueeze(1) + rotate_half(x) * sin.unsqueeze(1)


def repeat_kv(x: Tensor, times: int) -> Tensor:
    """[B, kv_heads, n, width] -> [B, kv_heads * times, n, width], each head copied `times` times in place."""
    batch, heads, length, width = x.shape
    if times == 1:
        return x
    return x[:, :, None].expand(batch, heads, times, length, width).reshape(batch, heads * times, length, width)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) in float32, cast back, then times the weight; one operation at a time."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        x = x.to(torch.float32)
        variance = x.pow(2).mean(-1, keepdim=True)
        x = x * torch.rsqrt(variance + self.eps)
        return self.weight * x.to(dtype)


class Rotary(nn.Module):
    """Cosine and sine of position times theta^(-2i/width), doubled to the full width."""

    def __init__(self, width: int, theta: float) -> None:
        super().__init__()
        inverse = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.int64).float() / width)
        self.register_buffer("inverse_frequency", inverse, persistent=False)

    @torch.no_grad()
    def forward(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        inverse = self.inverse_frequency[None, :, None].float().expand(positions.shape[0], -1, 1).to(x.device)
        with torch.autocast(device_type=x.device.type, enabled=False):
            angles = (inverse.float() @ positions[:, None, :].float()).transpose(1, 2)
            both = torch.cat((angles, angles), dim=-1)
            cos, sin = both.cos() * 1.0, both.sin() * 1.0
        return cos.to(x.dtype), sin.to(x.dtype)


class Cache:
    """Keys and values of every layer, grown by concatenation."""

    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        old_key, old_value = self.keys[layer], self.values[layer]
        if old_key is not None and old_value is not None:
            key, value = torch.cat([old_key, key], dim=-2), torch.cat([old_value, value], dim=-2)
        self.keys[layer], self.values[layer] = key, value
        return key, value


class Attention(nn.Module):
    """Grouped-query attention with T, H and W channels, each part normed and rotated by itself."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer, self.d, self.groups = layer, shape.head_dim, shape.heads // shape.kv_heads
        q_size, kv_size = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, q_size, bias=False)
        self.q_proj_hw = nn.Linear(shape.hidden_size, q_size, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, kv_size, bias=False)
        self.k_proj_hw = nn.Linear(shape.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(q_size, shape.hidden_size, bias=False)
        half = shape.head_dim // 2
        self.q_norm, self.k_norm = RMSNorm(shape.head_dim, shape.eps), RMSNorm(shape.head_dim, shape.eps)
        self.q_norm_h, self.q_norm_w = RMSNorm(half, shape.eps), RMSNorm(half, shape.eps)
        self.k_norm_h, self.k_norm_w = RMSNorm(half, shape.eps), RMSNorm(half, shape.eps)
        self.rotary_t = Rotary(shape.head_dim, shape.theta_t)
        self.rotary_hw = Rotary(half, shape.theta_hw)

    def forward(self, x: Tensor, indices: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        batch, length, _ = x.shape
        heads = (batch, length, -1, self.d)

        q_t = self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2)
        q_h, q_w = self.q_proj_hw(x).view(heads).chunk(2, dim=-1)
        q_h, q_w = self.q_norm_h(q_h).transpose(1, 2), self.q_norm_w(q_w).transpose(1, 2)
        k_t = self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2)
        k_h, k_w = self.k_proj_hw(x).view(heads).chunk(2, dim=-1)
        k_h, k_w = self.k_norm_h(k_h).transpose(1, 2), self.k_norm_w(k_w).transpose(1, 2)
        value = self.v_proj(x).view(heads).transpose(1, 2)

        cos_t, sin_t = self.rotary_t(x, indices[0][None])
        cos_h, sin_h = self.rotary_hw(x, indices[1][None])
        cos_w, sin_w = self.rotary_hw(x, indices[2][None])
        q_t, k_t = rotate(q_t, cos_t, sin_t), rotate(k_t, cos_t, sin_t)
        q_h, k_h = rotate(q_h, cos_h, sin_h), rotate(k_h, cos_h, sin_h)
        q_w, k_w = rotate(q_w, cos_w, sin_w), rotate(k_w, cos_w, sin_w)
        query = torch.cat([q_t, q_h, q_w], dim=-1)
        key = torch.cat([k_t, k_h, k_w], dim=-1)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)

        key, value = repeat_kv(key, self.groups), repeat_kv(value, self.groups)
        scores = torch.matmul(query, key.transpose(2, 3)) * self.d**-0.5
        if mask is not None:
            scores = scores + mask
        weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        mixed = torch.matmul(weights, value).transpose(1, 2).contiguous()
        return self.o_proj(mixed.reshape(batch, length, -1).contiguous())


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.mlp_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.mlp_size, bias=False)
        self.down_proj = nn.Linear(shape.mlp_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """x + attention(norm(x)), then h + mlp(norm(h))."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(shape, layer)
        self.mlp = MLP(shape)
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.eps)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.eps)

    def forward(self, x: Tensor, indices: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), indices, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    """Word embedding, the blocks and the final norm; a container that gives the parameters their released names."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden_size)
        self.layers = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = RMSNorm(shape.hidden_size, shape.eps)


class LanguageModel(nn.Module):
    """Backbone and head under their released names."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.model = Backbone(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocabulary, bias=False)


class PatchEmbeddings(nn.Module):
    """Convolution, exact GELU, 2-D rotation of the channels (interleaved pairs), convolution."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.merge, self.patch = shape.vision_hidden, shape.merge, shape.patch
        self.patch_embedding = nn.Conv2d(3, width, kernel_size=shape.patch, stride=shape.patch)
        self.dense_embedding = nn.Conv2d(width, shape.hidden_size, kernel_size=shape.merge, stride=shape.merge)
        frequency = 1.0 / shape.theta_vision ** (torch.arange(0, width // 2, 2).float() / (width // 2))
        angles = torch.arange(10000).float()[:, None] * frequency
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def _turn(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate the pairs (0, 1), (2, 3), ... of x [P, width] by the angle of each patch's position."""
        cos, sin = self.cos[positions], self.sin[positions]
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = torch.empty_like(x)
        turned[..., 0::2] = even * cos - odd * sin
        turned[..., 1::2] = even * sin + odd * cos
        return turned

    def patches(self, pixels: Tensor, grids: list[tuple[int, int]]) -> Tensor:
        """pixels [P, 3 * patch * patch] -> rotated patch vectors [P, width]."""
        images = pixels.view(-1, 3, self.patch, self.patch)
        x = F.gelu(self.patch_embedding(images).view(images.shape[0], -1))
        columns = torch.cat([torch.arange(columns).repeat(rows) for rows, columns in grids])
        rows = torch.cat([torch.arange(rows).repeat_interleave(columns) for rows, columns in grids])
        x32, half = x.to(torch.float32), x.shape[-1] // 2
        turned = torch.cat([self._turn(x32[:, :half], columns), self._turn(x32[:, half:], rows)], dim=-1)
        return turned.to(self.patch_embedding.weight.dtype)

    def one_by_one(self, pixels: Tensor, grids: list[tuple[int, int]]) -> Tensor:
        """Answering form: the second convolution runs over one image after the other."""
        x, outputs, start = self.patches(pixels, grids), [], 0
        for rows, columns in grids:
            image = x[start : start + rows * columns].view(1, rows, columns, -1).permute(0, 3, 1, 2)
            merged = self.dense_embedding(image).permute(0, 2, 3, 1)
            outputs.append(merged.reshape(-1, merged.shape[-1]))
            start += rows * columns
        return torch.cat(outputs)

    def on_canvas(self, pixels: Tensor, grids: list[tuple[int, int]]) -> Tensor:
        """Training form: all images are padded with zeros to the largest before the second convolution."""
        x, start = self.patches(pixels, grids), 0
        height, width = max(rows for rows, _ in grids), max(columns for _, columns in grids)
        canvas = x.new_zeros(len(grids), height, width, x.shape[-1])
        for index, (rows, columns) in enumerate(grids):
            canvas[index, :rows, :columns] = x[start : start + rows * columns].view(rows, columns, -1)
            start += rows * columns
        merged = self.dense_embedding(canvas.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
        cut = [
            merged[index, : rows // self.merge, : columns // self.merge].reshape(-1, merged.shape[-1])
            for index, (rows, columns) in enumerate(grids)
        ]
        return torch.cat(cut)


class VisionModel(nn.Module):
    """Container that gives the patch embeddings their released name."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(shape)


def additive_mask(allowed: Tensor) -> Tensor:
    """bool [n, n] -> float32 [1, 1, n, n] of 0 and -inf."""
    return torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))[None, None]


def prompt_mask(t: Tensor) -> Tensor:
    """The rule of the released inference code: key j <= query i, or both share T (tokens of one image do)."""
    n = t.shape[0]
    query, key = torch.arange(n)[:, None].expand(n, n), torch.arange(n)[None, :].expand(n, n)
    same_image = t[:, None].expand(n, n) == t[None, :].expand(n, n)
    return additive_mask((key <= query) | same_image)


def packed_mask(sample: Tensor, image: Tensor) -> Tensor:
    """The rule of the released training code: same sample, and causal or the same image (-1 is no image)."""
    n = sample.shape[0]
    position = torch.arange(n)
    causal = position[None, :] <= position[:, None]
    same_image = (image[:, None] == image[None, :]) & (image[:, None] >= 0)
    return additive_mask((sample[:, None] == sample[None, :]) & (causal | same_image))


class ReferenceNeo(nn.Module):
    """The model from pixels and token ids to logits, one sequence at a time.

    Args:
        shape: sizes; the defaults are the configuration of the speed rows.
        image_token: id whose embedding is replaced by the output of the patch embedding.
    """

    def __init__(self, shape: Shape, image_token: int) -> None:
        super().__init__()
        self.shape, self.image_token = shape, image_token
        self.vision_model = VisionModel(shape)
        self.language_model = LanguageModel(shape)

    def embed(self, ids: Tensor, vision: Tensor | None) -> Tensor:
        """ids [1, n] and vision [image tokens, D] -> [1, n, D]."""
        x = self.language_model.model.embed_tokens(ids)
        if vision is None:
            return x
        flat = x.reshape(-1, x.shape[-1])
        selected = ids.reshape(-1) == self.image_token
        flat = flat.clone()
        flat[selected] = vision.to(flat.dtype)
        return flat.view(x.shape)

    def blocks(self, x: Tensor, indices: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        """x [1, n, D], indices (T, H, W) [3, n] -> hidden states after the final norm [1, n, D]."""
        for layer in self.language_model.model.layers:
            x = layer(x, indices, mask, cache)
        return self.language_model.model.norm(x)

    @torch.no_grad()
    def prefill(
        self, ids: Tensor, indices: Tensor, pixels: Tensor | None, grids: list[tuple[int, int]]
    ) -> tuple[Tensor, Cache]:
        """Logits [1, n, vocabulary] of every position of the prompt, and the filled cache."""
        vision = None
        if pixels is not None:
            vision = self.vision_model.embeddings.one_by_one(pixels, grids)
        cache = Cache(self.shape.layers)
        hidden = self.blocks(self.embed(ids, vision), indices, prompt_mask(indices[0]), cache)
        return self.language_model.lm_head(hidden), cache

    @torch.no_grad()
    def greedy(
        self, ids: Tensor, indices: Tensor, pixels: Tensor | None, grids: list[tuple[int, int]], new_tokens: int
    ) -> Tensor:
        """`new_tokens` greedily chosen ids [new_tokens]; T continues from the prompt's largest, H = W = 0."""
        logits, cache = self.prefill(ids, indices, pixels, grids)
        token, next_t, chosen = logits[:, -1].argmax(-1), int(indices[0].max()) + 1, []
        chosen.append(token)
        while len(chosen) < new_tokens:
            step = torch.tensor([[next_t], [0], [0]])
            past = cache.keys[0]
            assert past is not None
            mask = torch.zeros(1, 1, 1, past.shape[-2] + 1)
            hidden = self.blocks(self.embed(token[:, None], None), step, mask, cache)
            token = self.language_model.lm_head(hidden)[:, -1].argmax(-1)
            next_t += 1
            chosen.append(token)
        return torch.cat(chosen)

    def training_loss(
        self,
        ids: Tensor,
        indices: Tensor,
        mask: Tensor,
        pixels: Tensor,
        grids: list[tuple[int, int]],
        labels: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Weighted mean cross entropy of one pack; the logits of all positions are made and read.

        ids, labels, weights [1, n]; labels are -100 where nothing is asked; mask as made by `packed_mask`.
        """
        vision = self.vision_model.embeddings.on_canvas(pixels, grids)
        hidden = self.blocks(self.embed(ids, vision), indices, mask, None)
        logits = self.language_model.lm_head(hidden)
        shifted = logits[..., :-1, :].contiguous().view(-1, logits.shape[-1])
        loss = F.cross_entropy(shifted, labels[..., 1:].contiguous().view(-1), reduction="none", ignore_index=-100)
        weight = weights[..., 1:].contiguous().view(-1)
        return (loss * weight).sum() / weight.sum().clamp(min=1e-5)
