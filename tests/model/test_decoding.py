"""Fast generation against the plain path: the same tokens, whatever the prompts, and never from old weights."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from transformers import DynamicCache

from pixelword import ConfigError
from pixelword.model import NeoForConditionalGeneration
from pixelword.model import decoding as decoding_module
from pixelword.model.decoding import decoder_for, prepare_for_decoding, use_plain_decoding, why_plain
from pixelword.model.decoding_cache import DecodingCache, GrowingLayer
from pixelword.model.decoding_weights import PACKED_FROM, Packed

from .conftest import batch, prompt, small_model

PROMPTS = (prompt("look ", (2, 3), " and ", (3, 1), "?"), prompt("only words"), prompt((4, 4), "!"))
GREEDY = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


def plain(model: NeoForConditionalGeneration, **options):
    copied = copy.deepcopy(model)
    use_plain_decoding(copied)
    return copied.generate(**options)


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """Counts the tokens that a decoder computed, so that no test passes by the plain path."""
    counted: list[int] = []
    step = decoding_module.Decoder.step

    def counting(self, *args):
        counted.append(1)
        return step(self, *args)

    monkeypatch.setattr(decoding_module.Decoder, "step", counting)
    return counted


@pytest.mark.parametrize(
    "options",
    [{}, {"prefill_chunk_size": 5}, {"repetition_penalty": 1.3}, {"num_return_sequences": 1, "top_k": 5}],
    ids=str,
)
def test_a_padded_batch_with_pictures_gets_the_tokens_of_the_plain_path(steps, options):
    model, inputs = small_model(), batch(*PROMPTS)
    wanted = plain(model, **inputs, **GREEDY, **options)
    steps.clear()
    assert torch.equal(model.generate(**inputs, **GREEDY, **options), wanted)
    assert len(steps) == 8


@pytest.mark.parametrize("rows", [PACKED_FROM - 1, PACKED_FROM, 1])
def test_the_arrangement_of_weights_follows_the_rows_and_the_tokens_stay(steps, rows):
    """One row after a large batch and a large batch after one row: each in its own arrangement, same tokens."""
    model = small_model()
    for number in (1, rows, 2 * PACKED_FROM, rows):
        inputs = batch(*(PROMPTS * number)[:number])
        assert torch.equal(model.generate(**inputs, **GREEDY), plain(model, **inputs, **GREEDY))
        with torch.no_grad():
            decoder = decoder_for(model, number)
        can_pack = torch.backends.mkldnn.is_available()
        assert isinstance(decoder.copies.weights.head, Packed) == (can_pack and number >= PACKED_FROM)
    assert len(steps) == 4 * 8


@pytest.mark.parametrize("scheme", ["native", "1d", "il", "m", "mm", "video"])
def test_every_position_scheme_is_served(steps, scheme):
    model, inputs = small_model(rope_scheme=scheme), batch(*PROMPTS)
    wanted = plain(model, **inputs, **GREEDY)
    steps.clear()
    assert torch.equal(model.generate(**inputs, **GREEDY), wanted)
    assert steps


def test_a_prompt_long_enough_for_blocks_of_queries(steps):
    """From 256 tokens on, float32 attention runs block by block; also where a second turn stands behind a cache."""
    model = small_model()
    first, second = prompt("a" * 150, (9, 9), "b" * 100), prompt("c" * 130, (8, 8), "d" * 140)
    wanted = plain(model, **batch(first), **GREEDY)
    out = model.generate(**batch(first), **GREEDY, return_dict_in_generate=True)
    assert torch.equal(out.sequences, wanted)
    ids = torch.cat((wanted, torch.tensor([second[0]])), dim=1)
    whole = batch(first, second) | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    wanted = plain(model, **whole, **GREEDY)
    steps.clear()
    assert torch.equal(model.generate(**whole, **GREEDY, past_key_values=out.past_key_values), wanted)
    assert len(steps) == 8


def logits_by_token(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Log-probabilities along a fixed answer, so that two ways to compute are compared on the same tokens."""
    out = model.generate(
        **inputs, **GREEDY | {"suppress_tokens": list(range(1, 384))}, output_logits=True, return_dict_in_generate=True
    )
    assert out.sequences[:, inputs["input_ids"].shape[1] :].eq(0).all()
    return torch.stack(out.logits).log_softmax(-1)


def test_bfloat16_is_as_near_to_float32_as_the_plain_path_is(steps):
    """Packed matrices and whole buffers: other code, the same rounding."""
    model, inputs = small_model(), batch(*PROMPTS)
    exact = logits_by_token(model, inputs)
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    use_plain_decoding(rounded)
    error_of_plain = (logits_by_token(rounded, inputs) - exact).abs().mean()
    prepare_for_decoding(rounded)
    steps.clear()
    error = (logits_by_token(rounded, inputs) - exact).abs().mean()
    assert steps
    assert 0 < error < 1.5 * error_of_plain
    prepare_for_decoding(model, dtype=torch.bfloat16)
    inputs["pixel_values"] = inputs["pixel_values"].float()
    assert 0 < (logits_by_token(model, inputs) - exact).abs().mean() < 1.5 * error_of_plain


def test_a_forward_call_with_a_used_cache_never_reads_old_copies(steps):
    model, inputs = small_model(), batch(PROMPTS[0])
    out = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)
        positions = model.get_rope_index(out.sequences, inputs["image_grid_thw"])
        cache = copy.deepcopy(out.past_key_values)
        cache.crop(-1)
        last = {"input_ids": out.sequences[:, -2:-1], "position_ids": positions[..., -2:-1]}
        steps.clear()
        logits = model(**last, past_key_values=cache).logits[:, -1]
        assert not steps
        wanted = model(**inputs | {"input_ids": out.sequences[:, :-1], "attention_mask": None}).logits[:, -1]
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=0)


