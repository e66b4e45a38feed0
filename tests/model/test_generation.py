"""generate(): every way that transformers offers gives the answer of the plain loop."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache
from transformers.generation.streamers import BaseStreamer

from pixelword import BackendError, InputError, PixelWordError, PromptError, ShapeError
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.layout import next_position

from .conftest import END, IMAGE, START, batch, prompt, small_model

PROMPTS = (prompt("look ", (2, 3), " and ", (3, 1), "?"), prompt("only words"), prompt((4, 4), "!"))
GREEDY = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


@pytest.fixture(scope="module")
def model() -> NeoForConditionalGeneration:
    return small_model()


@torch.no_grad()
def by_hand(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor], steps: int = 6) -> torch.Tensor:
    """Greedy answers with no cache at all: the whole sequence again for every token."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
    start = ids.shape[1]
    for _ in range(steps):
        logits = model(ids, attention_mask=mask, **images).logits[:, -1]
        logits[:, [IMAGE, START, END]] = -torch.inf
        ids = torch.cat((ids, logits.argmax(-1, keepdim=True)), dim=1)
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    return ids[:, start:]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_cache": False},
        {"prefill_chunk_size": 3},
        {"prefill_chunk_size": 11},
        {"cache_implementation": "static"},
        {"cache_implementation": "static", "prefill_chunk_size": 4},
    ],
    ids=str,
)
def test_every_kind_of_prefill_and_cache_gives_the_answer_of_the_plain_loop(model, options):
    inputs = batch(*PROMPTS)
    answer = model.generate(**inputs, **GREEDY, **options)
    assert torch.equal(answer[:, inputs["input_ids"].shape[1] :], by_hand(model, inputs))


def test_text_only_generation_needs_no_pixels(model):
    inputs = batch(prompt("plain words"))
    answer = model.generate(inputs["input_ids"], **GREEDY)
    assert torch.equal(answer[:, 11:], by_hand(model, inputs))


def test_beams_keep_their_own_images(model):
    """A beam search over the batch equals a beam search over each row alone."""
    inputs = batch(*PROMPTS)
    together = model.generate(**inputs, **GREEDY, num_beams=3)[:, inputs["input_ids"].shape[1] :]
    patch = 0
    for row, (ids, grids) in enumerate(PROMPTS):
        alone = {"input_ids": torch.tensor([ids])}
        if grids:
            patches = sum(rows * columns for rows, columns in grids)
            alone["pixel_values"] = inputs["pixel_values"][patch : patch + patches]
            alone["image_grid_thw"] = torch.tensor([(1, *grid) for grid in grids])
            patch += patches
        assert torch.equal(model.generate(**alone, **GREEDY, num_beams=3)[0, len(ids) :], together[row])


def test_several_sampled_answers_per_prompt(model):
    inputs = batch(*PROMPTS)
    torch.manual_seed(0)
    options = GREEDY | {"do_sample": True}
    answers = model.generate(**inputs, **options, num_return_sequences=4)
    assert answers.shape == (12, inputs["input_ids"].shape[1] + 6)
    assert torch.equal(answers[:, : inputs["input_ids"].shape[1]], inputs["input_ids"].repeat_interleave(4, 0))
    assert len({tuple(row.tolist()) for row in answers}) > 3


def test_placeholders_are_never_sampled():
    """A head that wants nothing but placeholders does not get them, sampled, greedy or in beams."""
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.model.language_model.norm.weight.fill_(1.0)
        model.lm_head.weight[[IMAGE, START, END]] = 50 * torch.sign(torch.randn(48))
    inputs = batch(*PROMPTS)
    for options in ({}, {"do_sample": True}, {"num_beams": 2}):
        answer = model.generate(**inputs, **GREEDY | options)[:, inputs["input_ids"].shape[1] :]
        assert not torch.isin(answer, torch.tensor([IMAGE, START, END])).any()


class Kept(BaseStreamer):
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ended = False

    def put(self, value: torch.Tensor) -> None:
        self.tokens += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


def test_streaming_gives_the_same_tokens(model):
    inputs, streamer = batch(PROMPTS[0]), Kept()
    answer = model.generate(**inputs, **GREEDY, streamer=streamer)
    assert streamer.tokens == answer[0].tolist() and streamer.ended


@pytest.mark.parametrize("all_pixels", [True, False])
def test_a_second_turn_with_another_image_continues_the_cache(model, all_pixels):
    first, second = prompt("see ", (2, 3), "."), prompt(" now ", (3, 2), " too?")
    turn = batch(first)
    cache = DynamicCache()
    answer = model.generate(**turn, **GREEDY, past_key_values=cache)
    cached = cache.get_seq_length()
    assert cached == answer.shape[1] - 1  # the last token is not in the cache yet
    ids = torch.cat((answer, torch.tensor([second[0]])), dim=1)
    both = batch(first, second)  # for the pixels of both images
    whole = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "image_grid_thw": both["image_grid_thw"],
        "pixel_values": both["pixel_values"],
    }
    wanted = by_hand(model, whole)
    if not all_pixels:
        whole["pixel_values"] = both["pixel_values"][24:]
    continued = model.generate(**whole, **GREEDY, past_key_values=cache)
    assert torch.equal(continued[:, ids.shape[1] :], wanted)


