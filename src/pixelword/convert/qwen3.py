"""Surgery: from a Qwen3 language model to a NEO that will learn to see.

    NEO layers[0 : L1]   pre-Buffer   new, random
    NEO layers[L1 : ]    Qwen3's own layers, copied, with height and width weights that do nothing yet

The new weights of a copied layer are made such that it still computes exactly what Qwen3 computes, whatever the height
and width indices are: `k_proj_hw` is zero, a normed zero is zero, so the new channels add nothing to any score.

Legend: L1 pre-Buffer depth · nq query heads · d head_dim · D width.

Source: NEO, section 3.1, and what the released training code arrives at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from pixelword.convert.llm import HEAD, WORDS, LanguageModel, read_llm
from pixelword.errors import ConfigError, nearest
from pixelword.model import NeoConfig, NeoForConditionalGeneration, NeoTextConfig, NeoVisionConfig

FROM_THE_LLM = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("hidden_act", "rms_norm_eps", "max_position_embeddings", "attention_dropout", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache"),
)
FREE = (
    *("rope_theta_hw", "max_position_embeddings_hw", "rope_scheme", "rope_extra", "video_diagonal"),
    *("attention_pattern", "attention_dropout", "max_position_embeddings", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache"),
)
VISION_KEYS = tuple(NeoVisionConfig.__annotations__)
FREE_ON_TOP = ("template", "img_context_token_id", "img_start_token_id", "image_end_token_id", "tie_word_embeddings")


def neo_from_qwen3(
    qwen3: str | Path | Qwen3ForCausalLM,
    *,
    pre_buffer_layers: int,
    vision: dict[str, Any] | None = None,
    seed: int = 0,
    scaled_output: bool = False,
    **config_overrides: Any,
) -> NeoForConditionalGeneration:
    """A new NEO around a Qwen3, in the dtype of the Qwen3's weights. The source is copied, never changed.

    Args:
        qwen3: a folder with safetensors, a hub repository, or a model in memory.
        pre_buffer_layers: depth of the pre-Buffer; 12 for NEO-2B, 6 for NEO-9B, 0 for none.
        vision: keys of `NeoVisionConfig` that differ from the released ones.
        seed: of the pre-Buffer and the patch embedding.
        scaled_output: draw the pre-Buffer's output matrices with std / sqrt(2 (layer + 1)) instead of std. The released
            training code has this variant but overwrites it.
        config_overrides: keys of `NeoTextConfig` and `NeoConfig` that the LLM does not fix, such as `rope_scheme`,
            `img_context_token_id` or `tie_word_embeddings=False` (gives a tied LLM a head of its own).

    Raises:
        CheckpointError: not a Qwen3, one with features that NEO's blocks lack, or weights that do not fit.
        ConfigError: an unknown override, or one that the LLM's weights contradict.
    """
    llm = read_llm(qwen3)
    model = empty_neo(neo_config(llm, pre_buffer_layers, vision or {}, config_overrides), llm.dtype)
    copy_llm(llm, model)
    draw_pre_buffer(model, seed, scaled_output)
    return model


def neo_config(
    llm: LanguageModel, pre_buffer_layers: int, vision: dict[str, Any], overrides: dict[str, Any]
) -> NeoConfig:
    """The configuration of a NEO around an LLM."""
    if pre_buffer_layers < 0:
        raise ConfigError("pre_buffer_layers cannot be negative", got=pre_buffer_layers, fix="use 0 for no pre-Buffer")
    for key, value in vision.items():
        if key not in NeoVisionConfig.__annotations__:
            raise ConfigError(
                f"a vision configuration has no key {key!r}",
                got=value,
                fix=nearest(key, NeoVisionConfig.__annotations__),
            )
    for key, value in overrides.items():
        if key not in FREE + FREE_ON_TOP:
            known = key in NeoTextConfig.__annotations__
            raise ConfigError(
                f"{key} is fixed by the language model" if known else f"a NEO configuration has no key {key!r}",
                got=value,
                fix=nearest(key, FREE + FREE_ON_TOP),
            )
    if overrides.get("tie_word_embeddings") and not llm.tied:
        raise ConfigError(
            "tie_word_embeddings: this language model has a head of its own",
            got=True,
            fix="leave the override out",
        )
    source = llm.config
    text = {name: getattr(source, name) for name in FROM_THE_LLM}
    text |= {name: value for name, value in overrides.items() if name in FREE}
    text |= {
        "num_hidden_layers": source.num_hidden_layers + pre_buffer_layers,
        "extra_num_layers": pre_buffer_layers,
        "rope_theta": llm.rope_theta,
    }
    top = {"tie_word_embeddings": llm.tied} | {name: overrides[name] for name in FREE_ON_TOP if name in overrides}
    try:
        pixels = NeoVisionConfig(**(vision | {"llm_hidden_size": source.hidden_size}))
        return NeoConfig(llm_config=NeoTextConfig(**text), vision_config=pixels, **top)
    except (StrictDataclassError, TypeError) as error:
        raise ConfigError("an override has a value of the wrong kind", got=error, fix="correct its value") from error


def empty_neo(config: NeoConfig, dtype: torch.dtype) -> NeoForConditionalGeneration:
    """A NEO with its memory reserved and nothing in it but the rotary tables and tied weights."""
    with torch.device("meta"):
        model: NeoForConditionalGeneration = NeoForConditionalGeneration._from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.to_empty(device="cpu")
    model._init_weights(model.model.language_model.rotary_emb)
    model.tie_weights()
    model.eval()  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def copy_llm(llm: LanguageModel, model: NeoForConditionalGeneration) -> None:
    """Copy the LLM behind the pre-Buffer and give each copied layer its height and width weights."""
    depth = model.config.llm_config.extra_num_layers
    own = dict(model.named_parameters())
    for name, tensor in llm.tensors():
        place = neo_name(name, depth)
        own[place].copy_(tensor)
        if place.endswith("q_proj.weight"):
            spatial = own[place.replace("q_proj", "q_proj_hw")]
            spatial.copy_(spatial_query_rows(tensor, model.config.llm_config.head_dim))
        elif name == WORDS and llm.tied and not model.config.tie_word_embeddings:
            own[HEAD].copy_(tensor)
    for layer in model.model.language_model.layers[depth:]:
        attention = layer.self_attn
        nn.init.zeros_(attention.k_proj_hw.weight)
        for norm in (attention.q_norm_h, attention.q_norm_w, attention.k_norm_h, attention.k_norm_w):
            nn.init.ones_(norm.weight)


def neo_name(name: str, pre_buffer_layers: int) -> str:
    """A Qwen3 tensor's name -> the name of the NEO parameter that takes it."""
    if name == HEAD:
        return name
    inner = name.removeprefix("model.")
    if inner.startswith("layers."):
        _, number, rest = inner.split(".", 2)
        inner = f"layers.{int(number) + pre_buffer_layers}.{rest}"
    return f"model.language_model.{inner}"