def test_sampling_draws_the_same_tokens_from_the_same_seed(steps):
    model, inputs = small_model(), batch(*PROMPTS)
    options = GREEDY | {"do_sample": True, "num_return_sequences": 3}
    torch.manual_seed(5)
    wanted = plain(model, **inputs, **options)
    steps.clear()
    torch.manual_seed(5)
    assert torch.equal(model.generate(**inputs, **options), wanted)
    assert steps


def test_beams_and_foreign_caches_take_the_plain_path(steps):
    model, inputs = small_model(), batch(*PROMPTS)
    model.generate(**inputs, **GREEDY, num_beams=2)
    model.generate(**inputs, **GREEDY, past_key_values=DynamicCache())
    model.generate(**inputs, **GREEDY, cache_implementation="static")
    assert not steps


@pytest.mark.parametrize("change", ["in place", "unmarked", "replaced", "trained", "loaded"])
def test_changed_weights_are_never_answered_from_old_copies(steps, change):
    model, inputs = small_model(), batch(*PROMPTS)
    before = model.generate(**inputs, **GREEDY)
    other = small_model(seed=3)
    if change == "in place":
        with torch.no_grad():
            for own, new in zip(model.parameters(), other.parameters(), strict=True):
                own.copy_(new)
    elif change == "unmarked":  # as adapters are merged: autograd does not count writes through .data
        for own, new in zip(model.parameters(), other.parameters(), strict=True):
            own.data.copy_(new.data)
    elif change == "replaced":
        for own, new in zip(model.parameters(), other.parameters(), strict=True):
            own.data = new.data.clone()
    elif change == "trained":
        optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        optimizer.step()
    else:
        model.load_state_dict(other.state_dict())
    wanted = plain(model, **inputs, **GREEDY)
    assert not torch.equal(before, wanted)
    steps.clear()
    assert torch.equal(model.generate(**inputs, **GREEDY), wanted)
    assert steps


def test_a_second_turn_continues_the_decoder_s_own_cache(steps):
    model = small_model()
    first, second = prompt("see ", (2, 3), "."), prompt(" now ", (3, 2), " too?")
    out = model.generate(**batch(first), **GREEDY, return_dict_in_generate=True)
    assert isinstance(out.past_key_values, DecodingCache)
    ids = torch.cat((out.sequences, torch.tensor([second[0]])), dim=1)
    whole = batch(first, second) | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    wanted = plain(model, **whole, **GREEDY)
    steps.clear()
    assert torch.equal(model.generate(**whole, **GREEDY, past_key_values=out.past_key_values), wanted)
    assert steps


def test_hooks_adapters_and_gradients_take_the_plain_path():
    model = small_model()
    with torch.no_grad():
        assert decoder_for(model) is not None
        handle = model.model.language_model.layers[0].mlp.register_forward_hook(lambda *_: None)
        assert "hook" in why_plain(model) and decoder_for(model) is None
        handle.remove()
        model.model.language_model.layers[0].mlp.up_proj = torch.nn.Sequential(torch.nn.Linear(48, 64, bias=False))
        assert "Sequential" in why_plain(model)
        with pytest.raises(ConfigError, match="cannot be prepared"):
            prepare_for_decoding(model)
    assert decoder_for(small_model()) is None  # gradients are on


def test_copies_do_not_keep_a_model_alive():
    model = small_model()
    model.generate(**batch(PROMPTS[0]), **GREEDY)
    known = len(decoding_module._decoders)
    del model
    gc.collect()
    assert len(decoding_module._decoders) < known


def test_a_growing_layer_holds_what_a_dynamic_one_holds():
    """Appends, crops, reorders and repeats in any order give the same keys and values."""
    torch.manual_seed(0)
    ours, theirs = GrowingLayer(), DynamicCache().layer_class_to_replicate()
    for length in (5, 1, 1, 70, 1, 3):
        key, value = torch.randn(2, 2, length, 8), torch.randn(2, 2, length, 4)
        for mine, wanted in zip(ours.update(key, value), theirs.update(key, value), strict=True):
            assert torch.equal(mine, wanted)
        for layer in (ours, theirs):
            layer.reorder_cache(torch.tensor([1, 0]))
            layer.crop(-1)
    for layer in (ours, theirs):
        layer.batch_repeat_interleave(2)
    key, value = torch.randn(4, 2, 2, 8), torch.randn(4, 2, 2, 4)
    for mine, wanted in zip(ours.update(key, value), theirs.update(key, value), strict=True):
        assert torch.equal(mine, wanted)


@pytest.mark.skipif(not decoding_module._has_compiler(), reason="compiling for a CPU needs a C++ compiler")
def test_compiled_steps_serve_every_length_with_one_compilation(steps):
    model, inputs = small_model(num_hidden_layers=1, extra_num_layers=0), batch(*PROMPTS)
    torch._dynamo.reset()
    prepare_for_decoding(model, compile=True)
    counters = torch._dynamo.utils.counters
    for prompts in (PROMPTS, (*PROMPTS[1:], prompt("a longer one ", (3, 3), "..."))):
        inputs = batch(*prompts)
        wanted = plain(model, **inputs, **GREEDY)
        counters.clear()
        steps.clear()
        assert torch.equal(model.generate(**inputs, **GREEDY), wanted)
        assert len(steps) == 8
    assert counters["stats"]["unique_graphs"] == 0
