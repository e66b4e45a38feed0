"""Claims of the doctor about batches: leaks between any two samples, placeholders, padding, turns, refused batches."""

from __future__ import annotations

from itertools import pairwise, permutations
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelword.data import collate
from pixelword.model.chat import chat_template
from pixelword.model.layout import token_layout
from pixelword.model.loss import IGNORED
from pixelword.model.special_tokens import SpecialTokens
from pixelword.train import select
from pixelword.train.doctor import Diagnosis, examine
from pixelword.train.doctor.labels import check_labels
from pixelword.train.doctor.packing import passes_of
from pixelword.train.doctor.placeholders import check_placeholders
from pixelword.train.doctor.subject import Subject
from pixelword.train.doctor.turns import turn_heads, users_words
from tests.data.test_batch import sample
from tests.model.conftest import IMAGE, PAD
from tests.model.prompts import tokenizer
from tests.train.test_doctor import SAMPLES, Case, QwenCase, change_arguments

TWENTY = [sample([f"q{number}"], f"answer{number}", number) for number in range(20)]


def text_case(samples: list[Any]) -> Case:
    """Samples without pictures in one row; what sees pictures is frozen."""
    case = Case()
    case.inputs = collate([samples], pad_id=PAD).inputs
    case.learns = (r"model\.language_model\..*", r"lm_head\..*")
    select(case.model, case.learns)
    return case


def found(diagnosis: Diagnosis) -> set[str]:
    return {finding.check for finding in diagnosis.findings}


# Packing.


@given(st.integers(1, 80))
@settings(max_examples=20, deadline=None)
def test_of_any_two_samples_each_is_once_disturbed_without_the_other(samples):
    passes = [set(turns) for turns in passes_of(samples)]
    assert len(passes) == samples
    assert all(one - other for one, other in permutations(passes, 2))
    assert len(set().union(*passes)) <= 10


def test_a_mask_that_merges_only_late_samples_of_a_long_row_is_named():
    assert text_case(TWENTY).examined().findings == ()
    case = text_case(TWENTY)

    def merged(given: dict[str, Any]) -> dict[str, Any]:
        ids = given.get("sample_ids")
        return given | ({} if ids is None else {"sample_ids": ids.clamp(max=13)})

    change_arguments(case.model.model, merged)
    diagnosis = case.examined()
    assert found(diagnosis) == {"packing"}, str(diagnosis)
    assert "sees sample 13 of row 0" in diagnosis.findings[0].where


def test_positions_that_are_wrong_in_one_late_sample_are_named():
    case = text_case(TWENTY)

    def stretched(given: dict[str, Any]) -> dict[str, Any]:
        ids = given.get("sample_ids")
        if ids is None:
            return given
        positions = token_layout(case.model.config, given["input_ids"], None, sample_ids=ids).position_ids
        return given | {"position_ids": torch.where(ids == 17, positions * 2, positions)}

    change_arguments(case.model.model, stretched)
    diagnosis = case.examined()
    assert found(diagnosis) == {"packing"}, str(diagnosis)
    assert "sample 17 of row 0" in diagnosis.findings[0].where


def packed_qwen(*, masked: bool) -> QwenCase:
    """A Qwen2.5-VL with packed rows; its mask comes from positions of text that start again, as transformers has it."""
    case = QwenCase()
    case.model.config.text_config.use_cache = False
    samples = [one for row in SAMPLES for one in row]
    inputs = collate([samples], pad_id=0).inputs
    case.inputs = {name: value for name, value in inputs.items() if name != "loss_weights"}
    kinds = case.inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).long()
    if not masked:
        return case
    pieces, first = [], 0
    for number, one in enumerate(samples):
        mine = inputs["sample_ids"][0] == number
        ids, grids = inputs["input_ids"][:, mine], inputs["image_grid_thw"][first : first + len(one.grids)]
        first += len(one.grids)
        places, _ = case.model.model.get_rope_index(ids, image_grid_thw=grids, mm_token_type_ids=kinds[:, mine])
        pieces.append(torch.cat([torch.arange(ids.shape[1])[None, None], places.reshape(3, 1, -1)]))
    case.inputs["position_ids"] = torch.cat(pieces, dim=-1)
    return case


def test_packed_rows_of_a_qwen2_5_vl_are_sound_with_its_positions_and_a_leak_without():
    diagnosis = packed_qwen(masked=True).examined()
    assert diagnosis.findings == (), str(diagnosis)
    assert {one.check: one.status for one in diagnosis.checks}["packing"] == "sound"
    diagnosis = packed_qwen(masked=False).examined()
    assert found(diagnosis) == {"packing"}, str(diagnosis)


# Placeholders.


@pytest.mark.parametrize("kind", [QwenCase, Case])
def test_a_placeholder_that_one_picture_lost_and_the_next_one_got_is_named(kind):
    case = kind()
    ids = case.inputs["input_ids"] = case.inputs["input_ids"].clone()
    places = (ids == IMAGE).nonzero().tolist()
    last = next(n for n, (one, other) in enumerate(pairwise(places)) if other != [one[0], one[1] + 1])
    ids[*places[last]] = ord("x")
    row, start = places[last + 1]
    ids[row, start - 1] = IMAGE
    diagnosis = case.examined()
    assert found(diagnosis) == {"placeholders"}, str(diagnosis)
    assert diagnosis.findings[0].what == "picture 0 has 1 placeholders and 2 tokens"


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=2, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_pictures_that_touch_are_sound_and_a_moved_placeholder_is_not(pictures, data):
    """Each picture is `size` tokens, and touches the next one or not."""
    runs = [[]]
    for size, touches in pictures:
        runs[-1].append(size)
        if not touches:
            runs.append([])
    runs = [run for run in runs if run]
    lengths = [sum(run) for run in runs]
    grids = torch.tensor([[1, 1, size] for size, _ in pictures])

    def status(lengths: list[int]) -> str:
        ids = [token for length in lengths for token in [7, *[IMAGE] * length]]
        config = SimpleNamespace(image_token_id=IMAGE, vision_config=SimpleNamespace(merge_size=1))
        batch = {"input_ids": torch.tensor([ids]), "image_grid_thw": grids}
        model: Any = SimpleNamespace(config=config)
        return check_placeholders(Subject(model, [batch]))[0].status

    assert status(lengths) == "sound"
    assert status([*lengths, 1]) == "faulty"
    if len(runs) == len(pictures) and max(lengths) > 1:
        at = data.draw(st.sampled_from([at for at, length in enumerate(lengths) if length > 1]))
        moved = [length - (place == at) for place, length in enumerate(lengths)]
        moved[(at + 1) % len(moved)] += 1
        assert status(moved) == "faulty"


