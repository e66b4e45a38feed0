"""A pre-Buffer that leaves its model and works in front of another one."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelword.convert import extract_pre_buffer, graft_pre_buffer, load_released, neo_from_qwen3, save_released
from pixelword.errors import CheckpointError, ConfigError, InputError, ShapeError
from pixelword.model.checkpoint import released_name

VISION = {"patch_size": 4, "hidden_size": 32}


@pytest.fixture
def neo(qwen3):
    return neo_from_qwen3(qwen3, pre_buffer_layers=2, vision=VISION, seed=4, rope_theta_hw=100.0)


@pytest.fixture
def pre_buffer(neo, tmp_path):
    return extract_pre_buffer(neo, tmp_path / "pb")


def tensors_of(model):
    return {released_name(name): tensor for name, tensor in model.state_dict().items()}


def test_what_is_extracted_is_the_pixels_and_the_first_layers(neo, pre_buffer):
    stored = load_file(pre_buffer / "pre_buffer.safetensors")
    assert len(stored) == 4 + 2 * 17
    starts = ("vision_model.", "language_model.model.layers.0.", "language_model.model.layers.1.")
    wanted = {name: tensor for name, tensor in tensors_of(neo).items() if name.startswith(starts)}
    assert stored.keys() == wanted.keys()
    assert all(torch.equal(stored[name], wanted[name]) for name in wanted)
    size = json.loads((pre_buffer / "pre_buffer.json").read_text())
    assert (size["layers"], size["llm_config"]["hidden_size"], size["vision_config"]["patch_size"]) == (2, 64, 4)


def test_from_a_folder_comes_what_comes_from_memory(released, tmp_path):
    model, processor = load_released(released)
    sharded = save_released(model, processor, tmp_path / "sharded", max_shard_size="200KB")
    folders = [extract_pre_buffer(source, tmp_path / f"pb{at}") for at, source in enumerate((model, released, sharded))]
    first = [(folder / name).read_bytes() for folder in folders for name in ("pre_buffer.json",)]
    assert first[0] == first[1] == first[2]
    left, *others = [load_file(folder / "pre_buffer.safetensors") for folder in folders]
    for other in others:
        assert left.keys() == other.keys()
        assert all(torch.equal(left[name], other[name]) for name in left)


def test_grafting_back_gives_the_same_model(neo, pre_buffer, qwen3):
    again = graft_pre_buffer(pre_buffer, qwen3)
    assert again.config.to_dict() == neo.config.to_dict()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in neo.state_dict().items())


def test_in_front_of_another_language_model(neo, pre_buffer, make_qwen3):
    """Fewer layers, tied, other weights, another dtype: the first layers are the old ones, the rest is the new LLM."""
    other = make_qwen3(seed=9, num_hidden_layers=2, tie_word_embeddings=True).to(torch.bfloat16)
    grafted = graft_pre_buffer(pre_buffer, other)
    fresh = tensors_of(neo_from_qwen3(other, pre_buffer_layers=2, vision=VISION, rope_theta_hw=100.0))
    old = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(pre_buffer / "pre_buffer.safetensors").items()}
    assert grafted.config.llm_config.rope_theta_hw == 100.0
    assert grafted.dtype == torch.bfloat16
    for name, tensor in tensors_of(grafted).items():
        assert torch.equal(tensor, old.get(name, fresh[name])), name


@pytest.mark.parametrize(
    ("change", "dimension"),
    [
        ({"hidden_size": 96}, "hidden_size"),
        ({"intermediate_size": 128}, "intermediate_size"),
        ({"num_attention_heads": 8}, "num_attention_heads"),
        ({"num_key_value_heads": 4}, "num_key_value_heads"),
        ({"head_dim": 16}, "head_dim"),
        ({"vocab_size": 320}, "vocab_size"),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "rope_theta"),
    ],
)
def test_a_language_model_that_does_not_fit_is_refused_by_the_dimension(pre_buffer, make_qwen3, change, dimension):
    with pytest.raises(ShapeError, match=f"differ in {dimension}"):
        graft_pre_buffer(pre_buffer, make_qwen3(**change))


def test_a_model_without_a_pre_buffer_has_none_to_give(qwen3, neo, tmp_path):
    bare = neo_from_qwen3(qwen3, pre_buffer_layers=0)
    with pytest.raises(ConfigError, match="no pre-Buffer"):
        extract_pre_buffer(bare, tmp_path / "pb")
    with pytest.raises(ConfigError, match="no pre-Buffer"):
        extract_pre_buffer(neo, tmp_path / "pb", pre_buffer_layers=6)
    assert not (tmp_path / "pb").exists()
    extract_pre_buffer(bare, tmp_path / "pb", pre_buffer_layers=1)
    with pytest.raises(InputError, match="exists already"):
        extract_pre_buffer(neo, tmp_path / "pb")


def test_a_broken_pre_buffer_is_one_clear_error(pre_buffer, qwen3):
    file, text = pre_buffer / "pre_buffer.safetensors", (pre_buffer / "pre_buffer.json").read_text()
    tensors = load_file(file)
    save_file({name: tensor for name, tensor in tensors.items() if "layers.1" not in name}, file)
    with pytest.raises(CheckpointError, match="17 of 38 tensors are missing"):
        graft_pre_buffer(pre_buffer, qwen3)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        graft_pre_buffer(pre_buffer, qwen3)
    file.unlink()
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        graft_pre_buffer(pre_buffer, qwen3)
    for broken in ("{}", text.replace('"head_dim"', '"head_size"'), text.replace("Buffer 1", "Buffer 2"), "{"):
        (pre_buffer / "pre_buffer.json").write_text(broken)
        with pytest.raises(CheckpointError, match=r"pre_buffer\.json"):
            graft_pre_buffer(pre_buffer, qwen3)
