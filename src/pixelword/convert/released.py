"""Released NEO folders: read with their quirks, written in their layout.

A folder holds `config.json`, weights as one or several safetensors files, and a tokenizer. The layout on disk is the
released one in both directions, so that reading and writing a folder changes no tensor. What reading repairs:

| quirk of a file | what happens |
|---|---|
| numbers inside one-element lists, no `layer_types`, either form of the rotary keys | `NeoConfig` reads it |
| no `template`, or null | `neo1_0` |
| no `extra_num_layers` | inferred from the width, or given |
| `model_type: internvl_chat` over NEO tensors | accepted: the names of the tensors decide |
| `auto_map` to remote code | dropped, never run |
| a head although the flag says tied | ignored if equal to the word embedding, else the flag is dropped |
| a `dtype` that the files do not have | the files decide |

`AutoConfig` does not take `internvl_chat`: the name belongs to InternVL, and to claim it here would change what happens
to InternVL's own folders. `load_released` and `NeoConfig.from_pretrained` do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import Qwen2Tokenizer

from pixelword.convert.folders import local_folder, read_json, written_whole
from pixelword.convert.modular import is_modular, load_modular
from pixelword.errors import CheckpointError, ConfigError
from pixelword.model import NeoConfig, NeoForConditionalGeneration
from pixelword.model.checkpoint import WORDS, check_folder, read_tensor, stored_shapes
from pixelword.model.processing import NeoProcessor

MODEL_TYPES = ("neo_chat", "internvl_chat")
TELLING = ("vision_model.embeddings.patch_embedding.weight", "language_model.model.layers.0.self_attn.q_proj_hw.weight")


def load_released(
    source: str | Path,
    *,
    pre_buffer_layers: int | None = None,
    dtype: torch.dtype | None = None,
    **processor_settings: Any,
) -> tuple[NeoForConditionalGeneration, NeoProcessor]:
    """A model and its processor from a released folder, or from one that we wrote; modular ones are read too.

    Args:
        source: a folder or a hub repository.
        pre_buffer_layers: depth of the pre-Buffer where config.json does not say it and the width does not tell.
        dtype: of the weights in memory; that of the files when not given, whatever config.json says.
        processor_settings: e.g. `min_pixels`; see `NeoProcessor.from_pretrained`.

    Raises:
        CheckpointError: no NEO, or one that is not whole.
        ConfigError: a configuration that contradicts itself.
    """
    folder = local_folder(source)
    model: NeoForConditionalGeneration
    if is_modular(folder):
        model = load_modular(folder, dtype)
    else:
        config = read_config(folder, pre_buffer_layers)
        check_folder(folder, config)
        kept = dtype or read_tensor(folder, WORDS).dtype
        model = NeoForConditionalGeneration.from_pretrained(folder, config=config, dtype=kept)
    model.train(False)
    processor = NeoProcessor.from_pretrained(folder, **processor_settings)
    check_token_ids(model.config, processor)
    return model, processor


def check_token_ids(config: NeoConfig, processor: NeoProcessor) -> None:
    """Raises:
    CheckpointError: configuration and tokenizer disagree on the tokens around a picture.
    """
    ids = processor.token_ids
    wanted = (ids.context, ids.image_start, ids.image_end)
    found = (config.image_token_id, config.image_start_token_id, config.image_end_token_id)
    if wanted != found:
        raise CheckpointError(
            "config.json and the tokenizer disagree on the ids of <IMG_CONTEXT>, <img> and </img>",
            got=f"{found} in config.json, {wanted} in the tokenizer",
            fix="set img_context_token_id, img_start_token_id and image_end_token_id to the tokenizer's",
        )


def read_config(folder: Path, pre_buffer_layers: int | None = None) -> NeoConfig:
    """The configuration of a folder that holds NEO tensors, whatever its `model_type` says.

    Raises:
        CheckpointError: another model's folder.
        ConfigError: a configuration that contradicts itself, or a depth that it does not have.
    """
    content = read_json(folder / "config.json")
    if content.get("model_type") not in MODEL_TYPES:
        raise CheckpointError(
            "not a NEO folder", got=f"model_type {content.get('model_type')!r}", fix="a released folder says neo_chat"
        )
    if content["model_type"] != "neo_chat":
        absent = [name for name in TELLING if name not in stored_shapes(folder)]
        if absent:
            raise CheckpointError(
                f"a folder of {content['model_type']} without NEO's tensors",
                got=f"no {absent[0]}",
                fix="this is an InternVL model; PixelWord reads NEO 1.0",
            )
    content = {key: value for key, value in content.items() if (key, value) != ("template", None)}
    try:
        config = NeoConfig.from_dict(content | {"model_type": "neo_chat"})
    except (StrictDataclassError, TypeError, KeyError) as error:
        raise CheckpointError("config.json is not that of a NEO", got=error, fix="download or save it again") from error
    if pre_buffer_layers is not None:
        layers = config.llm_config.num_hidden_layers
        if not 0 <= pre_buffer_layers <= layers:
            raise ConfigError(
                f"the pre-Buffer must have 0 to {layers} layers",
                got=pre_buffer_layers,
                fix="count those before the LLM",
            )
        config.llm_config.extra_num_layers = pre_buffer_layers
    return config


def save_released(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    folder: str | Path,
    *,
    max_shard_size: int | str = "5GB",
) -> Path:
    """Write a whole NEO folder: configuration, weights in the released layout, tokenizer, processor.

    Args:
        folder: a new or empty one. It appears when everything is written.
        max_shard_size: of one safetensors file, in bytes or like "5GB".

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
        ConfigError: a size that cannot be read.
    """
    if isinstance(max_shard_size, str) and not re.fullmatch(r"0*[1-9]\d*(KB|MB|GB|TB|KiB|MiB|GiB)", max_shard_size):
        what = "max_shard_size is a whole number above zero and a unit"
        raise ConfigError(what, got=max_shard_size, fix='write "5GB"')
    with written_whole(folder) as part:
        model.save_pretrained(part, max_shard_size=max_shard_size)
        processor.save_pretrained(part)
        write_older_tokenizer_files(processor.tokenizer, part)
    return Path(folder)


def write_older_tokenizer_files(tokenizer: Any, folder: Path) -> None:
    """Beside tokenizer.json, the files that the released code's tokenizer of an older transformers reads."""
    if isinstance(tokenizer, Qwen2Tokenizer):
        tokenizer.backend_tokenizer.model.save(str(folder))
        added = json.dumps(tokenizer.get_added_vocab(), ensure_ascii=False, indent=2)
        (folder / "added_tokens.json").write_text(added + "\n", encoding="utf-8")
