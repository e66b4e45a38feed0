"""A modular model from two checkpoints: the encoder of a CLIP, SigLIP or InternVL, and a Qwen3; a new projector."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import CONFIG_MAPPING, Qwen3ForCausalLM
from transformers.configuration_utils import PreTrainedConfig

from pixelword.convert.folders import local_folder, read_json
from pixelword.convert.llm import HEAD, WORDS, LanguageModel, read_llm
from pixelword.convert.qwen3 import copy_llm, neo_config, neo_name
from pixelword.convert.tokens import fitting_processor
from pixelword.errors import CheckpointError, ConfigError
from pixelword.model.checkpoint import compare, read_tensor, weight_files
from pixelword.model.modular import (
    CLASS_TOKENS,
    MODEL_TYPE,
    EncoderAndProjector,
    ModularConfig,
    ModularForConditionalGeneration,
    side_of,
)
from pixelword.model.processing import NeoProcessor

Language = Literal["plain", "native"]

WHOLE = {"clip": "clip_vision_model", "siglip": "siglip_vision_model", "internvl": "internvl_vision"}
"""Kinds of whole models, and of the encoder inside."""
BEFORE = ("", "vision_model.", "vision_tower.", "model.vision_tower.", "vision_tower.vision_model.")
"""What stands before the names of an encoder's tensors in the files of whole models."""
CLIP_COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
COLOURS = {
    "clip_vision_model": CLIP_COLOURS,
    "siglip_vision_model": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "internvl_vision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and deviation of each channel, where the encoder's folder does not say them."""
TOKENS = (64, 4096)
"""Fewest and most tokens of a picture, NEO's own."""


def modular_from(
    encoder: str | Path,
    qwen3: str | Path | Qwen3ForCausalLM,
    *,
    language: Language = "plain",
    dropped_layers: int | None = None,
    seed: int = 0,
    **overrides: Any,
) -> ModularForConditionalGeneration:
    """An encoder before a Qwen3, with a new projector between them, in the dtype of the Qwen3's weights.

    Args:
        encoder: a folder or hub repository of a CLIP, a SigLIP or an InternVL in transformers' own format.
        qwen3: as for `neo_from_qwen3`.
        language: "plain" leaves the Qwen3 as it is; "native" gives it NEO's height and width weights and mask.
        dropped_layers: last layers of the encoder that are left out; 1 for CLIP, as LLaVA does, and 0 for the others
            when not given.
        seed: of the projector.
        overrides: as for `neo_from_qwen3`.

    Raises:
        CheckpointError: an encoder or a language model of another kind, or weights that do not fit.
        ConfigError: an override that makes no sense, or more layers left out than there are.
    """
    if language not in ("plain", "native"):
        raise ConfigError("a modular language model is plain or native", got=language, fix='use "plain" or "native"')
    folder, llm = local_folder(encoder), read_llm(qwen3)
    seeing = encoder_config(folder, dropped_layers)
    config = modular_config(seeing, llm, language, overrides)
    with torch.device("meta"):
        model: Any = ModularForConditionalGeneration(config)
    model.to(llm.dtype)
    model.model.vision_model = None  # built below with its tables, which the meta device would lose
    model.to_empty(device="cpu")
    model._init_weights(model.model.language_model.rotary_emb)
    model.tie_weights()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vision = EncoderAndProjector(config)
    read_encoder(folder, vision)
    model.model.vision_model = vision.to(llm.dtype)
    copy_language(llm, model)
    assert isinstance(model, ModularForConditionalGeneration)
    return model.train(False)


def modular_processor(model: ModularForConditionalGeneration, tokenizer: Any, encoder: str | Path) -> NeoProcessor:
    """The processor of a new modular model: the encoder's patches and colours.

    Raises:
        CheckpointError: the word embedding has no rows for the added tokens, or colours that are no numbers.
    """
    processor = fitting_processor(model, tokenizer)
    file = local_folder(encoder) / "preprocessor_config.json"
    said = read_json(file) if file.is_file() else {}
    mean, deviation = COLOURS[model.config.encoder().model_type]
    colours = {"image_mean": said.get("image_mean", mean), "image_std": said.get("image_std", deviation)}
    for name, values in colours.items():
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, int | float) for value in values):
            raise CheckpointError(f"{file.name}: {name} must be three numbers", got=values, fix="download it again")
    images = processor.image_processor.with_settings(**colours)
    return NeoProcessor(images, processor.tokenizer, max_length=processor.max_length)


