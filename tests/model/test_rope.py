"""Rotary schemes: channels against the figure, rotation against complex numbers, text against Qwen3."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pixelword import ConfigError
from pixelword.model import NeoForConditionalGeneration, neo_2b
from pixelword.model.rope import NeoRotaryEmbedding, axes_of_pairs, frequencies, pair_table, rotate

from .conftest import batch, prompt, small_config, small_model

RIVALS = ("1d", "il", "m", "mm", "video")
ROWS = {  # NEO, table 3
    "A": {"attention_pattern": "causal", "rope_scheme": "1d"},
    "B": {"rope_scheme": "1d"},
    "C": {"rope_scheme": "il"},
    "D": {"rope_scheme": "m"},
    "E": {"rope_scheme": "mm"},
    "F": {"rope_scheme": "video"},
    "G": {"attention_pattern": "causal"},
    "H": {},
    "I": {"rope_theta_hw": 1e6},
}


def test_channels_of_the_released_model():
    axis, frequency = pair_table(neo_2b().llm_config)
    assert axis.tolist() == [0] * 64 + [1] * 32 + [2] * 32
    assert frequency[0] == 1 and float(frequency[63]) == pytest.approx(1.2409e-6, rel=1e-4)
    assert float(frequency[95]) == pytest.approx(1.3335e-4, rel=1e-4)
    assert torch.equal(frequency[64:96], frequency[96:])


@pytest.mark.parametrize(
    ("scheme", "wanted"),
    [
        ("1d", "T" * 64),
        ("il", "THW" * 20 + "TTTT"),
        ("m", "T" * 16 + "H" * 24 + "W" * 24),
        ("mm", "TTHWHWHW" * 8),
        ("video", "HW" * 24 + "T" * 16),
    ],
)
def test_channels_of_the_rivals_as_figure_1_draws_them(scheme, wanted):
    assert "".join("THW"[axis] for axis in axes_of_pairs(scheme, 64)) == wanted


@pytest.mark.parametrize("scheme", RIVALS)
def test_extra_channels_of_the_rivals(scheme):
    config = small_config(rope_scheme=scheme, head_dim=32).llm_config
    axis, frequency = pair_table(config)
    assert axis.tolist()[:16] == axes_of_pairs(scheme, 16)
    assert axis.tolist()[16:] == axes_of_pairs(scheme, 8) * 2
    assert torch.equal(frequency[16:24], frequencies(1e4, 16))
    only_time, _ = pair_table(small_config(rope_scheme=scheme, rope_extra="t_only").llm_config)
    assert set(only_time.tolist()[8:]) == {0}
    joint, joint_frequency = pair_table(small_config(rope_scheme=scheme, rope_extra="joint").llm_config)
    assert joint.tolist() == axes_of_pairs(scheme, 16)
    assert torch.equal(joint_frequency, frequencies(1e4, 32))


def test_rotation_is_multiplication_by_a_complex_number():
    torch.manual_seed(0)
    x, angle = torch.randn(1, 2, 5, 8), torch.randn(1, 5, 4)
    turned = rotate(x, angle.cos(), angle.sin())
    pairs = torch.complex(x[..., :4].double(), x[..., 4:].double()) * torch.polar(
        torch.ones(4).double(), angle[:, None].double()
    )
    torch.testing.assert_close(turned.double(), torch.cat((pairs.real, pairs.imag), -1), atol=1e-6, rtol=1e-6)


def test_angle_of_every_pair_is_its_index_times_its_frequency():
    config = small_config(rope_scheme="video").llm_config
    axis, frequency = pair_table(config)
    position_ids = torch.tensor([[[3]], [[5]], [[7]]])
    cos, sin = NeoRotaryEmbedding(config)(position_ids, torch.float32)
    for pair in range(16):
        angle = [3, 5, 7][int(axis[pair])] * float(frequency[pair])
        assert float(cos[0, 0, pair]) == pytest.approx(torch.tensor(angle).cos().item(), abs=1e-6)
        assert float(sin[0, 0, pair]) == pytest.approx(torch.tensor(angle).sin().item(), abs=1e-6)


def qwen3_behind(model: NeoForConditionalGeneration) -> Qwen3ForCausalLM:
    """transformers' Qwen3 with the same weights, H and W parts left out."""
    text = model.config.llm_config
    qwen = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=text.vocab_size,
            hidden_size=text.hidden_size,
            intermediate_size=text.intermediate_size,
            num_hidden_layers=text.num_hidden_layers,
            num_attention_heads=text.num_attention_heads,
            num_key_value_heads=text.num_key_value_heads,
            head_dim=text.head_dim,
            rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
            tie_word_embeddings=False,
        )
    ).eval()
    ours = {name.replace("model.language_model.", "model."): tensor for name, tensor in model.state_dict().items()}
    kept = {name: tensor for name, tensor in ours.items() if name in qwen.state_dict()}
    assert kept.keys() == qwen.state_dict().keys()
    qwen.load_state_dict(kept)
    return qwen


@pytest.mark.parametrize("row", ROWS)
@torch.no_grad()
def test_with_zero_spatial_keys_text_is_exactly_the_llm_in_every_row_of_the_ablation(row):
    model = small_model(**ROWS[row])
    for layer in model.model.language_model.layers:
        layer.self_attn.k_proj_hw.weight.zero_()
    ids = torch.randint(0, 255, (2, 17), generator=torch.Generator().manual_seed(3))
    wanted = qwen3_behind(model)(ids).logits
    torch.testing.assert_close(model(ids).logits, wanted, atol=1e-5, rtol=1e-5)
    model.model.language_model.layers[0].self_attn.scaling = 32**-0.5  # the scale of the 2d-wide heads: wrong
    assert (model(ids).logits - wanted).abs().max() > 1e-2


@pytest.mark.parametrize("row", ROWS)
@torch.no_grad()
def test_every_row_of_the_ablation_runs_and_generates(row):
    model = small_model(**ROWS[row])
    inputs = batch(prompt("ab", (2, 3), "c"), prompt("de"))
    whole = model.generate(**inputs, max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None)
    plain = model.generate(
        **inputs, max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None, use_cache=False
    )
    assert torch.equal(whole, plain)


def test_rows_of_the_ablation_differ_on_images():
    inputs = batch(prompt("ab", (2, 3), "c"))
    with torch.no_grad():
        logits = {row: small_model(**overrides)(**inputs).logits for row, overrides in ROWS.items()}
    rows = list(ROWS)
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            assert not torch.allclose(logits[one], logits[other], atol=1e-5), (one, other)


def test_unknown_scheme_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        small_config(rope_scheme="nativ")
