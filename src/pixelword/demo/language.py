"""The language model that surgery starts from: a small Qwen3 that has only ever read words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from pixelword.demo.vocabulary import CONTEXT, IMAGE_START, PAD, TURN_END
from pixelword.model import neo_tiny
from pixelword.model.layout import token_layout
from pixelword.model.masks import dense_mask
from pixelword.train import Batch, BranchCollator, Row


def small_qwen3(tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen3ForCausalLM:
    """A Qwen3 with the numbers of `neo_tiny`'s decoder and random weights."""
    text = neo_tiny().llm_config
    config = Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=text.num_hidden_layers - text.extra_num_layers,
        num_attention_heads=text.num_attention_heads,
        num_key_value_heads=text.num_key_value_heads,
        head_dim=text.head_dim,
        rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
        max_position_embeddings=text.max_position_embeddings,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.vocab[TURN_END],
        pad_token_id=tokenizer.vocab[PAD],
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config._attn_implementation = "sdpa"
        return Qwen3ForCausalLM(config)


@dataclass(frozen=True)
class WordCollator:
    """Rows with parallel branches for a plain language model: the same positions and masks that NEO would use."""

    rows: BranchCollator
    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: Sequence[Row]) -> Batch:
        batch = self.rows(rows)
        config = neo_tiny(
            img_context_token_id=self.tokenizer.convert_tokens_to_ids(CONTEXT),
            img_start_token_id=self.tokenizer.convert_tokens_to_ids(IMAGE_START),
        )
        layout = token_layout(
            config, batch["input_ids"], sample_ids=batch["sample_ids"], branch_ids=batch["branch_ids"]
        )
        return {
            "input_ids": batch["input_ids"],
            "labels": batch["labels"],
            "position_ids": layout.position_ids[0],
            "attention_mask": dense_mask(layout, batch["input_ids"].shape[1]),
        }
