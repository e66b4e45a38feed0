"""Surgery leaves the language model as it was: witnessed by transformers' own Qwen3."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelword.convert import neo_from_qwen3
from pixelword.errors import CheckpointError, ConfigError, InputError
from tests.convert.qwen3_folder import save_qwen3


@pytest.fixture
def words() -> torch.Tensor:
    return torch.randint(0, 256, (2, 23), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def difference(left: nn.Module, right: nn.Module, words: torch.Tensor, **inputs: torch.Tensor) -> float:
    return float((left(words, **inputs).logits - right(words).logits).abs().max())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("heads", [(4, 2, 32), (4, 4, 16), (6, 2, 8)])
def test_without_a_pre_buffer_the_words_mean_what_they_meant(make_qwen3, words, tied, heads):
    queries, keys, width = heads
    qwen3 = make_qwen3(tie_word_embeddings=tied, num_attention_heads=queries, num_key_value_heads=keys, head_dim=width)
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=0)
    assert difference(neo, qwen3, words) <= 1e-5
    assert neo.config.tie_word_embeddings is tied
    assert (neo.lm_head.weight is neo.get_input_embeddings().weight) is tied


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_height_and_width_indices_change_nothing_while_their_keys_are_zero(qwen3, words, kernel):
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=0)
    neo.set_attn_implementation(kernel)
    generator = torch.Generator().manual_seed(2)
    anywhere = torch.randint(-50, 1000, (3, *words.shape), generator=generator)
    anywhere[0] = torch.arange(words.shape[1])
    assert difference(neo, qwen3, words, position_ids=anywhere) <= 1e-5
    with torch.no_grad():
        neo.model.language_model.layers[1].self_attn.k_proj_hw.weight[:] = 0.01
    assert difference(neo, qwen3, words, position_ids=anywhere) > 1e-3


def test_the_scale_is_that_of_the_language_models_heads(qwen3, words):
    """The witness for the row above: with 1 / sqrt(2 d) in place of 1 / sqrt(d) the words mean something else."""
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=0)
    for layer in neo.model.language_model.layers:
        layer.self_attn.scaling = (2 * qwen3.config.head_dim) ** -0.5
    assert difference(neo, qwen3, words) > 1e-2


def test_a_zeroed_pre_buffer_lets_everything_through(qwen3, words):
    """The copied layers stand behind the pre-Buffer in their order: a pre-Buffer that adds nothing shows them."""
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=2)
    assert difference(neo, qwen3, words) > 1e-2
    with torch.no_grad():
        for layer in neo.model.language_model.layers[:2]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    assert difference(neo, qwen3, words) <= 1e-5


def test_the_new_query_rows_are_the_faster_half_of_each_heads_pairs(qwen3):
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=1)
    d = qwen3.config.head_dim
    for old, new in zip(qwen3.model.layers, neo.model.language_model.layers[1:], strict=True):
        attention = new.self_attn
        for head in range(qwen3.config.num_attention_heads):
            for row in range(d):
                in_part = row % (d // 2)  # height and width take the same rows
                pair, second = in_part % (d // 4), in_part >= d // 4
                source = head * d + pair + second * (d // 2)
                wanted = old.self_attn.q_proj.weight[source]
                assert torch.equal(attention.q_proj_hw.weight[head * d + row], wanted)
        assert not attention.k_proj_hw.weight.any()
        for norm in (attention.q_norm_h, attention.q_norm_w, attention.k_norm_h, attention.k_norm_w):
            assert torch.equal(norm.weight, torch.ones(d // 2))


def test_the_pre_buffer_is_drawn_as_the_released_code_draws_it(make_qwen3):
    wide = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "num_hidden_layers": 1}
    neo = neo_from_qwen3(make_qwen3(**wide), pre_buffer_layers=2, seed=3)
    new = neo.model.language_model.layers[:2]
    for name, parameter in new.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.03), name
            assert abs(parameter.mean()) < 0.001, name
    vision = neo.model.vision_model.embeddings
    for layer, fan_in in ((vision.patch_embedding, 3 * 16 * 16), (vision.dense_embedding, 1024 * 4)):
        bound = fan_in**-0.5
        for parameter in (layer.weight, layer.bias):
            assert parameter.abs().max() <= bound
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)


def test_scaled_output_narrows_only_the_output_matrices_with_depth(make_qwen3):
    qwen3 = make_qwen3(hidden_size=256, intermediate_size=512, num_hidden_layers=1)
    plain, scaled = (neo_from_qwen3(qwen3, pre_buffer_layers=3, scaled_output=flag) for flag in (False, True))
    pairs = dict(plain.named_parameters())
    for name, parameter in scaled.named_parameters():
        output = name.endswith(("o_proj.weight", "down_proj.weight"))
        number = int(name.split("layers.")[1].split(".")[0]) if "layers." in name else 99
        factor = (2 * (number + 1)) ** -0.5 if output and number < 3 else 1.0
        torch.testing.assert_close(parameter, pairs[name] * factor)


def test_no_norm_weight_is_zero_and_every_number_is_finite(qwen3):
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=2)
    for name, parameter in neo.named_parameters():
        assert torch.isfinite(parameter).all(), name
        if "norm" in name:
            assert (parameter != 0).all(), name


def test_one_seed_gives_one_model_and_the_callers_generator_is_left_alone(qwen3):
    def weights(seed: int) -> dict[str, torch.Tensor]:
        return neo_from_qwen3(qwen3, pre_buffer_layers=1, seed=seed).state_dict()

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = weights(1), weights(1), weights(2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert "model.language_model.layers.0.self_attn.k_proj_hw.weight" in differing
    assert all("vision_model" in name or "layers.0." in name for name in differing)


def test_the_source_is_copied_and_never_shared(qwen3, words):
    before = {name: tensor.clone() for name, tensor in qwen3.state_dict().items()}
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=1)
    with torch.no_grad():
        for parameter in neo.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in qwen3.state_dict().items())


@pytest.mark.parametrize("shard", ["5GB", "100KB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folder_and_memory_give_the_same_bytes(qwen3, tmp_path, shard, dtype):
    qwen3 = qwen3.to(dtype)
    folder = save_qwen3(qwen3, tmp_path / "qwen3", max_shard_size=shard)
    from_memory = neo_from_qwen3(qwen3, pre_buffer_layers=2).state_dict()
    from_folder = neo_from_qwen3(folder, pre_buffer_layers=2).state_dict()
    assert from_memory.keys() == from_folder.keys()
    for name, tensor in from_memory.items():
        assert tensor.dtype == from_folder[name].dtype == dtype
        assert torch.equal(tensor, from_folder[name]), name


def test_bfloat16_weights_still_turn_by_float32_angles(qwen3):
    neo = neo_from_qwen3(qwen3.to(torch.bfloat16), pre_buffer_layers=1)
    assert neo.model.language_model.rotary_emb.frequency.dtype == torch.float32


def test_a_tied_language_model_can_get_a_head_of_its_own(make_qwen3, words):
    qwen3 = make_qwen3(tie_word_embeddings=True)
    neo = neo_from_qwen3(qwen3, pre_buffer_layers=0, tie_word_embeddings=False)
    assert neo.lm_head.weight is not neo.get_input_embeddings().weight
    assert torch.equal(neo.lm_head.weight, neo.get_input_embeddings().weight)
    assert difference(neo, qwen3, words) <= 1e-5


def test_a_stored_head_that_differs_from_the_words_overrules_the_flag(qwen3, words, tmp_path, edit_config, caplog):
    folder = save_qwen3(qwen3, tmp_path / "qwen3")
    edit_config(folder, lambda config: config.update(tie_word_embeddings=True))
    neo = neo_from_qwen3(folder, pre_buffer_layers=0)
    assert "not tied" in caplog.text
    assert neo.config.tie_word_embeddings is False
    assert difference(neo, qwen3, words) <= 1e-5


def test_a_stored_head_equal_to_the_words_stays_tied(make_qwen3, tmp_path, edit_config):
    qwen3 = make_qwen3()
    with torch.no_grad():
        qwen3.lm_head.weight.copy_(qwen3.model.embed_tokens.weight)
    folder = save_qwen3(qwen3, tmp_path / "qwen3")
    edit_config(folder, lambda config: config.update(tie_word_embeddings=True))
    assert neo_from_qwen3(folder, pre_buffer_layers=1).config.tie_word_embeddings is True


def test_the_configuration_says_what_was_made(qwen3):
    neo = neo_from_qwen3(
        qwen3,
        pre_buffer_layers=2,
        vision={"patch_size": 4, "hidden_size": 32},
        rope_theta_hw=100.0,
        img_context_token_id=261,
        img_start_token_id=262,
    )
    text, vision = neo.config.llm_config, neo.config.vision_config
    assert (text.num_hidden_layers, text.extra_num_layers) == (5, 2)
    assert (text.rope_theta, text.rope_theta_hw) == (1e6, 100.0)
    assert (vision.patch_size, vision.hidden_size, vision.llm_hidden_size) == (4, 32, 64)
    assert (neo.config.image_token_id, neo.config.image_end_token_id) == (261, 263)
    assert neo.generation_config.eos_token_id == text.eos_token_id == 258


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}}, "rope_scaling"),
        ({"attention_bias": True}, "attention biases"),
        ({"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding windows"),
        ({"hidden_act": "gelu"}, "activation"),
        ({"head_dim": 6}, "quartered"),
    ],
)
def test_features_that_neo_lacks_are_refused_by_name(make_qwen3, tmp_path, feature, named):
    qwen3 = make_qwen3(**feature)
    folder = save_qwen3(qwen3, tmp_path / "qwen3")
    for source in (qwen3, folder):
        with pytest.raises(CheckpointError, match=named):
            neo_from_qwen3(source, pre_buffer_layers=1)


def test_rope_scaling_in_the_older_form_is_refused_too(qwen3_folder, edit_config):
    scaling = {"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_theta": 1e6}
    edit_config(qwen3_folder, lambda config: (config.pop("rope_parameters"), config.update(scaling)))
    with pytest.raises(CheckpointError, match="rope_scaling"):
        neo_from_qwen3(qwen3_folder, pre_buffer_layers=1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "llama"}, "must be a Qwen3"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised"),
        ({"num_hidden_layers": 4, "layer_types": None}, "missing"),
        ({"num_hidden_layers": 2, "layer_types": None}, "no part of this model"),
        ({"intermediate_size": 64}, "another shape"),
        ({"num_attention_heads": "many"}, "not that of a Qwen3"),
    ],
)
def test_a_folder_that_is_not_what_it_says_is_refused(qwen3_folder, edit_config, change, named):
    edit_config(qwen3_folder, lambda config: config.update(change))
    with pytest.raises(CheckpointError, match=named):
        neo_from_qwen3(qwen3_folder, pre_buffer_layers=1)


def test_whole_numbers_are_no_weights(qwen3_folder):
    from safetensors.torch import load_file, save_file

    file = qwen3_folder / "model.safetensors"
    save_file({name: tensor.to(torch.int8) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(CheckpointError, match="not quantised"):
        neo_from_qwen3(qwen3_folder, pre_buffer_layers=1)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"hidden_size": 128}, "fixed by the language model"),
        ({"rope_theta": 1e4}, "fixed by the language model"),
        ({"rope_teta_hw": 1e4}, "did you mean 'rope_theta_hw'"),
        ({"tie_word_embeddings": True}, "head of its own"),
        ({"pre_buffer_layers": -1}, "negative"),
    ],
)
def test_overrides_that_cannot_be_are_refused(qwen3, overrides, named):
    with pytest.raises(ConfigError, match=named):
        neo_from_qwen3(qwen3, **({"pre_buffer_layers": 1} | overrides))


def test_sources_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "a_file").write_text("")
    for source in (tmp_path / "nowhere", "no/such-repository", tmp_path / "a_file", tmp_path):
        with pytest.raises(CheckpointError):
            neo_from_qwen3(source, pre_buffer_layers=1)
    with pytest.raises(InputError, match="Linear"):
        neo_from_qwen3(nn.Linear(1, 1), pre_buffer_layers=1)


@pytest.mark.parametrize(
    ("vision", "named"), [({"patch": 4}, "did you mean 'patch_size'"), ({"hidden_size": 30}, "multiple of 4")]
)
def test_a_vision_configuration_that_cannot_be_is_refused(qwen3, vision, named):
    with pytest.raises(ConfigError, match=named):
        neo_from_qwen3(qwen3, pre_buffer_layers=1, vision=vision)