def encoder_config(folder: Path, dropped_layers: int | None) -> PreTrainedConfig:
    """The configuration of the encoder in a folder, without the layers and heads that nothing reads."""
    content = read_json(folder / "config.json")
    kind = str(content.get("model_type"))
    if kind in WHOLE and isinstance(content.get("vision_config"), dict):
        kind, content = WHOLE[kind], content["vision_config"]
    if kind not in CLASS_TOKENS:
        raise CheckpointError(
            "the encoder must be a CLIP, a SigLIP or an InternVL in transformers' own format",
            got=f"model_type {kind!r} in {folder.name}",
            fix="use for example openai/clip-vit-large-patch14, google/siglip-so400m-patch14-384 or"
            " OpenGVLab/InternVL3-1B-hf; folders that need remote code are not read",
        )
    content = {key: value for key, value in content.items() if key not in ("model_type", "dtype", "torch_dtype")}
    if kind == "siglip_vision_model":
        content["vision_use_head"] = False
    try:
        config = CONFIG_MAPPING[kind].from_dict(content)
    except (StrictDataclassError, TypeError, ValueError, KeyError) as error:
        raise CheckpointError("the encoder's configuration is broken", got=error, fix="download it again") from error
    dropped = (kind == "clip_vision_model") if dropped_layers is None else dropped_layers
    if not 0 <= dropped < config.num_hidden_layers:
        raise ConfigError(
            "more layers of the encoder are left out than it can spare",
            got=f"{dropped} of {config.num_hidden_layers}",
            fix="leave out fewer than there are",
        )
    config.num_hidden_layers -= int(dropped)
    return config


def modular_config(
    encoder: PreTrainedConfig, llm: LanguageModel, language: Language, overrides: dict[str, Any]
) -> ModularConfig:
    """The configuration of a modular model; pictures get as many tokens as NEO's at most and at least."""
    patch = side_of(encoder.patch_size)
    fewest, most = (tokens * (2 * patch) ** 2 for tokens in TOKENS)
    vision = {"patch_size": patch, "hidden_size": encoder.hidden_size, "min_pixels": fewest, "max_pixels": most}
    plain = {"rope_scheme": "1d", "attention_pattern": "causal"} if language == "plain" else {}
    like = neo_config(llm, 0, vision, plain | overrides)
    written = {key: value for key, value in encoder.to_diff_dict().items() if key not in NOT_OF_THE_ENCODER}
    content = {key: value for key, value in like.to_dict().items() if key != "architectures"}
    return ModularConfig.from_dict(
        content | {"encoder_config": {**written, "model_type": encoder.model_type}, "language": language}
    )


NOT_OF_THE_ENCODER = ("model_type", "transformers_version", "architectures", "dtype", "_name_or_path")


@torch.no_grad()
def read_encoder(folder: Path, vision: EncoderAndProjector) -> None:
    """Copy an encoder's tensors from the files of a folder; the rest of a whole model is left out.

    Raises:
        CheckpointError: pickles, a damaged file, or tensors that are missing or have another shape.
    """
    own: Mapping[str, Tensor] = vision.encoder.state_dict()
    files = weight_files(folder)
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
            stored = {name: file for file in opened for name in file.keys()}  # noqa: SIM118  (not a mapping)
            before = max(BEFORE, key=lambda prefix: sum(prefix + name in stored for name in own))
            named = {name: before + name for name in own if before + name in stored}
            shapes = {name: tuple(stored[place].get_slice(place).get_shape()) for name, place in named.items()}
            compare({name: tuple(tensor.shape) for name, tensor in own.items()}, shapes)
            for name, place in named.items():
                own[name].copy_(stored[place].get_tensor(place))
    except (SafetensorError, OSError) as error:
        what = f"the weights of {folder.name} are not whole safetensors files"
        raise CheckpointError(what, got=error, fix="download them again") from error


@torch.no_grad()
def copy_language(llm: LanguageModel, model: ModularForConditionalGeneration) -> None:
    """Copy the language model; a native one gets height and width weights that change nothing yet."""
    if model.config.language == "native":
        copy_llm(llm, model)
        return
    own = dict(model.named_parameters())
    for name, tensor in llm.tensors():
        own[neo_name(name, 0)].copy_(tensor)
        if name == WORDS and llm.tied and not model.config.tie_word_embeddings:
            own[HEAD].copy_(tensor)


def is_modular(folder: Path) -> bool:
    """Whether a folder says that it holds a modular model."""
    return read_json(folder / "config.json").get("model_type") == MODEL_TYPE


def load_modular(folder: Path, dtype: torch.dtype | None = None) -> ModularForConditionalGeneration:
    """A modular model from its folder, in the dtype of the files when none is given.

    Raises:
        CheckpointError: one that is not whole.
        ConfigError: a configuration that contradicts itself.
    """
    try:
        config = ModularConfig.from_dict(read_json(folder / "config.json"))
    except (StrictDataclassError, TypeError, KeyError) as error:
        what = "config.json is not that of a modular model"
        raise CheckpointError(what, got=error, fix="save the model again") from error
    kept = dtype or read_tensor(folder, neo_name(WORDS, 0)).dtype
    model: ModularForConditionalGeneration = ModularForConditionalGeneration.from_pretrained(
        folder, config=config, dtype=kept
    )
    return model
