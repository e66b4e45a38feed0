"""The configurations of the paper, and one small enough for a laptop.

Source: NEO, section 4.1 and table 1; the layer counts are those of the released weights (12 + 28 and 6 + 36).
"""

from __future__ import annotations

from typing import Any

from pixelword.errors import ConfigError, nearest
from pixelword.model.configuration import NeoConfig, NeoTextConfig, NeoVisionConfig

QWEN3_CHAT_END = 151645


def neo_2b(**overrides: Any) -> NeoConfig:
    """NEO-2B: Qwen3-1.7B behind a pre-Buffer of 12 layers; 2,274,288,640 parameters without word embeddings."""
    return _configure({"eos_token_id": QWEN3_CHAT_END, "extra_num_layers": 12}, {}, overrides)


def neo_9b(**overrides: Any) -> NeoConfig:
    """NEO-9B: Qwen3-8B behind a pre-Buffer of 6 layers; 9,002,137,600 parameters without word embeddings."""
    text = {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 42,
        "extra_num_layers": 6,
        "num_attention_heads": 32,
        "eos_token_id": QWEN3_CHAT_END,
    }
    return _configure(text, {"llm_hidden_size": 4096}, overrides)


def neo_tiny(**overrides: Any) -> NeoConfig:
    """A real NEO with small numbers: about 3 million parameters, one token per 8 x 8 pixels.

    Patch 4 and merge 2 because at NEO's own 32 pixels per token a 64-pixel picture would be four tokens. Its own
    pixel bounds leave a 64 x 64 picture as it is. Its image tokens are 261 to 263, behind 256 bytes and five others;
    a tokenizer that has them elsewhere says so in the overrides.

    Args:
        overrides: any key of `NeoConfig`, `NeoTextConfig` or `NeoVisionConfig`.
    """
    text = {
        "vocab_size": 320,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "extra_num_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "rope_theta": 10000.0,
        "rope_theta_hw": 100.0,
        "max_position_embeddings": 4096,
    }
    vision = {
        "patch_size": 4,
        "hidden_size": 128,
        "llm_hidden_size": 192,
        "min_pixels": 64 * 64,
        "max_pixels": 64 * 64,
    }
    images = {"img_context_token_id": 261, "img_start_token_id": 262}
    return _configure(text, vision, images | overrides)


def _configure(text: dict[str, Any], vision: dict[str, Any], overrides: dict[str, Any]) -> NeoConfig:
    """Sort the overrides into the three configurations; a key that none has is refused."""
    top: dict[str, Any] = {}
    text_keys, vision_keys = _own_keys(NeoTextConfig), _own_keys(NeoVisionConfig)
    top_keys = _own_keys(NeoConfig) | {"dtype"}
    text, vision = dict(text), dict(vision)
    for key, value in overrides.items():
        homes = [home for home, keys in ((top, top_keys), (text, text_keys)) if key in keys]
        if key in vision_keys and key != "hidden_size":
            homes.append(vision)
        if key == "vision_hidden_size":
            vision["hidden_size"] = value
            continue
        if not homes:
            known = text_keys | vision_keys | top_keys | {"vision_hidden_size"}
            raise ConfigError(f"a NEO configuration has no key {key!r}", got=value, fix=nearest(key, known))
        for home in homes:
            home[key] = value
    if "hidden_size" in text:
        vision["llm_hidden_size"] = text["hidden_size"]
    return NeoConfig(**(top | {"llm_config": text, "vision_config": vision}))


def _own_keys(kind: type) -> set[str]:
    return {name for name in kind.__annotations__ if not name.endswith("_config")}
