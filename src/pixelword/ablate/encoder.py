"""The ordinary modular design at tiny size: an image encoder, a projector, and a plain language model behind them.

    squares of 8 x 8 pixels -> linear + learned places -> blocks over the whole picture -> norm -> projector -> words

Legend: I images · S squares of an image · P patches · D width.

Source: ViT (arXiv 2010.11929) for the encoder and LLaVA-1.5 (arXiv 2310.03744) for the projector of two layers. It is
small and learns from nothing, so it stands for the design, not for CLIP or SigLIP.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from pixelword.convert import neo_from_qwen3
from pixelword.errors import ShapeError
from pixelword.model import NeoConfig, NeoForConditionalGeneration
from pixelword.model.checkpoint import SINGLE_FILE, name_in_memory
from pixelword.model.patches import merged_order

SQUARES = 64
"""Squares of a picture: every picture of the drawn world has 8 x 8 of them."""
LAYERS = 2
"""As many as the native model's pre-Buffer."""


class EncoderBlock(nn.Module):
    """LayerNorm, attention over the whole picture, LayerNorm, MLP of four times the width; two residuals."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden_ISD: Tensor) -> Tensor:
        split = self.qkv(self.norm1(hidden_ISD)).unflatten(-1, (3, self.heads, -1))
        query, key, value = (part.transpose(1, 2) for part in split.unbind(2))
        attended = F.scaled_dot_product_attention(query, key, value)
        hidden_ISD = hidden_ISD + self.out(attended.transpose(1, 2).flatten(2))
        changed: Tensor = self.down(F.gelu(self.up(self.norm2(hidden_ISD))))
        return hidden_ISD + changed


class EncoderAndProjector(nn.Module):
    """Takes the place of NEO's patch embedding: the same pixels in, as many vectors of the decoder's width out.

    Shapes:
        pixel_values (P, channels * patch²), image_grid_thw (I, 3) -> (I * S, D).

    Raises:
        ShapeError: a picture of another size than those of the drawn world.
    """

    def __init__(self, config: NeoConfig, layers: int = LAYERS) -> None:
        super().__init__()
        vision, width = config.vision_config, config.llm_config.hidden_size
        self.merge = vision.merge_size
        self.squares = nn.Linear(vision.num_channels * vision.pixels_per_token**2, width)
        self.places = nn.Parameter(0.02 * torch.randn(SQUARES, width))
        heads = config.llm_config.num_attention_heads
        self.blocks = nn.ModuleList(EncoderBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        sizes = image_grid_thw.prod(-1) // self.merge**2
        if bool((sizes != SQUARES).any()):
            raise ShapeError(
                "the tiny encoder reads pictures of one size",
                got=f"{sizes.tolist()[:8]} squares",
                fix=f"give it pictures of {SQUARES} squares, such as those of the drawn world",
            )
        order, _, _ = merged_order(image_grid_thw, self.merge)
        pixels_ISK = pixel_values[order].reshape(len(sizes), SQUARES, -1)
        hidden_ISD = self.squares(pixels_ISK) + self.places
        for block in self.blocks:
            hidden_ISD = block(hidden_ISD)
        projected: Tensor = self.projector(self.norm(hidden_ISD))
        return projected.flatten(0, 1)


class EncoderForConditionalGeneration(NeoForConditionalGeneration):
    """An encoder and a projector before a language model. It shares NEO's class for prompts, masks and training."""

    def __init__(self, config: NeoConfig) -> None:
        super().__init__(config)
        self.model.vision_model = EncoderAndProjector(config)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """A model that `save_pretrained` wrote. NEO's own reader would refuse the encoder's tensors."""
        path = Path(pretrained_model_name_or_path or "")
        model = cls(NeoConfig.from_pretrained(path))
        stored = load_file(path / SINGLE_FILE)
        model.load_state_dict({name_in_memory(name): tensor for name, tensor in stored.items()})
        return model.to(kwargs.get("dtype", torch.float32))


def encoder_from_qwen3(qwen3: Qwen3ForCausalLM, *, seed: int, **config: Any) -> EncoderForConditionalGeneration:
    """A random encoder and projector before a copy of a language model.

    Args:
        seed: of encoder and projector.
        config: as for `neo_from_qwen3`.
    """
    plain = neo_from_qwen3(qwen3, pre_buffer_layers=0, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EncoderForConditionalGeneration(plain.config)
    own = model.state_dict()
    words = {name: tensor for name, tensor in plain.state_dict().items() if not name.startswith("model.vision_model.")}
    model.load_state_dict(own | words)
    return model
