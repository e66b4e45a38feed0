"""The released layout, both ways: what is read is what is written, tensor by tensor and byte by byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    Qwen2Tokenizer,
    Trainer,
    TrainingArguments,
)

from pixelword.convert import load_released, read_config, save_released
from pixelword.errors import CheckpointError, ConfigError, InputError
from pixelword.model import NeoConfig, NeoForConditionalGeneration, neo_tiny
from pixelword.model.processing import NeoProcessor
from pixelword.model.special_tokens import TokenIds, add_neo_tokens
from tests.convert.qwen3_folder import FIXTURES

HEAD = "language_model.lm_head.weight"
WORDS = "language_model.model.embed_tokens.weight"

READ_BY_THE_RELEASED_CODE = {
    "": {"model_type", "architectures", "template", "downsample_ratio", "tie_word_embeddings", "vision_config"}
    | {"llm_config", "use_backbone_lora", "use_llm_lora", "hidden_size", "img_context_token_id", "img_start_token_id"},
    "vision_config": {"model_type", "num_channels", "patch_size", "hidden_size", "llm_hidden_size"}
    | {"downsample_ratio", "rope_theta_vision", "max_position_embeddings_vision", "min_pixels", "max_pixels"},
    "llm_config": {"architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers"}
    | {"num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "rms_norm_eps", "hidden_act"}
    | {"rope_theta", "rope_theta_hw", "max_position_embeddings", "max_position_embeddings_hw", "attention_bias"}
    | {"attention_dropout", "use_sliding_window", "sliding_window", "tie_word_embeddings", "extra_num_layers"}
    | {"bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "initializer_range"},
}


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder, as the files have them."""
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def assert_same_bytes(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype, name
        assert torch.equal(tensor.view(torch.uint8), right[name].view(torch.uint8)), name


@pytest.mark.parametrize("shard", ["5GB", "200KB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reading_and_writing_keeps_every_byte(released, tmp_path, shard, dtype):
    file = released / "model.safetensors"
    before = {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
    save_file(before, file, metadata={"format": "pt"})
    model, processor = load_released(released)
    assert model.dtype == dtype
    out = save_released(model, processor, tmp_path / "out", max_shard_size=shard)
    assert (out / "model.safetensors.index.json").exists() is (shard == "200KB")
    assert_same_bytes(before, stored(out))
    again, _ = load_released(out)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_tied_model_writes_no_head_and_an_untied_one_does(released, tmp_path):
    model, processor = load_released(released)
    out = save_released(model, processor, tmp_path / "out")
    assert (HEAD in stored(out)) is (released.name == "untied")
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is (released.name == "tied")


def test_the_shard_index_names_every_tensor_once(released, tmp_path):
    model, processor = load_released(released)
    out = save_released(model, processor, tmp_path / "out", max_shard_size="200KB")
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == stored(released).keys()
    for shard in set(index["weight_map"].values()):
        with safe_open(out / shard, framework="pt") as opened:
            assert set(opened.keys()) == {name for name, file in index["weight_map"].items() if file == shard}


def test_config_json_has_every_key_that_the_released_code_reads_with_its_value(released, tmp_path):
    model, processor = load_released(released)
    out = save_released(model, processor, tmp_path / "out")
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (released, out))
    for section, keys in READ_BY_THE_RELEASED_CODE.items():
        old, new = (config[section] if section else config for config in (before, after))
        assert keys - new.keys() == set(), section
        for key in keys & old.keys() - {"vision_config", "llm_config"}:
            assert new[key] == old[key], f"{section} {key}"
    assert after["dtype"] == before["torch_dtype"]
    assert "auto_map" not in after


def test_what_we_wrote_loads_through_transformers_without_remote_code(released, tmp_path):
    model, processor = load_released(released)
    out = save_released(model, processor, tmp_path / "out")
    assert isinstance(AutoConfig.from_pretrained(out), NeoConfig)
    loaded = AutoModelForImageTextToText.from_pretrained(out)
    assert isinstance(loaded, NeoForConditionalGeneration)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_backbone_is_read_from_a_whole_folder_and_never_written_alone(tmp_path, released):
    whole, _ = load_released(released)
    backbone = AutoModel.from_pretrained(released)
    assert all(torch.equal(tensor, backbone.state_dict()[name]) for name, tensor in whole.model.state_dict().items())
    with pytest.raises(CheckpointError, match="backbone alone"):
        backbone.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_may_come_from_memory(released):
    whole, _ = load_released(released)
    copy = NeoForConditionalGeneration.from_pretrained(None, config=whole.config, state_dict=whole.state_dict())
    assert all(torch.equal(tensor, copy.state_dict()[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("shard", ["5GB", "200KB"])
@pytest.mark.parametrize("variant", ["tied", "untied"])
def test_a_plain_trainer_continues_with_the_weights_of_its_checkpoint(variant, shard, tmp_path):
    saved, processor = load_released(FIXTURES / variant)
    checkpoint = save_released(saved, processor, tmp_path / "checkpoint-1", max_shard_size=shard)
    fresh = NeoForConditionalGeneration(saved.config)
    arguments = TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    Trainer(fresh, arguments)._load_from_checkpoint(str(checkpoint))
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in saved.state_dict().items())


def test_a_configuration_and_a_tokenizer_that_disagree_on_image_tokens_are_refused(released, edit_config):
    """Without the keys config.json means the released numbers, which this tokenizer does not have."""
    edit_config(released, lambda config: (config.pop("img_context_token_id"), config.pop("img_start_token_id")))
    with pytest.raises(CheckpointError, match=r"disagree.*\n.*151669.*261"):
        load_released(released)


@torch.no_grad()
def same_answers(left: NeoForConditionalGeneration, right: NeoForConditionalGeneration) -> bool:
    words = torch.randint(0, 256, (1, 19), generator=torch.Generator().manual_seed(0))
    return torch.equal(left(words).logits, right(words).logits)


QUIRKS = {
    "nested lists": lambda config: (
        config["vision_config"].update(llm_hidden_size=[[64]], downsample_ratio=[0.5]),
        config.update(downsample_ratio=[[0.5]]),
    ),
    "no template": lambda config: config.pop("template"),
    "template null": lambda config: config.update(template=None),
    "no pre-Buffer depth": lambda config: config["llm_config"].pop("extra_num_layers"),
    "older and newer rotary keys": lambda config: config["llm_config"].update(
        rope_theta=5.0, rope_parameters={"rope_type": "default", "rope_theta": 1e6}
    ),
    "only the newer rotary keys": lambda config: (
        config["llm_config"].pop("rope_theta"),
        config["llm_config"].update(rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    ),
    "layer types": lambda config: config["llm_config"].update(layer_types=["full_attention"] * 4),
    "layer types of another depth": lambda config: config["llm_config"].update(layer_types=["full_attention"] * 32),
    "remote code": lambda config: config.update(auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}),
    "dtype in the newer key": lambda config: config.update(dtype=config.pop("torch_dtype")),
    "no dtype": lambda config: config.pop("torch_dtype"),
    "another model type": lambda config: config.update(
        model_type="internvl_chat", architectures=["InternVLChatModel"], force_image_size=448, ps_version="v2"
    ),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_a_quirk_of_released_files_changes_nothing(released, edit_config, quirk, tmp_path):
    plain, _ = load_released(released)
    (released / "evil.py").write_text("raise SystemExit('remote code ran')")
    edit_config(released, QUIRKS[quirk])
    model, processor = load_released(released, pre_buffer_layers=2)
    assert model.config.model_type == "neo_chat"
    assert same_answers(plain, model)
    out = save_released(model, processor, tmp_path / "out")
    assert_same_bytes(stored(released), stored(out))
    written = json.loads((out / "config.json").read_text())
    assert written["model_type"] == "neo_chat"
    assert written["template"] == "neo1_0"
    assert written["vision_config"]["llm_hidden_size"] == 64
    assert written["llm_config"]["extra_num_layers"] == 2
    assert not (out / "evil.py").exists()


@pytest.mark.parametrize(("width", "layers", "depth"), [(2048, 40, 12), (4096, 42, 6), (2048, 28, 0), (64, 4, 0)])
def test_the_depth_of_the_pre_buffer_follows_from_the_released_width(released, edit_config, width, layers, depth):
    def change(config):
        config["llm_config"].update(hidden_size=width, num_hidden_layers=layers)
        config["llm_config"].pop("extra_num_layers")
        config["vision_config"].update(llm_hidden_size=width)

    edit_config(released, change)
    assert read_config(released).llm_config.extra_num_layers == depth
    assert read_config(released, 3).llm_config.extra_num_layers == 3
    with pytest.raises(ConfigError, match="0 to"):
        read_config(released, layers + 1)


@pytest.mark.parametrize("equal", [True, False])
def test_a_head_beside_the_flag_tied(tmp_path, equal, caplog):
    released = Path(shutil.copytree(FIXTURES / "tied", tmp_path / "tied"))
    file = released / "model.safetensors"
    tensors = load_file(file)
    tensors[HEAD] = tensors[WORDS].clone() if equal else tensors[WORDS] + 1
    save_file(tensors, file, metadata={"format": "pt"})
    model, processor = load_released(released)
    assert model.config.tie_word_embeddings is equal
    assert torch.equal(model.lm_head.weight, tensors[HEAD])
    assert ("not tied" in caplog.text) is not equal
    out = save_released(model, processor, tmp_path / "out")
    assert (HEAD in stored(out)) is not equal


def test_folders_of_other_models_are_named(released, edit_config, tmp_path):
    edit_config(released, lambda config: config.update(model_type="qwen3"))
    with pytest.raises(CheckpointError, match="not a NEO folder"):
        load_released(released)
    edit_config(released, lambda config: config.update(model_type="internvl_chat"))
    save_file({"vision_model.embeddings.class_embedding": torch.zeros(1)}, released / "model.safetensors")
    with pytest.raises(CheckpointError, match="internvl_chat without NEO's tensors"):
        load_released(released)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_released(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["llm_config"].update(hidden_size="wide"),
        lambda config: config["llm_config"].update(num_key_value_heads=3),
        lambda config: config["vision_config"].update(downsample_ratio=0.3),
        lambda config: config["llm_config"].update(rope_scaling={"type": "yarn", "factor": 2.0}),
        lambda config: config.update(llm_config="none"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_clear_error(released, edit_config, change):
    edit_config(released, change)
    with pytest.raises((CheckpointError, ConfigError)):
        load_released(released)


def test_nothing_is_half_written_and_nothing_is_overwritten(released, tmp_path, monkeypatch):
    model, processor = load_released(released)

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left"):
        patch.setattr(type(processor), "save_pretrained", full_disk)
        save_released(model, processor, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []
    out = save_released(model, processor, tmp_path / "deep" / "out")
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        save_released(model, processor, out)
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["out"]


def test_an_empty_folder_is_as_good_as_none(released, tmp_path):
    model, processor = load_released(released)
    (tmp_path / "out").mkdir()
    save_released(model, processor, tmp_path / "out")
    load_released(tmp_path / "out")


@pytest.mark.parametrize("tied", [True, False])
def test_a_tiny_model_of_ours_makes_the_round_trip_too(tmp_path, released, tied):
    _, processor = load_released(released)
    torch.manual_seed(0)
    ids = {"img_context_token_id": 261, "img_start_token_id": 262, "rope_scheme": "mm", "attention_pattern": "causal"}
    model = NeoForConditionalGeneration(neo_tiny(vocab_size=384, tie_word_embeddings=tied, **ids)).to(torch.bfloat16)
    out = save_released(model, processor, tmp_path / "out", max_shard_size="1MB")
    again, _ = load_released(out)
    assert_same_bytes(model.state_dict(), again.state_dict())
    assert again.config.llm_config.rope_scheme == "mm"


def test_the_tokenizer_is_also_written_for_the_released_code(released, tmp_path):
    """Qwen's own tokenizer class, read back from the older files alone, gives the same ids."""
    model, processor = load_released(released)
    older = tmp_path / "older"
    older.mkdir()
    vocabulary = json.loads((released / "tokenizer.json").read_text())["model"]["vocab"]
    (older / "vocab.json").write_text(json.dumps({word: at for word, at in vocabulary.items() if at < 256}))
    (older / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = Qwen2Tokenizer.from_pretrained(older)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", "<think>", "</think>"], special_tokens=True)
    add_neo_tokens(tokenizer)
    assert TokenIds.of(tokenizer) == processor.token_ids
    out = save_released(model, NeoProcessor.from_config(model.config, tokenizer), tmp_path / "out")
    text = "<|im_start|>user\n<img><IMG_CONTEXT></img> é<|im_end|>\n"
    wanted = load_released(out)[1].tokenizer(text)["input_ids"]
    assert wanted == processor.tokenizer(text)["input_ids"]
    (out / "tokenizer.json").unlink()
    assert Qwen2Tokenizer.from_pretrained(out)(text)["input_ids"] == wanted
