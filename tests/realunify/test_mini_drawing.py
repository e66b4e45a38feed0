"""Claims of the mini's drawing half: right pictures pass, single faults do not, and riddles have one solution.

A sample runs here; benchmarks/realunify_mini_checkers.py runs over as many seeds as wanted.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import ConfigError, InputError
from pixelword.realunify.mini import Target, Thing, check, exact_verdict, faults_of, mini_drawing, see
from pixelword.realunify.mini.arithmetic import SUMS
from pixelword.realunify.mini.drawing import draw, lay_out
from pixelword.realunify.mini.faults import FAULTS
from pixelword.realunify.mini.items import RIDDLES
from pixelword.realunify.mini.logic import CLUES
from pixelword.realunify.mini.polling import holds
from pixelword.realunify.mini.programs import TEMPLATES as PROGRAM_TEMPLATES
from pixelword.realunify.mini.programs import program
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES

CATEGORIES = sorted(RIDDLES)
SAMPLE = 25


@pytest.mark.parametrize("category", CATEGORIES)
def test_right_pictures_pass_and_single_faults_do_not(category):
    for number in range(SAMPLE):
        item = mini_drawing(category, number, seed=number)
        found = item.check(item.picture(64, number))
        assert found.right, (item, found)
        for fault in faults_of(item.target):
            assert not item.check(item.faulty_picture(fault, 64, number)).right, (item, fault)


@pytest.mark.parametrize("side", [64, 100, 256, 512])
def test_every_size_is_read(side):
    for number, category in enumerate(CATEGORIES):
        item = mini_drawing(category, number)
        assert item.check(item.picture(side)).right
        assert not item.check(item.faulty_picture("recoloured", side)).right


@given(st.integers(0, 10**9), st.integers(1, 12))
def test_what_is_seen_is_what_was_placed(seed, number):
    random = Random(seed)
    things = tuple(Thing(random.choice(list(COLORS)), random.choice(SHAPES)) for _ in range(number))
    layout = lay_out(Target(things), random)
    seen = sorted((each.thing, each.x, each.y) for each in see(draw(layout, 64)))
    placed = sorted((each.thing, each.x, each.y) for each in layout.placed)
    assert [each[0] for each in seen] == [each[0] for each in placed]
    middles = [min(abs(s[1] - p[1]) + abs(s[2] - p[2]) for p in placed if p[0] == s[0]) for s in seen]
    assert max(middles) < 1.5 / 64


def test_pictures_of_nothing_and_of_noise_are_wrong():
    target = Target((Thing("red", "circle"),))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for picture in (
        Image.new("RGB", (64, 64), "white"),
        Image.new("RGB", (64, 64), "red"),
        Image.new("L", (64, 64)),
        Image.new("RGBA", (1, 1)),
        Image.fromarray(noise),
    ):
        assert not check(picture, target).right


def test_shapes_that_are_none_of_the_four_are_no_right_answer():
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste(COLORS["red"], (5, 25, 60, 35))
    assert see(picture)[0].thing == Thing("red", "other")
    assert check(picture, Target((Thing("red", "square"),))).wrong


def test_the_background_may_have_any_plain_colour():
    item = mini_drawing("mathematical_reasoning", 3)
    pixels = np.asarray(item.picture(128)).copy()
    pixels[(pixels == 255).all(axis=2)] = (225, 235, 240)
    assert item.check(Image.fromarray(pixels)).right


def test_faults_are_named_and_applied_where_they_are_faults():
    assert {fault for c in CATEGORIES for n in range(40) for fault in faults_of(mini_drawing(c, n).target)} == set(
        FAULTS
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_questions_say_all_that_the_target_says(category):
    for number in range(10):
        item = mini_drawing(category, number)
        pictures = [item.picture(64), *(item.faulty_picture(fault, 64) for fault in faults_of(item.target))]
        for picture in pictures:
            passed = all(holds(see(picture), asked.question) == (asked.answer == "yes") for asked in item.questions)
            assert passed == item.check(picture).right, item


def test_the_exact_judge_answers_by_the_picture_and_knows_no_other_wording():
    item = mini_drawing("mathematical_reasoning", 1)
    asked = item.questions[0]
    assert exact_verdict(item.picture(64), asked.question) == "yes"
    assert exact_verdict(item.faulty_picture("missing", 64), asked.question) == "no"
    with pytest.raises(InputError, match="wording"):
        exact_verdict(item.picture(64), "Is it nice?")


@pytest.mark.parametrize("category", CATEGORIES)
def test_at_least_twenty_templates_all_used(category):
    templates = RIDDLES[category].TEMPLATES
    assert len(set(templates)) == len(templates) >= 20
    assert {mini_drawing(category, number).template for number in range(len(templates))} == set(range(len(templates)))


@pytest.mark.parametrize(("text", "number", "rule"), CLUES, ids=[text[:40] for text, _, _ in CLUES])
def test_clues_leave_one_order(text, number, rule):
    orders = itertools.permutations(range(1, number + 1))
    assert [order for order in orders if rule(dict(enumerate(order, start=1)))] == [tuple(range(1, number + 1))]


@pytest.mark.parametrize("template", PROGRAM_TEMPLATES, ids=range(len(PROGRAM_TEMPLATES)))
def test_programs_print_what_was_worked_out(template):
    for seed in range(20):
        source, (number, color, shape) = program(template, Random(seed))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(source, {})
        assert printed.getvalue().split() == [str(number), color, shape]
        assert 1 <= number <= 10


def test_sums_by_hand():
    values = {text: value(6, 3, 2) for text, value in SUMS}
    assert (
        sum(values.values())
        == 18 + 9 + 3 + 2 + 16 + 7 + 12 + 3 + 15 - 3 + 0.5 + 9 + 3 + 11 / 3 + 6 + 4 + 3 + 6 + 3 + 16 + 3 + 2 + 5 + 9
    )


def test_an_item_is_the_same_every_time_and_its_wording_is_clean():
    assert mini_drawing("logical_reasoning", 7, seed=3) == mini_drawing("logical_reasoning", 7, seed=3)
    assert mini_drawing("logical_reasoning", 7, seed=3) != mini_drawing("logical_reasoning", 7, seed=4)
    for category in CATEGORIES:
        for number in range(60):
            item = mini_drawing(category, number)
            texts = [item.prompt, item.gold_prompt, *(asked.question for asked in item.questions)]
            assert not any(
                "a orange" in text or "{" in text.replace("{'", "").replace("{3", "")
                for text in texts
                if category != "code_to_image"
            )
            assert item.prompt in item.new_prompt


@pytest.mark.parametrize("side", [0, 63, 66, 516])
def test_other_sizes_are_refused(side):
    with pytest.raises(ConfigError, match="multiple of 4"):
        mini_drawing("logical_reasoning", 1).picture(side)
