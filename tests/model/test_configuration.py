"""Configurations: the paper's numbers, the released file's quirks, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig

from pixelword import ConfigError
from pixelword.model import (
    NeoConfig,
    NeoForConditionalGeneration,
    NeoTextConfig,
    NeoVisionConfig,
    neo_2b,
    neo_9b,
    neo_tiny,
)

from .conftest import FIXTURES

RELEASED = json.loads((FIXTURES / "tied" / "config.json").read_text())


def test_presets_are_the_table_of_the_paper():
    small, large = neo_2b(), neo_9b()
    assert (small.llm_config.num_hidden_layers, small.llm_config.extra_num_layers) == (40, 12)
    assert (large.llm_config.num_hidden_layers, large.llm_config.extra_num_layers) == (42, 6)
    assert (small.llm_config.hidden_size, large.llm_config.hidden_size) == (2048, 4096)
    assert (small.vision_config.llm_hidden_size, large.vision_config.llm_hidden_size) == (2048, 4096)
    assert small.vision_config.pixels_per_token == 32
    assert neo_tiny().vision_config.pixels_per_token == 8


def test_the_tiny_model_reads_a_picture_as_it_comes():
    config = neo_tiny()
    ids = [config.image_start_token_id, *[config.image_token_id] * 4, config.image_end_token_id]
    model = NeoForConditionalGeneration(config)
    with torch.no_grad():
        output = model(torch.tensor([ids]), pixel_values=torch.randn(16, 48), image_grid_thw=torch.tensor([[1, 4, 4]]))
    assert output.logits.shape == (1, 6, 320) and output.logits.isfinite().all()


def test_aliases_that_transformers_and_trl_look_for():
    config = NeoConfig.from_dict(RELEASED)
    assert config.text_config is config.llm_config is config.get_text_config()
    assert config.image_token_id == config.img_context_token_id == 261
    assert config.image_start_token_id == 262 and config.image_end_token_id == 263


def test_a_written_file_is_read_back_as_the_same_configuration(tmp_path):
    for config in (neo_2b(), neo_tiny(rope_scheme="video", tie_word_embeddings=True), NeoConfig.from_dict(RELEASED)):
        config.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path).to_dict() == json.loads((tmp_path / "config.json").read_text())
        assert NeoConfig.from_pretrained(tmp_path).to_dict()["llm_config"] == config.to_dict()["llm_config"]


def test_a_written_file_has_every_key_that_released_readers_read():
    written = NeoConfig.from_dict(RELEASED).to_dict()
    for part in ("vision_config", "llm_config"):
        for key, value in RELEASED[part].items():
            if key not in ("rope_scaling", "max_window_layers"):
                assert written[part][key] == value, (part, key)
    for key in ("architectures", "model_type", "template", "downsample_ratio", "tie_word_embeddings", "hidden_size"):
        assert written[key] == RELEASED[key], key


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: [[x]]])
def test_scalars_inside_lists_are_unwrapped(wrap):
    vision = RELEASED["vision_config"] | {"llm_hidden_size": wrap(64), "downsample_ratio": wrap(0.5)}
    config = NeoConfig.from_dict(RELEASED | {"vision_config": vision})
    assert config.vision_config.llm_hidden_size == 64 and config.vision_config.merge_size == 2


@pytest.mark.parametrize(
    ("drop", "add"),
    [
        (("template",), {}),
        ((), {"auto_map": {"AutoConfig": "modeling.Evil"}}),
        ((), {"model_type": "internvl_chat"}),
        (("img_start_token_id", "img_context_token_id"), {}),
    ],
)
def test_missing_and_foreign_keys_of_released_files(drop, add):
    config = NeoConfig.from_dict({key: value for key, value in RELEASED.items() if key not in drop} | add)
    assert config.template == "neo1_0" and not hasattr(config, "auto_map")
    assert config.model_type == config.to_dict()["model_type"] == "neo_chat"


def test_both_forms_of_rope_fields_are_read():
    fields = {key: value for key, value in RELEASED["llm_config"].items() if key not in ("rope_theta", "rope_scaling")}
    rope = {"rope_type": "default", "rope_theta": 5e5}
    config = NeoConfig.from_dict(RELEASED | {"llm_config": fields | {"rope_parameters": rope}})
    assert config.llm_config.rope_theta == 5e5


def test_depth_of_the_pre_buffer_is_inferred_for_released_widths():
    assert NeoTextConfig(hidden_size=2048, num_hidden_layers=40).extra_num_layers == 12
    assert NeoTextConfig(hidden_size=4096, num_hidden_layers=42).extra_num_layers == 6
    assert NeoTextConfig(hidden_size=2048, num_hidden_layers=28).extra_num_layers == 0


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: NeoTextConfig(num_attention_heads=6, num_key_value_heads=4), "must divide"),
        (lambda: NeoTextConfig(head_dim=18), "multiple of 4"),
        (lambda: NeoTextConfig(extra_num_layers=41), "between 0 and num_hidden_layers"),
        (lambda: NeoTextConfig(attention_bias=True), "neither attention biases"),
        (lambda: NeoTextConfig(rope_scaling={"rope_type": "yarn", "factor": 4.0}), "only the default rotation"),
        (lambda: NeoTextConfig(layer_types=["sliding_attention"] * 40), "full attention"),
        (lambda: NeoTextConfig(attention_pattern="mixd"), "did you mean 'mixed'"),
        (lambda: NeoVisionConfig(hidden_size=6), "multiple of 4"),
        (lambda: NeoVisionConfig(min_pixels=10, max_pixels=5), "min_pixels <= max_pixels"),
        (lambda: NeoVisionConfig(downsample_ratio=0.3), "1 over a whole number"),
        (lambda: NeoVisionConfig(patch_position="sinus"), "patch_position"),
        *((lambda bad=bad: NeoVisionConfig(downsample_ratio=bad), "downsample_ratio") for bad in (0, None, "half", 2)),
        *((lambda name=name: NeoVisionConfig(**{name: 0}), name) for name in ("patch_size", "hidden_size")),
        (lambda: NeoVisionConfig(llm_hidden_size=[]), "llm_hidden_size"),
        (lambda: NeoTextConfig(hidden_act="gelu"), "silu"),
        *(
            (lambda name=name: NeoTextConfig(**{name: 0}), name)
            for name in ("vocab_size", "hidden_size", "head_dim", "num_attention_heads", "rope_theta", "rope_theta_hw")
        ),
        (lambda: NeoTextConfig(num_hidden_layers=0, extra_num_layers=0), "num_hidden_layers"),
        (lambda: NeoConfig(llm_config={"hidden_size": 64}), "must equal llm_config.hidden_size"),
        (lambda: NeoVisionConfig(patch_size="four"), "vision_config.patch_size has the wrong type"),
        (lambda: NeoTextConfig(num_hidden_layers=1.5), "llm_config.num_hidden_layers has the wrong type"),
        (lambda: neo_tiny(img_start_token_id="<img>"), "img_start_token_id has the wrong type"),
        (lambda: neo_tiny(template="internvl2_5"), "must be neo1_0"),
        (lambda: neo_tiny(hiden_size=4), "did you mean 'hidden_size'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(build, said):
    with pytest.raises(ConfigError) as raised:
        build()
    assert said in str(raised.value)
