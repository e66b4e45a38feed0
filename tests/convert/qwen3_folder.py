"""Writing a Qwen3 folder as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import Qwen3ForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures" / "neo"
NEO_ONLY = range(261, 384)
"""Ids of the byte-level fixture tokenizer that a Qwen3 would not have."""


def save_qwen3(model: Qwen3ForCausalLM, folder: Path, **options: Any) -> Path:
    """A Qwen3 folder: weights, and the fixture's tokenizer without what NEO adds."""
    model.save_pretrained(folder, **options)
    tokenizer = json.loads((FIXTURES / "tied" / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] not in NEO_ONLY]
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: index for word, index in vocabulary.items() if index not in NEO_ONLY}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
