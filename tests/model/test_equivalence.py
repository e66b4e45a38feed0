"""One model, many ways to run it: every pair of ways agrees within 1e-4 in float32, on random weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, StaticCache

from pixelword.model import NeoForConditionalGeneration, attention
from pixelword.model.attention import flex_kernel, sdpa_attention
from pixelword.model.layout import token_layout
from pixelword.model.masks import row_blocks

from .conftest import IMAGE, batch, prompt, small_model

PROMPTS = (prompt("look ", (2, 3), " and ", (3, 1), "?"), prompt("only words"), prompt((4, 4), "!"))
PARTS = st.lists(
    st.one_of(st.text("abc", min_size=1, max_size=5), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    min_size=1,
    max_size=4,
)


def close(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def model() -> NeoForConditionalGeneration:
    return small_model()


def real(inputs: dict[str, torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
    return logits[inputs["attention_mask"].bool()]


def whole(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor], kernel: str = "eager") -> torch.Tensor:
    model.set_attn_implementation(kernel)
    return real(inputs, model(**inputs).logits)


def in_chunks(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor], cache, size: int) -> torch.Tensor:
    """Feed the sequence piece by piece through a cache, cutting where no image is cut."""
    model.set_attn_implementation("sdpa")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    position_ids = model.get_rope_index(ids, inputs.get("image_grid_thw"), mask)
    inside = ((ids[:, :-1] == IMAGE) & (ids[:, 1:] == IMAGE)).any(0).tolist()
    features = model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
    embeds = model.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter((ids == IMAGE)[..., None].expand_as(embeds), features)
    start, pieces = 0, []
    while start < ids.shape[1]:
        end = min(start + size, ids.shape[1])
        while end < ids.shape[1] and inside[end - 1]:
            end += 1
        numbers = token_layout(model.config, ids, inputs["image_grid_thw"]).image_ids[:, start:end]
        piece = model(
            input_ids=ids[:, start:end],
            inputs_embeds=embeds[:, start:end],
            image_grid_thw=inputs["image_grid_thw"][numbers[numbers >= 0].unique()],
            attention_mask=mask[:, :end],
            position_ids=position_ids[..., start:end],
            past_key_values=cache,
            use_cache=True,
        )
        pieces.append(piece.logits)
        start = end
    return real(inputs, torch.cat(pieces, dim=1))


def alone(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Every row by itself, unpadded, with its own pixels."""
    model.set_attn_implementation("sdpa")
    rows, image, patch = [], 0, 0
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        own = ids[mask.bool()]
        count = int(((own == IMAGE) & (torch.nn.functional.pad(own[:-1], (1, 0)) != IMAGE)).sum())
        kwargs = {}
        if count:
            grids = inputs["image_grid_thw"][image : image + count]
            patches = int(grids.prod(-1).sum())
            kwargs = {"image_grid_thw": grids, "pixel_values": inputs["pixel_values"][patch : patch + patches]}
            image, patch = image + count, patch + patches
        rows.append(model(own[None], **kwargs).logits[0])
    return torch.cat(rows)


def blockwise(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "BLOCKWISE_FROM", 1)
        patch.setattr(attention, "row_blocks", lambda layout: row_blocks(layout, 5))
        return whole(model, inputs, "sdpa")


WAYS: dict[str, Callable[[NeoForConditionalGeneration, dict[str, torch.Tensor]], torch.Tensor]] = {
    "eager": lambda model, inputs: whole(model, inputs, "eager"),
    "sdpa": lambda model, inputs: whole(model, inputs, "sdpa"),
    "sdpa block by block": blockwise,
    "flex": lambda model, inputs: whole(model, inputs, "flex_attention"),
    "cached token by token": lambda model, inputs: in_chunks(model, inputs, DynamicCache(), 1),
    "cached in chunks": lambda model, inputs: in_chunks(model, inputs, DynamicCache(), 5),
    "static cache": lambda model, inputs: in_chunks(
        model, inputs, StaticCache(config=model.config.llm_config, max_cache_len=64), 7
    ),
    "row by row": alone,
}


@torch.no_grad()
def test_all_ways_to_run_the_model_agree(model):
    inputs = batch(*PROMPTS)
    logits = {name: way(model, inputs) for name, way in WAYS.items()}
    for one, other in itertools.combinations(logits, 2):
        assert (logits[one] - logits[other]).abs().max() <= 1e-4, (one, other)


@settings(max_examples=25)
@given(st.lists(PARTS, min_size=1, max_size=3))
@torch.no_grad()
def test_batch_row_is_the_row_alone(prompts):
    model, inputs = small_model(), batch(*[prompt(*parts) for parts in prompts])
    close(whole(model, inputs, "sdpa"), alone(model, inputs))


@settings(max_examples=25)
@given(st.lists(PARTS, min_size=1, max_size=4))
@torch.no_grad()
def test_packed_samples_compute_as_if_alone(prompts):
    model, inputs = small_model(), batch(*[prompt(*parts) for parts in prompts])
    model.set_attn_implementation("sdpa")
    lengths = inputs["attention_mask"].sum(1)
    images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
    packed = model(
        inputs["input_ids"][inputs["attention_mask"].bool()][None],
        sample_ids=torch.arange(len(prompts)).repeat_interleave(lengths)[None],
        **images,
    )
    close(packed.logits[0], alone(model, inputs))


