"""RealUnify-mini in the demo: every request can be written in its words and fits its rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pixelword.demo.mini import PROTOCOLS, MiniRows, judged, shown
from pixelword.demo.plan import the_plan
from pixelword.demo.rows import RowWriter, WorldRows
from pixelword.demo.vocabulary import UNKNOWN, word_tokenizer
from pixelword.realunify import Protocol, Track
from pixelword.realunify.mini import mini_choice
from pixelword.realunify.taxonomy import categories_of
from pixelword.train import EVERYTHING, BranchCollator

CATEGORIES = categories_of(Track.GEU)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_request_is_written_in_known_words_and_fits_a_row(category):
    tokenizer = word_tokenizer()
    length = the_plan(EVERYTHING, fast=True).mini.stage.length
    for number in range(60):
        item = mini_choice(category, number, seed=number, side=64)
        words = tokenizer.tokenize(item.evaluation_prompt)
        assert UNKNOWN not in words
        assert "".join(words) == "".join(item.evaluation_prompt.split())
        assert len(words) + 64 + 9 <= length  # picture, template, letter


def test_rows_are_choices_of_every_kind_with_both_pictures_and_every_fourth_is_the_world_s():
    tokenizer = word_tokenizer()
    world = WorldRows("train", 3, RowWriter(tokenizer, 64, captions=0), 64)
    rows = MiniRows(world, tokenizer, 64, seed=0, length=192)
    collate = BranchCollator(168, tokenizer.pad_token_id)
    letters: Counter[str] = Counter()
    own: Counter[bool] = Counter()
    for number in range(len(rows)):
        row = rows[number]
        if number % 4 == 3:
            assert len(row.branches) > 1
            continue
        (answer,) = row.branches
        letters[
            tokenizer.decode([i for i, learned in zip(answer.ids, answer.supervised, strict=True) if learned][:1])
        ] += 1
        turn, which = divmod(3 * (number // 4) + number % 4, 4)
        item = mini_choice(CATEGORIES[which], turn, seed=1000, side=64)
        own[np.array_equal(row.picture, shown(item, Protocol.DIRECT))] += 1
        assert collate([row])["input_ids"].shape == (1, 168)
    assert set(letters) == set("ABCD") and len(set(letters.values())) == 1
    assert own[True] == own[False] == 72


def test_a_reply_without_a_letter_is_never_right():
    item = mini_choice(CATEGORIES[0], 0, seed=0, side=64)
    assert judged(item, 0, PROTOCOLS[0], item.answer).right
    silent = judged(item, 0, PROTOCOLS[0], "")
    assert not silent.right and silent.status == "answer_unparsed"
