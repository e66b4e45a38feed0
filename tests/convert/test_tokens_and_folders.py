"""Thirteen tokens more, and where folders come from."""

from __future__ import annotations

import pytest

from pixelword.convert import fitting_processor, folders, local_folder, neo_from_qwen3, neo_tokenizer, token_settings
from pixelword.errors import CheckpointError, InputError

ADDED = ("<IMG_CONTEXT>", "<img>", "</img>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
ADDED += ("<|action_start|>", "<|action_end|>", "<|plugin|>", "<|interpreter|>")


def test_thirteen_tokens_follow_those_of_qwen3_in_the_released_order(qwen3_folder):
    tokenizer = neo_tokenizer(qwen3_folder)
    assert tokenizer.convert_tokens_to_ids(list(ADDED)) == list(range(261, 274))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer("<img><|im_start|>a</img>", add_special_tokens=False)["input_ids"] == [262, 257, 97, 263]


def test_configuration_and_tokenizer_agree(qwen3_folder):
    tokenizer = neo_tokenizer(qwen3_folder)
    model = neo_from_qwen3(qwen3_folder, pre_buffer_layers=1, **token_settings(tokenizer))
    processor = fitting_processor(model, tokenizer)
    assert processor.image_token_id == model.config.image_token_id == 261
    assert (model.config.img_start_token_id, model.config.image_end_token_id) == (262, 263)
    assert model.generation_config.eos_token_id == 258
    assert model.generation_config.pad_token_id == 256


def test_a_word_embedding_without_room_is_refused_with_the_size_it_needs(make_qwen3, qwen3_folder):
    tokenizer = neo_tokenizer(qwen3_folder)
    small = neo_from_qwen3(make_qwen3(vocab_size=270), pre_buffer_layers=1)
    with pytest.raises(CheckpointError, match=r"270 rows for 274 tokens[\s\S]*resize_token_embeddings\(320\)"):
        fitting_processor(small, tokenizer)


def test_a_tokenizer_without_turns_is_refused(qwen3_folder):
    file = qwen3_folder / "tokenizer.json"
    file.write_text(file.read_text().replace("<|im_end|>", "<|turn_end|>"))
    tokenizer = neo_tokenizer(qwen3_folder)
    assert token_settings(tokenizer)["eos_token_id"] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    file.unlink()
    with pytest.raises(CheckpointError, match="no usable tokenizer"):
        neo_tokenizer(qwen3_folder)


def test_a_repository_is_downloaded_without_code_and_pickles(monkeypatch, qwen3_folder):
    asked = {}

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.update(name=name, patterns=allow_patterns)
        return str(qwen3_folder)

    monkeypatch.setattr(folders, "snapshot_download", snapshot_download)
    assert local_folder("Qwen/Qwen3-1.7B") == qwen3_folder
    assert asked["name"] == "Qwen/Qwen3-1.7B"
    assert {pattern.rpartition(".")[2] for pattern in asked["patterns"]} == {"json", "safetensors", "txt", "jinja"}


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt), folders.written_whole(tmp_path / "out") as part:
        (part / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError), folders.written_whole(tmp_path / "file" / "out"):
        pass
    with pytest.raises(InputError, match="exists already"), folders.written_whole(tmp_path / "file"):
        pass


def test_the_folder_of_a_run_suggests_the_model_inside_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json") as caught:
        folders.read_json(tmp_path / "config.json")
    assert caught.value.fix == "check the path"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError) as caught:
        folders.read_json(tmp_path / "config.json")
    assert caught.value.fix == f"did you mean {tmp_path / 'model'}?"
