"""Which attention kernel a run uses; what a batch gets of it follows from its mask."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration


def choose_attention(model: NeoForConditionalGeneration, wanted: str, device: torch.device) -> None:
    """Set the kernel: that of the recipe, or for "auto" flex_attention on a GPU and sdpa on a CPU.

    Batch by batch the model then chooses: plain causal attention where no mask is needed; on a CPU blocks of queries
    with the keys that their samples need (`pixelword.model.block_attention`), or a dense mask where a token sees two
    spans; on a GPU a block mask that skips what no sample needs.
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