def spatial_query_rows(query: Tensor, head_dim: int) -> Tensor:
    """(nq d, D) -> (nq d, D): the rows of `q_proj_hw`, from those of `q_proj`.

    Of the quarters Q0, Q1, Q2, Q3 of a head's rows, height and width both get [Q0; Q2]. Time turns rows i and i + d/2
    together, the highest frequencies first; Q0 and Q2 are the faster half of these pairs, and stay pairs in d/2 rows.
    """
    first, _, third, _ = query.unflatten(0, (-1, 4, head_dim // 4)).unbind(1)  # each (nq, d/4, D)
    return torch.cat((first, third, first, third), dim=1).flatten(0, 1)


def draw_pre_buffer(model: NeoForConditionalGeneration, seed: int, scaled_output: bool = False) -> None:
    """Fill the pre-Buffer and the patch embedding with random weights; the global generator is left as it was.

    Matrices N(0, initializer_range), `k_proj_hw` among them, norms ones; convolutions as PyTorch draws them.
    """
    text = model.config.llm_config
    pre_buffer = model.model.language_model.layers[: text.extra_num_layers]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model.model.vision_model.apply(model._init_weights)
        for number, layer in enumerate(pre_buffer):
            layer.apply(model._init_weights)
            if scaled_output:
                for output in (layer.self_attn.o_proj, layer.mlp.down_proj):
                    output.weight.div_((2 * (number + 1)) ** 0.5)
