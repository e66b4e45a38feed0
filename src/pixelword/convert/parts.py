"""How many parameters each part of a NEO has."""

from __future__ import annotations

from torch import nn

from pixelword.model import NeoForConditionalGeneration

SPATIAL = ("q_proj_hw", "k_proj_hw", "q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w")


def parameter_counts(model: NeoForConditionalGeneration) -> dict[str, int]:
    """Part -> number of parameters; tied weights count once. Works on the meta device.

    Returns:
        "patch embedding", "pre-Buffer", "language model" (its layers, height and width weights left out),
        "height and width weights" (of the language model), "final norm", "word embedding", "head"; they add up to
        the whole.
    """
    backbone, depth = model.model.language_model, model.config.llm_config.extra_num_layers
    layers = size(backbone.layers[depth:])
    spatial = sum(
        parameter.numel()
        for name, parameter in backbone.layers[depth:].named_parameters()
        if any(f".{part}." in name for part in SPATIAL)
    )
    return {
        "patch embedding": size(model.model.vision_model),
        "pre-Buffer": size(backbone.layers[:depth]),
        "language model": layers - spatial,
        "height and width weights": spatial,
        "final norm": size(backbone.norm),
        "word embedding": size(backbone.embed_tokens),
        "head": 0 if model.config.tie_word_embeddings else size(model.lm_head),
    }


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