def test_a_text_turn_behind_an_image_takes_up_its_time(model):
    """After a 2x3 image the next text token stands at T + 1, not at T + 6."""
    turn, cache = batch(prompt("see ", (2, 3), ".")), DynamicCache()
    answer = model.generate(**turn, **GREEDY, past_key_values=cache)
    ids = torch.cat((answer, torch.tensor([list(b" and?")])), dim=1)
    whole = turn | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    wanted = by_hand(model, whole)
    continued = model.generate(**whole, **GREEDY, past_key_values=cache)
    assert torch.equal(continued[:, ids.shape[1] :], wanted)


def test_continuing_a_cache_without_the_conversation_is_refused(model):
    turn, cache = batch(prompt("see ", (2, 3), ".")), DynamicCache()
    model.generate(**turn, **GREEDY, past_key_values=cache)
    with pytest.raises(PromptError, match="whole conversation"):
        model.generate(torch.tensor([list(b"?")]), **GREEDY, past_key_values=cache)
    with pytest.raises(ShapeError, match="position_ids"):
        model(torch.tensor([list(b"?")]), past_key_values=cache)


def test_chunks_end_where_no_row_is_inside_an_image(model):
    ids = batch(prompt("abc", (2, 3), "de"), prompt("a", (1, 2), "bcdefgh"))["input_ids"]
    ends = model._chunk_ends(ids, 0, 2)
    assert ends[-1] == ids.shape[1]
    for end in ends[:-1]:
        assert not ((ids[:, end - 1] == IMAGE) & (ids[:, end] == IMAGE)).any()


def test_next_position_of_several_steps(model):
    inputs = batch(PROMPTS[0])
    position_ids = model.get_rope_index(inputs["input_ids"], inputs["image_grid_thw"])
    ahead = next_position(model.config, position_ids, 3)
    last = int(position_ids[0].max())
    assert ahead[:, 0].tolist() == [[last + 1, last + 2, last + 3], [0] * 3, [0] * 3]


def test_pixels_of_another_prompt_are_refused(model):
    inputs = batch(*PROMPTS)
    inputs["pixel_values"] = inputs["pixel_values"][:-4]
    with pytest.raises(ShapeError, match="patches"):
        model.generate(**inputs, **GREEDY)


def test_placeholders_without_pixels_are_refused(model):
    """Never answered blindly: grids alone, or a turn behind a cache, are no pictures."""
    inputs = batch(PROMPTS[0])
    del inputs["pixel_values"]
    for run in (model, lambda **given: model.generate(**given, **GREEDY)):
        with pytest.raises(PromptError, match="without pictures"):
            run(**inputs)
    cache = DynamicCache()
    model(torch.tensor([list(b"see")]), past_key_values=cache, use_cache=True)
    position_ids = model.get_rope_index(inputs["input_ids"], inputs["image_grid_thw"]) + 3
    with pytest.raises(PromptError, match="without pictures"):
        model(inputs["input_ids"], position_ids=position_ids, past_key_values=cache)


def test_a_prompt_longer_than_the_context_is_refused():
    model = small_model(max_position_embeddings=16)
    for given in ({"inputs": torch.ones(1, 16, dtype=torch.long)}, {"inputs_embeds": torch.ones(1, 16, 48)}):
        with pytest.raises(PromptError, match="the context holds 16"):
            model.generate(**given, **GREEDY)


def test_embeddings_answer_like_the_words_they_embed(model):
    inputs = batch(prompt("plain words"))
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach()
    assert torch.equal(model.generate(inputs_embeds=embeds, **GREEDY), by_hand(model, inputs))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": torch.ones(1, 0, dtype=torch.long)}, "the prompt is empty"),
        (
            {"inputs": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])},
            "row 1 of the prompts ends with padding",
        ),
        ({"inputs": torch.ones(1, 3, dtype=torch.long), "guidance_scale": 2.0}, "guidance_scale"),
    ],
)
def test_prompts_that_cannot_be_continued_are_refused(model, given, said):
    with pytest.raises(PixelWordError, match=said):
        model.generate(**given, **GREEDY)


def test_a_drafting_model_for_text_and_a_clear_no_for_pictures(model):
    draft, text, picture = small_model(1), batch(prompt("plain words")), batch(PROMPTS[0])
    answer = model.generate(**text, **GREEDY, assistant_model=draft)
    assert torch.equal(answer[:, 11:], by_hand(model, text))
    with pytest.raises(InputError, match="assistant_model"):
        model.generate(**picture, **GREEDY, assistant_model=draft)
    found = model.generate(**picture, **GREEDY, prompt_lookup_num_tokens=3)
    assert torch.equal(found[:, picture["input_ids"].shape[1] :], by_hand(model, picture))


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_out_of_memory_is_one_clear_error(monkeypatch, failure):
    model = small_model()

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(model.model, "forward", fail)
    with pytest.raises(BackendError, match="out of memory") as raised:
        model.generate(torch.tensor([[1, 2, 3]]), **GREEDY)
    assert "max_pixels" in str(raised.value)


def test_other_runtime_errors_are_not_mistaken_for_memory(monkeypatch):
    model = small_model()

    def fail(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr(model.model, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        model.generate(torch.tensor([[1, 2, 3]]), **GREEDY)
