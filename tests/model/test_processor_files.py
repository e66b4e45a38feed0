"""`NeoProcessor` from folders: our own, released ones, odd ones."""

import json
import shutil

import pytest
from transformers import AutoImageProcessor, AutoProcessor

from pixelword.errors import CheckpointError, ConfigError
from pixelword.model import NeoConfig
from pixelword.model.image_processing import NeoImageProcessor
from pixelword.model.processing import NeoProcessor
from tests.model.pictures import FIXTURES, picture
from tests.model.processors import small_processor, user
from tests.model.prompts import tokenizer


def folder_like_a_released_one(path, **changes):
    """config.json and tokenizer files, with Qwen3's chat template beside them."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "tied" / name, path / name)
    config = json.loads((path / "config.json").read_text())
    config["vision_config"] |= {"downsample_ratio": [[0.5]], "llm_hidden_size": [64], "min_pixels": 1024}
    (path / "config.json").write_text(json.dumps(config | changes))
    (path / "chat_template.jinja").write_text("<think></think>")
    return path


def test_a_released_folder_needs_nothing_but_its_configuration(tmp_path):
    folder = folder_like_a_released_one(tmp_path)
    processor = AutoProcessor.from_pretrained(folder, padding_side="left", truncation_side="left")
    assert type(processor) is NeoProcessor
    assert (processor.image_processor.merge_size, processor.image_processor.min_pixels) == (2, 1024)
    assert processor.max_length == 4096
    assert processor.apply_chat_template(user("a")) == "<|im_start|>user\na<|im_end|>\n"
    assert processor.tokenizer.apply_chat_template(user("a"), tokenize=False) == "<|im_start|>user\na<|im_end|>\n"
    assert NeoProcessor.from_pretrained(folder, max_pixels=4096, max_length=7).image_processor.max_pixels == 4096


def test_a_folder_with_an_odd_model_type_and_remote_code(tmp_path):
    code = {"model_type": "internvl_chat", "auto_map": {"AutoConfig": "missing.Config", "AutoProcessor": "missing.P"}}
    processor = NeoProcessor.from_pretrained(folder_like_a_released_one(tmp_path, **code))
    assert processor.image_processor.min_pixels == 1024


def test_saved_and_loaded(tmp_path):
    processor = small_processor(max_length=123, special_tokens="reject", markup="everywhere", padding_side="right")
    processor.save_pretrained(tmp_path)
    loaded = [NeoProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)]
    for other in loaded:
        assert type(other) is NeoProcessor
        assert other.to_dict() == processor.to_dict()
        assert other.chat_template == processor.chat_template
        chat = user(picture(16, 16), "a")
        assert other.apply_chat_template(chat, tokenize=True) == processor.apply_chat_template(chat, tokenize=True)
    assert AutoImageProcessor.from_pretrained(tmp_path).to_dict() == processor.image_processor.to_dict()
    assert AutoProcessor.from_pretrained(tmp_path, max_pixels=512).image_processor.max_pixels == 512
    own = small_processor(chat_template="{{ messages[0]['content'] }}!")
    own.save_pretrained(tmp_path)
    assert AutoProcessor.from_pretrained(tmp_path).apply_chat_template(user("a")) == "a!"


def test_a_processor_from_a_configuration():
    config = NeoConfig.from_pretrained(FIXTURES / "tied")
    processor = NeoProcessor.from_config(config, tokenizer(), max_pixels=100000, markup="nowhere")
    assert (processor.max_length, processor.image_processor.max_pixels, processor.markup) == (4096, 100000, "nowhere")
    assert processor.image_token_id == config.image_token_id == 261


def test_folders_that_are_not_neo(tmp_path):
    with pytest.raises(CheckpointError, match="no usable tokenizer"):
        NeoProcessor.from_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="no usable processor settings"):
        NeoProcessor.from_pretrained(tmp_path)
    (tmp_path / "processor_config.json").unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "tied" / name, tmp_path / name)
    with pytest.raises(CheckpointError, match="no vision_config"):
        NeoProcessor.from_pretrained(tmp_path)
    folder = folder_like_a_released_one(tmp_path, vision_config=None)
    with pytest.raises(CheckpointError, match="no vision_config"):
        NeoProcessor.from_pretrained(folder)
    plain = tokenizer()
    plain.convert_tokens_to_ids = lambda token: None
    with pytest.raises(CheckpointError, match="add_neo_tokens"):
        NeoProcessor(NeoImageProcessor(), plain)
    with pytest.raises(ConfigError, match="did you mean 'max_pixels'"):
        NeoProcessor.from_pretrained(FIXTURES / "tied", max_pixel=7)
