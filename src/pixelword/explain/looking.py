"""Where a model looks when it starts to answer: the attention that the last token of the prompt pays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from pixelword.explain.sample import Sample, words_of
from pixelword.model import NeoForConditionalGeneration, NeoProcessor


@dataclass(frozen=True)
class Look:
    """The first step of an answer.

    Attributes:
        attention: (layers, N), mean over heads of the last token's attention to every token; each row adds up to 1.
        pre_buffer_layers: how many of the layers are the pre-Buffer.
        likely: the likeliest first tokens of an answer with their probabilities; image tokens, which `generate()` never
            writes, are left out.
    """

    attention: NDArray[np.float32]
    pre_buffer_layers: int
    likely: tuple[tuple[str, float], ...]

    @property
    def stages(self) -> list[tuple[str, NDArray[np.float32]]]:
        """Name and (N,) mean attention of the pre-Buffer's layers and of the others."""
        depth = self.pre_buffer_layers
        halves = [("pre-Buffer", self.attention[:depth]), ("layers behind it", self.attention[depth:])]
        if depth in (0, len(self.attention)):
            halves = [("all layers", self.attention)]
        return [(name, layers.mean(0)) for name, layers in halves]


@torch.no_grad()
def look(model: NeoForConditionalGeneration, processor: NeoProcessor, sample: Sample, likeliest: int = 5) -> Look:
    """Run the model over the sample and record the last token's attention.

    All tokens but the last are read with the model's own kernel; only the last one needs the kernel that returns its
    weights, so a long sample costs no (N, N) table.
    """
    inputs = {name: value.to(model.device) for name, value in sample.inputs.items()}
    ids, grids = inputs.pop("input_ids"), inputs.get("image_grid_thw")
    places, cache = model.get_rope_index(ids, grids), DynamicCache()
    model(input_ids=ids[:, :-1], position_ids=places[..., :-1], past_key_values=cache, logits_to_keep=1, **inputs)
    with kernel(model, "eager"):
        last = model(
            input_ids=ids[:, -1:], position_ids=places[..., -1:], past_key_values=cache, output_attentions=True
        )
    attention = torch.stack([weights[0, :, 0].float().mean(0) for weights in last.attentions])
    logits = last.logits[0, -1].float()
    logits[[processor.token_ids.context, processor.token_ids.image_start, processor.token_ids.image_end]] = -torch.inf
    share, which = logits.softmax(-1).topk(likeliest)
    return Look(
        attention=attention.cpu().numpy(),
        pre_buffer_layers=model.config.llm_config.extra_num_layers,
        likely=tuple(zip(words_of(which.tolist(), processor), share.tolist(), strict=True)),
    )


@contextmanager
def kernel(model: Any, name: str) -> Iterator[None]:
    """Another attention kernel for a while."""
    before = model.config.llm_config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
