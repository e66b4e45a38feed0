"""Rows for training against the prompts of the processor, and the closed tokenizer."""

from itertools import islice

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from pixelword.convert import token_settings
from pixelword.demo.language import WordCollator, small_qwen3
from pixelword.demo.rows import RowWriter, WorldRows
from pixelword.demo.vocabulary import SPECIAL, UNKNOWN, word_tokenizer
from pixelword.model import neo_tiny
from pixelword.model.processing import NeoProcessor
from pixelword.realunify.mini.words import CHOICE_WORDS
from pixelword.train import BranchCollator
from pixelword.world import WORDS, caption_is_true, examples

TOKENIZER = word_tokenizer()
PROCESSOR = NeoProcessor.from_config(neo_tiny(**token_settings(TOKENIZER)), TOKENIZER)
EXAMPLES = list(islice(examples("train", 0), 40))


def words(ids):
    return TOKENIZER.convert_ids_to_tokens(list(ids))


def test_every_word_is_one_token_and_comes_back():
    text = " ".join(WORDS)
    ids = TOKENIZER(text)["input_ids"]
    assert len(ids) == len(WORDS) == len(set(ids)) and TOKENIZER.unk_token_id not in ids
    assert TOKENIZER.decode(ids) == text
    assert len(TOKENIZER) == len(WORDS) + len(CHOICE_WORDS) + len(SPECIAL) + 1


def test_other_words_are_unknown_and_command_nothing():
    assert words(TOKENIZER("where is an elephant ?")["input_ids"]) == ["where", "is", UNKNOWN, UNKNOWN, "?"]
    assert UNKNOWN not in TOKENIZER.get_added_vocab()


def test_the_tokenizer_survives_saving(tmp_path):
    PROCESSOR.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "<|im_start|>user\n<img><IMG_CONTEXT></img>\ncolor of circle ?<|im_end|>\n"
    assert again(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert NeoProcessor.from_pretrained(tmp_path).image_processor.max_pixels == 64 * 64


def test_a_row_is_what_the_processor_would_ask_and_then_the_answer():
    for example in EXAMPLES:
        row = RowWriter(TOKENIZER, image_tokens=64, captions=2)(example)
        assert np.array_equal(row.picture, example.picture)
        asked = [("list", None), ("describe", None)] + [(q.text, q.answer) for q in example.questions]
        assert len(row.branches) == len(asked)
        for branch, (text, answer) in zip(row.branches, asked, strict=True):
            message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
            prompt = PROCESSOR.apply_chat_template(
                [message], images=[example.picture], tokenize=True, add_generation_prompt=True
            )[0]
            given = [*row.trunk.ids, *branch.ids]
            assert given[: len(prompt)] == list(prompt)
            reply = words(given[len(prompt) :])
            assert reply[-1] == "<|im_end|>"
            said = " ".join(reply[:-1])
            assert said == answer if answer else caption_is_true(example.scene, said)
            supervised = [*row.trunk.supervised, *branch.supervised]
            assert supervised == [False] * len(prompt) + [True] * len(reply)


def test_words_stand_where_the_picture_will():
    example = EXAMPLES[0]
    row = RowWriter(TOKENIZER, image_tokens=0, captions=1)(example)
    trunk = words(row.trunk.ids)
    assert row.picture is None and trunk[:2] == ["<|im_start|>", "user"] and trunk[-1] == "."
    assert caption_is_true(example.scene, " ".join(trunk[2:-1]))
    assert row.trunk.supervised == (False, False, *[True] * (len(trunk) - 2))


def test_rows_fit_into_the_length_of_every_stage_nearly_always():
    from pixelword.demo.plan import the_plan

    plan = the_plan((".*",), fast=False)
    for lesson, tokens in ((plan.words, 0), (plan.see, 64), (plan.join, 64), (plan.answer, 64)):
        write = RowWriter(TOKENIZER, tokens, lesson.captions, lesson.questions > 0)
        rows = [write(e) for e in islice(examples("train", 1, questions=max(1, lesson.questions)), 200)]
        left_out = total = 0
        for row in rows:
            end = len(row.trunk.ids)
            for branch in row.branches:
                total += 1
                if end + len(branch.ids) > lesson.stage.length:
                    left_out += 1
                else:
                    end += len(branch.ids)
        assert left_out / total < 0.05, lesson.stage.name


def test_rows_by_number_are_the_examples_in_order():
    rows = WorldRows("train", 0, RowWriter(TOKENIZER, 0, captions=1), length=600)
    assert len(rows) == 600
    wanted = list(islice(examples("train", 0), 520))
    for number in (0, 5, 255, 256, 519, 3):
        assert rows.example(number) == wanted[number]
        assert rows[number].trunk.ids == RowWriter(TOKENIZER, 0, captions=1)(wanted[number]).trunk.ids


def test_the_language_model_sees_each_branch_after_the_trunk_alone():
    torch.manual_seed(0)
    model = small_qwen3(TOKENIZER, seed=0).eval()
    row = RowWriter(TOKENIZER, 0, captions=1)(EXAMPLES[1])
    batch = WordCollator(BranchCollator(120, 0), TOKENIZER)([row])
    batch.pop("labels")
    logits = model(**batch, use_cache=False).logits[0]
    at = len(row.trunk.ids)
    with torch.no_grad():
        for branch in row.branches:
            alone = model(torch.tensor([[*row.trunk.ids, *branch.ids]])).logits[0, len(row.trunk.ids) :]
            torch.testing.assert_close(logits[at : at + len(branch.ids)], alone, atol=1e-4, rtol=1e-4)
            at += len(branch.ids)


def test_the_language_model_is_the_same_for_the_same_seed_only():
    first, same, other = (small_qwen3(TOKENIZER, seed).lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize("fast", [False, True])
def test_the_plan_is_three_stages_after_words(fast):
    from pixelword.demo.plan import the_plan

    plan = the_plan(("a", "b"), fast=fast)
    assert plan.see.stage.learns == ("a", "b") and plan.see.questions == 0
    assert plan.join.stage.learns == plan.answer.stage.learns == (".*",)
    assert plan.answer.captions == 0 and plan.answer.stage.schedule == "cosine"
