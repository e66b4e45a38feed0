"""`pixelword convert`: a chain of conversions as a user would type it, and the mistakes a user can make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword.cli.convert import read_changes, readable
from pixelword.cli.main import run
from pixelword.convert import load_released
from pixelword.errors import ConfigError
from tests.convert.qwen3_folder import FIXTURES, save_qwen3


def leave(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        run([str(word) for word in words])
    return int(leaving.value.code or 0)


@pytest.fixture
def qwen3(tmp_path) -> Path:
    sizes = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**sizes, num_attention_heads=4, num_key_value_heads=2, head_dim=32))
    return save_qwen3(model, tmp_path / "qwen3")


def test_the_whole_chain(qwen3, tmp_path, capsys):
    patches = ("--set", "vision.patch_size=4", "--set", "vision.hidden_size=32")
    assert leave("convert", "qwen3", qwen3, tmp_path / "neo", "--layers", 2, *patches) == 0
    said = capsys.readouterr().out
    assert "NEO: 5 layers (2 pre-Buffer, 3 behind it), float32" in said
    assert "parameters in all                  336,800" in said
    assert f"written to {tmp_path / 'neo'}" in said
    assert "model.safetensors                   1.4 MB" in said
    assert leave("convert", "neo", tmp_path / "neo", tmp_path / "half", "--dtype", "bfloat16") == 0
    assert "bfloat16" in capsys.readouterr().out
    assert leave("convert", "prebuffer-extract", tmp_path / "half", tmp_path / "pb") == 0
    assert "pre-Buffer: 2 layers, 120,928 parameters, bfloat16" in capsys.readouterr().out
    assert leave("convert", "prebuffer-graft", tmp_path / "pb", qwen3, tmp_path / "grafted") == 0
    before, after = (load_released(tmp_path / name)[0] for name in ("neo", "grafted"))
    for name, tensor in before.state_dict().items():
        new = "vision_model" in name or "layers.0." in name or "layers.1." in name
        wanted = tensor.to(torch.bfloat16).float() if new else tensor
        assert torch.equal(after.state_dict()[name], wanted), name
    assert after.config.to_dict() == before.config.to_dict()


def test_a_released_folder_in_and_out(tmp_path, capsys):
    out = tmp_path / "out"
    assert leave("convert", "neo", FIXTURES / "tied", out, "--layers", 1, "--max-shard-size", "200KB") == 0
    assert "NEO: 4 layers (1 pre-Buffer, 3 behind it), float32" in capsys.readouterr().out
    assert len(list(out.glob("model-*.safetensors"))) > 1
    assert load_released(out)[0].config.llm_config.extra_num_layers == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("neo", "{qwen3}", "{new}"), "not a NEO folder"),
        (("neo", "{neo}", "{new}", "--dtype", "float31"), "did you mean 'float32'"),
        (("neo", "{neo}", "{new}", "--max-shard-size", "lots"), "max_shard_size"),
        (("neo", "{neo}", "{new}", "--max-shard-size", "0KB"), "max_shard_size"),
        (("neo", "{neo}", "{qwen3}"), "exists already"),
        (("qwen3", "{neo}", "{new}"), "must be a Qwen3"),
        (("qwen3", "{qwen3}", "{new}", "--set", "rope_theta_hw"), "KEY=VALUE"),
        (("qwen3", "{qwen3}", "{new}", "--set", "rope_teta_hw=1"), "rope_theta_hw"),
        (("qwen3", "{qwen3}", "{new}", "--set", "vision.patch=4"), "patch_size"),
        (("qwen3", "{new}", "{new}"), "no such folder"),
        (("prebuffer-extract", "{neo}", "{new}", "--layers", "9"), "the pre-Buffer must have 0 to 4 layers"),
        (("prebuffer-graft", "{neo}", "{qwen3}", "{new}"), "pre_buffer.json"),
    ],
)
def test_a_mistake_is_told_as_text_and_leaves_nothing(qwen3, tmp_path, capsys, words, told):
    places = {"qwen3": qwen3, "neo": FIXTURES / "untied", "new": tmp_path / "new"}
    assert leave("convert", *(word.format(**places) for word in words)) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert [file.name for file in tmp_path.iterdir()] == ["qwen3"]


def test_changes_are_json_or_text():
    words = ["vision.patch_size=4", "rope_scheme=mm", "video_diagonal=true", "template=a=b"]
    assert read_changes(words) == ({"patch_size": 4}, {"rope_scheme": "mm", "video_diagonal": True, "template": "a=b"})
    for word in ("=4", "4"):
        with pytest.raises(ConfigError):
            read_changes([word])


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (685_400, "685 kB"), (5_800_000_000, "5.8 GB")],
)
def test_sizes_are_readable(size, text):
    assert readable(size) == text
