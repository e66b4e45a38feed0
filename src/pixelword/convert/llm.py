"""A Qwen3 language model as something to operate on: its configuration, its tensors, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword.convert.folders import local_folder, read_json
from pixelword.errors import CheckpointError, InputError
from pixelword.model.checkpoint import compare, read_tensor, stored_shapes, weight_files

logger = logging.getLogger(__name__)

HEAD, WORDS = "lm_head.weight", "model.embed_tokens.weight"


@dataclass(frozen=True)
class LanguageModel:
    """A Qwen3 whose names and shapes have been checked.

    Attributes:
        config: as transformers reads it.
        dtype: of the weights.
        tied: whether the head is the word embedding; decided by the weights where flag and weights disagree.
        origin: the folder or the model in memory.
    """

    config: Qwen3Config
    dtype: torch.dtype
    tied: bool
    origin: Path | Qwen3ForCausalLM

    @property
    def rope_theta(self) -> float:
        """Base of the rotation."""
        rope: dict[str, Any] = dict(self.config.rope_parameters or {})
        return float(rope["rope_theta"])

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, one at a time; the head only if it is not tied."""
        skipped = HEAD if self.tied else ""
        if isinstance(self.origin, Qwen3ForCausalLM):
            yield from ((name, tensor) for name, tensor in self.origin.state_dict().items() if name != skipped)
            return
        for file in weight_files(self.origin):
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  (not a mapping)
                    if name != skipped:
                        yield name, opened.get_tensor(name)


def read_llm(source: str | Path | Qwen3ForCausalLM) -> LanguageModel:
    """Look at a Qwen3 without loading it.

    Args:
        source: a folder with safetensors, a hub repository, or a model in memory.

    Raises:
        CheckpointError: not a Qwen3, a Qwen3 with features that NEO's blocks lack, or weights that do not fit.
    """
    if isinstance(source, Qwen3ForCausalLM):
        check_supported(source.config)
        weights = source.get_input_embeddings().weight
        tied = source.get_output_embeddings().weight is weights
        return LanguageModel(source.config, source.dtype, tied, source)
    if not isinstance(source, str | Path):
        raise InputError(
            "a Qwen3 is a folder, a hub repository or a Qwen3ForCausalLM",
            got=type(source).__name__,
            fix="unwrap the model first",
        )
    folder = local_folder(source)
    config = read_config(folder)
    tied = check_weights(folder, config)
    dtype = read_tensor(folder, WORDS).dtype
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise CheckpointError(
            "the weights must be float32, bfloat16 or float16", got=dtype, fix="save it in one of these"
        )
    return LanguageModel(config, dtype, tied, folder)


def read_config(folder: Path) -> Qwen3Config:
    content = read_json(folder / "config.json")
    if content.get("model_type") != "qwen3":
        raise CheckpointError(
            "the language model must be a Qwen3, whose blocks NEO extends",
            got=f"model_type {content.get('model_type')!r}",
            fix="use a dense Qwen3 such as Qwen/Qwen3-1.7B-Base",
        )
    if content.get("quantization_config"):
        raise CheckpointError(
            "quantised weights cannot be extended", got=content["quantization_config"], fix="use the original weights"
        )
    try:
        config = Qwen3Config.from_dict(content)
    except (StrictDataclassError, TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            "config.json is not that of a Qwen3", got=error, fix="download or save it again"
        ) from error
    check_supported(config)
    return config


def check_supported(config: Qwen3Config) -> None:
    """Raises:
    CheckpointError: the LLM computes something that a NEO block does not.
    """
    rope = config.rope_parameters or {}
    kind = rope.get("rope_type", "default")
    sliding = config.use_sliding_window or any(kind != "full_attention" for kind in config.layer_types or ())
    for refused, what, got in (
        (kind != "default", "scaled rotation (rope_scaling)", kind),
        (config.attention_bias, "attention biases", "attention_bias true"),
        (sliding, "sliding windows", "use_sliding_window, or layers that are not full_attention"),
        (config.hidden_act != "silu", "another activation than silu", config.hidden_act),
        (config.head_dim % 4, "heads that cannot be quartered", f"head_dim {config.head_dim}"),
    ):
        if refused:
            raise CheckpointError(
                f"a Qwen3 with {what} has no NEO counterpart", got=got, fix="start from a plain Qwen3 checkpoint"
            )


def check_weights(folder: Path, config: Qwen3Config) -> bool:
    """Compare names and shapes with the configuration; return whether the head is tied.

    A file may say "tied" and carry a head all the same. If its values differ, the file is right.
    """
    with torch.device("meta"):
        expected = shapes_of(Qwen3ForCausalLM(config).state_dict())
    stored = stored_shapes(folder)
    tied = bool(config.tie_word_embeddings)
    if tied and HEAD in stored and WORDS in stored:
        tied = torch.equal(read_tensor(folder, HEAD), read_tensor(folder, WORDS))
        if not tied:
            logger.warning("config.json ties the head to the word embedding, but their weights differ: not tied")
    if tied:
        expected.pop(HEAD)
        stored.pop(HEAD, None)
    compare(expected, stored)
    return tied


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