# What the model does not take.


def test_a_batch_that_the_model_refuses_is_a_finding_and_the_others_are_examined():
    case = Case()

    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        if given["input_ids"].shape[0] == 1:
            raise KeyError("one row")
        return given

    change_arguments(case.model, refuse)
    single = collate([[sample(["text"], "abc", 1)]], pad_id=PAD).inputs
    diagnosis = examine(case.model, [single, case.inputs], learns=case.learns, parent=None, loaders=case.loaders)
    assert found(diagnosis) == {"forward"}, str(diagnosis)
    assert "KeyError" in diagnosis.findings[0].what
    assert diagnosis.findings[0].where == "batch 0: 'one row'"
    assert {one.check: one.status for one in diagnosis.checks}["labels"] == "sound"


def test_a_model_without_a_loss_is_named_and_memory_that_is_out_is_not_a_finding():
    case = Case()
    case.model.register_forward_hook(lambda module, given, output: SimpleNamespace(loss=None, logits=output.logits))
    diagnosis = case.examined()
    assert found(diagnosis) == {"forward"}
    assert "no loss" in diagnosis.findings[0].what

    def full(given: dict[str, Any]) -> dict[str, Any]:
        raise torch.OutOfMemoryError("out of memory")

    case = Case()
    change_arguments(case.model, full)
    with pytest.raises(torch.OutOfMemoryError):
        case.examined()


# Labels.


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_that_is_taught_is_named(side):
    case = QwenCase()
    if side == "left":
        for name in ("input_ids", "labels", "attention_mask"):
            case.inputs[name] = _moved_to_the_end(case.inputs[name], case.inputs["attention_mask"].clone())
        assert case.examined().findings == ()
    ids, mask = case.inputs["input_ids"], case.inputs["attention_mask"]
    case.inputs["labels"] = torch.where(mask == 0, ids, case.inputs["labels"])
    diagnosis = case.examined()
    assert found(diagnosis) == {"labels"}, str(diagnosis)
    assert "padding is taught" in diagnosis.findings[0].what


def _moved_to_the_end(values: Tensor, mask: Tensor) -> Tensor:
    return torch.stack([torch.roll(row, int((kept == 0).sum())) for row, kept in zip(values, mask, strict=True)])


def conversation(words: Any, *, everything: bool) -> dict[str, Tensor]:
    """Two turns of each, once more in the same row; the answers are taught, or all of it."""
    ids: list[int] = []
    labels: list[int] = []
    for role, text in (("user", "what"), ("assistant", "this"), ("user", "and that"), ("assistant", "one")):
        head = words(f"<|im_start|>{role}\n", add_special_tokens=False)["input_ids"]
        body = words(f"{text}<|im_end|>\n", add_special_tokens=False)["input_ids"]
        ids += head + body
        silent = [IGNORED] * len(head)
        labels += head + body if everything else silent + (body if role == "assistant" else [IGNORED] * len(body))
    one = SimpleNamespace(input_ids=ids, labels=labels, pixel_values=None, grids=(), name="one", source="drawn")
    return collate([[one, one]], pad_id=PAD).inputs  # type: ignore[list-item]


def test_users_turns_that_are_taught_are_told_where_the_chat_template_marks_them():
    words = tokenizer()
    words.chat_template = chat_template(SpecialTokens())
    case = text_case(TWENTY)
    for everything in (False, True):
        batch = conversation(words, everything=everything)
        told = check_labels(Subject(case.model, [batch], tokenizer=words))
        assert told.findings == ()
        assert told.status == ("warning" if everything else "sound"), told
        assert ("100% of the words" in told.note) == everything
        assert ("0 in users' turns" in told.note) == (not everything)
    said = words.decode(batch["input_ids"][users_words(batch, turn_heads(words))])
    assert said.replace("\n", "") == "what<|im_end|>and that<|im_end|>" * 2
    assert check_labels(Subject(case.model, [batch])).note.endswith("100% of the words: prompts too, if there are any")


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPENED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.mark.parametrize(
    ("template", "known"),
    [
        (CHATML + OPENED, True),
        ("<|im_start|>system\nBe kind.<|im_end|>\n" + CHATML + OPENED, True),
        (CHATML, False),  # nothing opens an answer
        ("{% for m in messages %}{{ m.content[0].text }}{% endfor %}" + OPENED, False),
        ("{{ raise_exception('tools are needed') }}", False),
        (None, False),
    ],
)
def test_heads_of_turns_are_read_off_a_template_or_not_known(template, known):
    words = tokenizer()
    words.chat_template = template
    heads = turn_heads(words)
    assert (heads is not None) == known
    if heads is not None:
        assert words.decode(heads.user) == "<|im_start|>user"
        assert words.decode(heads.assistant) == "<|im_start|>assistant"
