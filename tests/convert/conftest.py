"""A small Qwen3 built by transformers, and a tokenizer that looks like Qwen3's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests.convert.qwen3_folder import FIXTURES, save_qwen3


@pytest.fixture
def make_qwen3() -> Callable[..., Qwen3ForCausalLM]:
    """Builds a Qwen3 whose weights are all random, norms included."""

    def make(seed: int = 0, **overrides: Any) -> Qwen3ForCausalLM:
        sizes = {
            "vocab_size": 384,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "eos_token_id": 258,
        }
        generator = torch.Generator().manual_seed(seed)
        model = Qwen3ForCausalLM(Qwen3Config(**(sizes | overrides))).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(1 + 0.3 * noise if "norm" in name else 0.1 * noise)
        return model

    return make


@pytest.fixture
def qwen3(make_qwen3) -> Qwen3ForCausalLM:
    return make_qwen3()


@pytest.fixture
def qwen3_folder(qwen3, tmp_path) -> Path:
    return save_qwen3(qwen3, tmp_path / "qwen3")


@pytest.fixture(params=["tied", "untied"])
def released(request, tmp_path) -> Path:
    """A copy of a recorded folder in the released layout."""
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / request.param))


@pytest.fixture
def edit_config() -> Callable[..., None]:
    """Changes config.json: `edit_config(folder, lambda config: config.pop("template"))`."""

    def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text())
        change(config)
        file.write_text(json.dumps(config))

    return edit
