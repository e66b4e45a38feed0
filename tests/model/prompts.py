"""The recorded prompts, the tiny tokenizer, and a tokenizer shaped like Qwen3's."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.model.pictures import FIXTURES

GOLDEN = json.loads((FIXTURES / "chat_templates.json").read_text())
ASKED = [case for case in GOLDEN["cases"] if "question" in case]
TRAINED = [case for case in GOLDEN["cases"] if "conversations" in case]

QWEN3_ADDED = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>"),
    *("<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>"),
    *("<think>", "</think>"),
)


def tokenizer() -> Any:
    """The recorded byte-level tokenizer, fresh: a processor changes its template."""
    return AutoTokenizer.from_pretrained(FIXTURES / "tied")


@cache
def plain_qwen3_json() -> str:
    """A byte-level tokenizer with Qwen3's ids for added tokens: 151643 ordinary ones, then 26."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*letters, *(f"filler{at}" for at in range(151643 - 256))])}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    ordinary = ("<t", "</t", "<|fim", "<|repo", "<|file")
    plain.add_tokens([AddedToken(token, special=not token.startswith(ordinary)) for token in QWEN3_ADDED])
    return plain.to_str()


def plain_qwen3() -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(plain_qwen3_json()), eos_token="<|im_end|>")


LITERALS = (*GOLDEN["special_tokens"], *QWEN3_ADDED, "<image>")

hostile_text = st.lists(
    st.one_of(
        st.sampled_from(LITERALS),
        st.sampled_from(LITERALS).flatmap(lambda token: st.integers(0, len(token)).map(lambda at: token[:at])),
        st.sampled_from(LITERALS).flatmap(lambda token: st.integers(0, len(token)).map(lambda at: token[at:])),
        st.sampled_from(["\u2060", "<", ">", "|", "\n", " ", "\r\n", "{{", "}}", "{%", "'", '"', "\\", "\0", "\u00e9"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    max_size=6,
).map("".join)
"""Text of someone who knows the tokens: whole literals, their halves, breaks, template syntax, anything."""
