"""Tiny models with random weights, as folders: one of ours, and a Qwen2.5-VL with a byte tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from pixelword.convert import save_released
from pixelword.model import NeoForConditionalGeneration, NeoProcessor, neo_tiny

FIXTURES = Path(__file__).parents[1] / "fixtures" / "neo"
MARKS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def letters_only(model: torch.nn.Module, letters: bytes = b"abcdefgh 1234,") -> None:
    """Large weights, so that each token hangs on all before it; and a head that writes nothing but these letters."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
        head = model.get_output_embeddings().weight
        unheard = torch.ones(len(head), dtype=torch.bool)
        unheard[list(letters)] = False
        head[unheard] = 0


def native_folder(place: Path, positions: int = 4096) -> Path:
    torch.manual_seed(0)
    ids = {"img_context_token_id": 261, "img_start_token_id": 262, "eos_token_id": 258}
    config = neo_tiny(vocab_size=384, num_hidden_layers=3, max_position_embeddings=positions, **ids)
    model = NeoForConditionalGeneration(config).eval()
    letters_only(model)
    tokenizer = NeoProcessor.from_pretrained(FIXTURES / "tied").tokenizer
    return save_released(model, NeoProcessor.from_config(config, tokenizer), place)


def qwen_folder(place: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "untied", tokenizer_type="qwen2")
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    tokenizer.chat_template = TEMPLATE
    start, end, image, video = tokenizer.convert_tokens_to_ids(MARKS)
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    text = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": rope,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    torch.manual_seed(1)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    letters_only(model)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112).save_pretrained(place)
    return place
