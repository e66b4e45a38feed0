"""Tiny CLIP, SigLIP and InternVL folders with random weights, as transformers writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.convert.qwen3_folder import save_qwen3

SEES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
SEES |= {"image_size": 16, "patch_size": 4}
READS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}


def internvl() -> PreTrainedModel:
    text = {**READS, "model_type": "qwen2", "num_key_value_heads": 2}
    return InternVLForConditionalGeneration(InternVLConfig(vision_config=SEES, text_config=text))


MAKERS: dict[str, Any] = {
    "clip": lambda: CLIPVisionModel(CLIPVisionConfig(**SEES)),
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**SEES)),
    "internvl": internvl,
    "whole clip": lambda: CLIPModel(CLIPConfig(vision_config=SEES, text_config=READS)),
    "whole siglip": lambda: SiglipModel(SiglipConfig(vision_config=SEES, text_config=READS)),
}


def tower(kind: str, folder: Path) -> tuple[PreTrainedModel, Path]:
    """A whole model of a kind, its norms and positions random too, and its folder."""
    torch.manual_seed(7)
    model = MAKERS[kind]().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or "position" in name or "cls" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    if kind.startswith("whole"):  # older files hold the numbers of the places too
        tensors = load_file(folder / "model.safetensors")
        tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return model, folder


def seeing(model: PreTrainedModel) -> Any:
    """The encoder inside."""
    inner = getattr(model, "model", model)
    return next((part for n in ("vision_tower", "vision_model") if (part := getattr(inner, n, None))), model)


def qwen3(folder: Path, **changes: Any) -> tuple[Qwen3ForCausalLM, Path]:
    """A tiny Qwen3 and its folder, tokenizer included."""
    torch.manual_seed(8)
    sizes = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "eos_token_id": 258}
    model = Qwen3ForCausalLM(Qwen3Config(**(sizes | heads | {"tie_word_embeddings": True} | changes))).eval()
    return model, save_qwen3(model, folder)
