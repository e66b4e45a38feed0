"""Which attention a batch gets."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration


def choose_attention(model: NeoForConditionalGeneration, wanted: str, device: torch.device) -> None:
    """Set the kernel: that of the recipe, or for "auto" flex_attention on a GPU and sdpa on a CPU.

    sdpa on a CPU works through the samples of a row one by one; see `pixelword.model.masks.row_blocks`. On a GPU
    flex_attention skips what no sample needs. The model itself takes a plain causal kernel where no mask is needed.
    """
    kernel = ("flex_attention" if device.type == "cuda" else "sdpa") if wanted == "auto" else wanted
    if model.config.llm_config._attn_implementation != kernel:
        model.set_attn_implementation(kernel)


def without_idle_samples(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch without `sample_ids` where every row is one sample without padding: then text alone is plain causal."""
    sample_ids = inputs.get("sample_ids")
    if sample_ids is None or bool((sample_ids != 0).any()):
        return inputs
    return {name: tensor for name, tensor in inputs.items() if name != "sample_ids"}
