"""A tiny model with a processor, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.model import NeoForConditionalGeneration, NeoProcessor, neo_tiny

FIXTURES = Path(__file__).parent.parent / "fixtures" / "neo"
IDS = {"img_context_token_id": 261, "img_start_token_id": 262, "eos_token_id": 258}


@pytest.fixture
def make_model():
    """Builds a tiny random model and its processor."""

    def make(**overrides: Any) -> tuple[NeoForConditionalGeneration, NeoProcessor]:
        sizes = {"vocab_size": 384, "num_hidden_layers": 3, "min_pixels": 256, "max_pixels": 64 * 64}
        config = neo_tiny(**(sizes | IDS | overrides))
        torch.manual_seed(0)
        model = NeoForConditionalGeneration(config).eval()
        tokenizer = NeoProcessor.from_pretrained(FIXTURES / "tied").tokenizer
        return model, NeoProcessor.from_config(config, tokenizer)

    return make


@pytest.fixture
def pictures() -> list[Image.Image]:
    """33 x 17 and 20 x 40 pixels, resized to 32 x 16 and 24 x 40: 2 x 4 and 5 x 2 or 3 tokens."""
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)) for size in ((17, 33), (40, 24))]
