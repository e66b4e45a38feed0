"""The pre-Buffer on its own: taken out of a NEO, and put in front of another language model.

On disk a pre-Buffer is a folder of two files: `pre_buffer.safetensors` with the tensors of `vision_model.*` and of
`language_model.model.layers.0` to `L1 - 1` under their released names, and `pre_buffer.json` with its dimensions.

Source: NEO, section 4.4 and figure 6: pre-Buffers PB1, PB2, PB3 of the three stages in front of a fresh LLM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3ForCausalLM

from pixelword.convert.folders import local_folder, read_json, written_whole
from pixelword.convert.llm import LanguageModel, read_llm
from pixelword.convert.qwen3 import VISION_KEYS, copy_llm, empty_neo, neo_config
from pixelword.convert.released import read_config
from pixelword.errors import CheckpointError, ConfigError, ShapeError
from pixelword.model import NeoConfig, NeoForConditionalGeneration
from pixelword.model.checkpoint import check_folder, compare, released_name, weight_files

TENSORS, DIMENSIONS = "pre_buffer.safetensors", "pre_buffer.json"
FORMAT = "pixelword pre-Buffer 1"

MUST_AGREE = (
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("vocab_size", "rms_norm_eps", "rope_theta"),
)
"""What the pre-Buffer and the LLM share in one stack of equal layers, under one word embedding."""
BROUGHT = (
    *("rope_theta_hw", "max_position_embeddings_hw", "rope_scheme", "rope_extra", "video_diagonal"),
    "attention_pattern",
)
"""What the pre-Buffer was trained with and the LLM knows nothing about."""


def extract_pre_buffer(
    neo: str | Path | NeoForConditionalGeneration, folder: str | Path, *, pre_buffer_layers: int | None = None
) -> Path:
    """Write the pre-Buffer of a NEO; from a folder it reads no other tensor.

    Args:
        neo: a released folder, a hub repository, or a model in memory.
        folder: a new or empty one.
        pre_buffer_layers: its depth, where the configuration does not know it.

    Raises:
        CheckpointError: no NEO, or one that is not whole.
        ConfigError: the depth is zero or unknown.
        InputError: the target exists and is not empty, or cannot be written.
    """
    if isinstance(neo, NeoForConditionalGeneration):
        config = neo.config
        stored = iter([(released_name(name), tensor) for name, tensor in neo.state_dict().items()])
    else:
        source = local_folder(neo)
        config = read_config(source, pre_buffer_layers)
        check_folder(source, config)
        stored = stored_tensors(source)
    depth = config.llm_config.extra_num_layers if pre_buffer_layers is None else pre_buffer_layers
    if not 0 < depth <= config.llm_config.num_hidden_layers:
        raise ConfigError(
            "this model has no pre-Buffer of that depth",
            got=f"{depth} of {config.llm_config.num_hidden_layers} layers",
            fix="say the depth: pre_buffer_layers, or --layers on the command line",
        )
    tensors = {name: tensor.contiguous() for name, tensor in stored if belongs(name, depth)}
    with written_whole(folder) as part:
        save_file(tensors, part / TENSORS, metadata={"format": "pt"})
        text = json.dumps(dimensions(config, depth, tensors), indent=2, sort_keys=True)
        (part / DIMENSIONS).write_text(text + "\n", encoding="utf-8")
    return Path(folder)


def graft_pre_buffer(
    folder: str | Path, qwen3: str | Path | Qwen3ForCausalLM, **config_overrides: Any
) -> NeoForConditionalGeneration:
    """A NEO from a pre-Buffer and a Qwen3 of the same width, head layout and vocabulary, in the Qwen3's dtype.

    Nothing is random: the Qwen3's layers get the height and width weights that change nothing, as in `neo_from_qwen3`.

    Args:
        folder: written by `extract_pre_buffer`.
        qwen3: a folder with safetensors, a hub repository, or a model in memory.
        config_overrides: as in `neo_from_qwen3`.

    Raises:
        CheckpointError: one of the two is not what it should be.
        ShapeError: they do not fit; names the dimension.
    """
    source = local_folder(folder)
    size = read_dimensions(source)
    llm = read_llm(qwen3)
    check_fit(size["llm_config"], llm)
    brought = {name: size["llm_config"][name] for name in BROUGHT}
    config = neo_config(llm, size["layers"], size["vision_config"], brought | config_overrides)
    model = empty_neo(config, llm.dtype)
    copy_llm(llm, model)
    fill_pre_buffer(source, model)
    return model


def belongs(name: str, depth: int) -> bool:
    """Whether a tensor of a NEO, by its released name, is part of the pre-Buffer."""
    if name.startswith("vision_model."):
        return True
    inner = name.removeprefix("language_model.model.layers.")
    return inner != name and int(inner.split(".")[0]) < depth


def dimensions(config: NeoConfig, depth: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What `pre_buffer.json` holds."""
    content = config.to_dict()
    kept = MUST_AGREE + BROUGHT
    vision = {name: content["vision_config"][name] for name in VISION_KEYS}
    return {
        "format": FORMAT,
        "layers": depth,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "dtype": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
        "llm_config": {name: content["llm_config"][name] for name in kept},
        "vision_config": vision,
    }


def read_dimensions(folder: Path) -> dict[str, Any]:
    content = read_json(folder / DIMENSIONS)
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{DIMENSIONS} is of another format", got=content.get("format"), fix=f"wanted {FORMAT!r}")
    absent = [name for name in MUST_AGREE + BROUGHT if name not in content.get("llm_config", {})]
    if absent or not isinstance(content.get("vision_config"), dict) or not isinstance(content.get("layers"), int):
        raise CheckpointError(f"{DIMENSIONS} lacks entries", got=absent or sorted(content), fix="extract it again")
    return content


def check_fit(size: dict[str, Any], llm: LanguageModel) -> None:
    """Raises:
    ShapeError: on the first dimension in which pre-Buffer and LLM differ.
    """
    for name in MUST_AGREE:
        wanted = size[name]
        found = llm.rope_theta if name == "rope_theta" else getattr(llm.config, name)
        if wanted != found:
            raise ShapeError(
                f"pre-Buffer and language model differ in {name}",
                got=f"{wanted} and {found}",
                fix="graft in front of a Qwen3 of the size that the pre-Buffer was trained with",
            )


@torch.no_grad()
def fill_pre_buffer(folder: Path, model: NeoForConditionalGeneration) -> None:
    """Copy the stored tensors into the first layers and the patch embedding."""
    depth = model.config.llm_config.extra_num_layers
    own = {released_name(name): parameter for name, parameter in model.named_parameters()}
    own = {name: parameter for name, parameter in own.items() if belongs(name, depth)}
    file = folder / TENSORS
    try:
        with safe_open(file, framework="pt") as opened:
            stored = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            compare({name: tuple(parameter.shape) for name, parameter in own.items()}, stored)
            for name, parameter in own.items():
                parameter.copy_(opened.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"no whole safetensors file {TENSORS}", got=error, fix="extract it again") from error


def stored_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Name on disk and tensor, one at a time."""
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (not a mapping)
                yield name, opened.get_tensor(name)