@torch.no_grad()
def test_branches_compute_as_if_each_stood_alone_behind_the_trunk(model):
    model.set_attn_implementation("sdpa")
    trunk, answers = prompt("see ", (2, 2), " "), ("red", "blue!", "?")
    rows = batch(*[prompt("see ", (2, 2), " ", answer) for answer in answers])
    pixels = rows["pixel_values"][: rows["image_grid_thw"][0].prod()]
    rows["pixel_values"] = pixels.repeat(3, 1)
    ids = trunk[0] + [byte for answer in answers for byte in answer.encode()]
    numbers = [0] * len(trunk[0]) + [n + 1 for n, answer in enumerate(answers) for _ in answer]
    logits = model(
        torch.tensor([ids]),
        branch_ids=torch.tensor([numbers]),
        pixel_values=pixels,
        image_grid_thw=rows["image_grid_thw"][:1],
    ).logits[0]
    separate = model(**rows).logits
    start = len(trunk[0])
    for row, answer in enumerate(answers):
        close(logits[start : start + len(answer)], separate[row, -len(answer) :])
        start += len(answer)


@pytest.mark.parametrize("kernel", ["eager", "sdpa", "flex_attention"])
@torch.no_grad()
def test_kept_logits_are_those_of_the_whole(model, kernel):
    model.set_attn_implementation(kernel)
    inputs = batch(*PROMPTS)
    every = model(**inputs).logits
    close(model(**inputs, logits_to_keep=1).logits, every[:, -1:])
    close(model(**inputs, logits_to_keep=4).logits, every[:, -4:])
    close(model(**inputs, logits_to_keep=torch.tensor([3, 20])).logits, every[:, [3, 20]])


@torch.no_grad()
def test_text_takes_the_fused_causal_path(model, monkeypatch):
    """No mask reaches the kernel for plain text; an image brings one."""
    seen = []

    def spy(*args, **kwargs):
        seen.append(args[4] is None)
        return sdpa_attention(*args, **kwargs)

    monkeypatch.setitem(__import__("pixelword.model.layers", fromlist=["x"]).NEO_ATTENTION, "sdpa", spy)
    model.set_attn_implementation("sdpa")
    model(torch.tensor([list(b"words")]))
    assert all(seen) and seen
    for more in (
        {"attention_mask": torch.ones(1, 5, dtype=torch.long)},  # as every processor passes it
        {"image_grid_thw": torch.zeros(0, 3, dtype=torch.long), "pixel_values": torch.zeros(0, 12)},
    ):
        seen.clear()
        model(torch.tensor([list(b"words")]), **more)
        assert all(seen) and seen
    seen.clear()
    inputs = batch(PROMPTS[0])
    model(**inputs)
    assert not any(seen) and seen


@torch.no_grad()
def test_empty_places_of_a_static_cache_are_never_seen(model):
    """Token by token and without an attention mask, where nothing but the cache knows that it is half empty."""
    model.set_attn_implementation("sdpa")
    ids = torch.tensor([list(b"words")])
    position_ids, cache = model.get_rope_index(ids), StaticCache(config=model.config.llm_config, max_cache_len=32)
    pieces = [
        model(ids[:, at : at + 1], position_ids=position_ids[..., at : at + 1], past_key_values=cache, use_cache=True)
        for at in range(ids.shape[1])
    ]
    close(torch.cat([piece.logits for piece in pieces], dim=1), model(ids).logits)


def test_a_model_cast_to_bfloat16_still_turns_by_float32_angles():
    rotary, cast = (small_model().to(kind).model.language_model.rotary_emb for kind in (torch.float32, torch.bfloat16))
    late = torch.full((3, 1, 1), 30_000)
    for ours, wanted in zip(cast(late, torch.float32), rotary(late, torch.float32), strict=True):
        assert torch.equal(ours, wanted)


@torch.no_grad()
def test_flex_that_does_not_compile_falls_back_with_a_sentence(model, monkeypatch, caplog):
    def broken(*_, **__):
        raise torch._dynamo.exc.Unsupported("out of shared memory")

    monkeypatch.setattr(flex_kernel, "_compiled", broken)
    monkeypatch.setattr(flex_kernel, "refusal", "")
    inputs = batch(*PROMPTS)
    wanted = whole(model, inputs, "sdpa")
    close(whole(model, inputs, "flex_attention"), wanted)
    assert "replaced by sdpa" in caplog.text and "out of shared memory" in caplog.text
    caplog.clear()
    close(whole(model, inputs, "flex_attention"), wanted)
    assert not caplog.text  # said once


@pytest.mark.parametrize("training", [True, False])
def test_flex_gives_gradients_with_sdpa_on_the_cpu(model, training):
    inputs = batch(*PROMPTS)
    gradients = {}
    for kernel in ("sdpa", "flex_attention"):
        model.set_attn_implementation(kernel)
        model.train(training)
        model.zero_grad()
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients[kernel] = model.model.language_model.layers[0].self_attn.k_proj_hw.weight.grad.clone()
    model.eval()
    model.zero_grad()
    assert torch.equal(gradients["sdpa"], gradients["flex_attention"])


def test_gradient_checkpointing_changes_nothing():
    inputs, gradients = batch(*PROMPTS), []
    for checkpointing in (False, True):
        model = small_model().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        close(plain, recomputed)
