"""Random-weight models of a few thousand parameters, with processors, as the trainer meets them."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from pixelword.answering import picture_processor
from pixelword.demo.vocabulary import word_tokenizer
from pixelword.model import NeoForConditionalGeneration, NeoProcessor, neo_tiny

SPECIAL = ["<|endoftext|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}:"
    "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and Qwen's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
        chat_template=TEMPLATE,
        padding_side="left",
    )


def qwen(family: str) -> tuple[PreTrainedModel, Any]:
    """A Qwen2-VL or Qwen2.5-VL, and its processor for pictures alone."""
    tokenizer = byte_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    tokens = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    shared = {"depth": 1, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
    torch.manual_seed(0)
    model: PreTrainedModel
    if family == "qwen2_vl":
        vision = {**shared, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=vision, **tokens))
    else:
        vision = {**shared, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "window_size": 28}
        vision["fullatt_block_indexes"] = [0]
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens))
    pictures = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28})
    return model, picture_processor(family, pictures, tokenizer)


def ours() -> tuple[PreTrainedModel, Any]:
    """A NEO with the demo's words."""
    tokenizer = word_tokenizer()
    vocabulary = tokenizer.get_vocab()
    config = neo_tiny(
        vocab_size=64,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        extra_num_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        llm_hidden_size=48,
        eos_token_id=vocabulary["<|im_end|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
        bos_token_id=None,
        img_context_token_id=vocabulary["<IMG_CONTEXT>"],
        img_start_token_id=vocabulary["<img>"],
        image_end_token_id=vocabulary["</img>"],
    )
    torch.manual_seed(0)
    model = NeoForConditionalGeneration(config)
    return model, NeoProcessor.from_config(config, tokenizer, min_pixels=1024, max_pixels=4096)
