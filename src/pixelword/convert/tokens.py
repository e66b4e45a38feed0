"""From a Qwen3 tokenizer to a NEO processor: thirteen added tokens, another end of turn, the template neo1_0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pixelword.convert.folders import local_folder
from pixelword.errors import CheckpointError
from pixelword.model import NeoConfig, NeoForConditionalGeneration
from pixelword.model.processing import NeoProcessor
from pixelword.model.special_tokens import TURN_END, TokenIds, add_neo_tokens


def neo_tokenizer(source: str | Path) -> Any:
    """The tokenizer of a Qwen3 folder or repository with NEO's tokens, ending a turn with `<|im_end|>`.

    Raises:
        CheckpointError: no usable tokenizer, or one without `<|im_start|>` and `<|im_end|>`.
    """
    folder = local_folder(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "the folder has no usable tokenizer",
            got=str(error).splitlines()[0],
            fix="the language model's folder must hold its tokenizer, or name it separately",
        ) from error
    add_neo_tokens(tokenizer)
    tokenizer.eos_token = TURN_END
    return tokenizer


def token_settings(tokenizer: Any) -> dict[str, Any]:
    """Keys of the configuration that follow from a tokenizer; for `neo_from_qwen3`'s overrides."""
    ids = TokenIds.of(tokenizer)
    return {
        "img_context_token_id": ids.context,
        "img_start_token_id": ids.image_start,
        "image_end_token_id": ids.image_end,
        "eos_token_id": ids.turn_end,
    } | ({} if tokenizer.pad_token_id is None else {"pad_token_id": tokenizer.pad_token_id})


def fitting_processor(model: NeoForConditionalGeneration, tokenizer: Any) -> NeoProcessor:
    """The processor of a new model.

    Raises:
        CheckpointError: the word embedding has no rows for the added tokens.
    """
    config: NeoConfig = model.config
    rows, wanted = config.llm_config.vocab_size, len(tokenizer)
    if wanted > rows:
        raise CheckpointError(
            "the word embedding has no rows for NEO's tokens",
            got=f"{rows} rows for {wanted} tokens",
            fix=f"call resize_token_embeddings({-(-wanted // 64) * 64}) on the Qwen3 and save it first",
        )
    return NeoProcessor.from_config(config, tokenizer)
