"""Scenes keep the promises of the world, checked from their numbers and, apart from that, from their pixels."""

import math
from collections import Counter
from itertools import combinations, islice
from random import Random

import numpy as np
import pytest

from pixelword.world import (
    COLORS,
    NEW_PAIRS,
    REGIONS,
    SHAPES,
    SIDE,
    blank_picture,
    draw_picture,
    draw_scene,
    examples,
    look,
    matches,
)

TRAIN = list(islice(examples("train", 7), 2000))
NEW = list(islice(examples("new", 7), 400))


def test_the_world_is_as_wide_as_promised():
    assert len(COLORS) >= 6 and len(SHAPES) >= 4 and len(set(REGIONS)) == 9
    numbers = Counter(len(example.scene.objects) for example in TRAIN)
    assert sorted(numbers) == [1, 2, 3, 4]
    assert all(abs(count / len(TRAIN) - 0.25) < 0.05 for count in numbers.values())
    pairs = Counter(thing.pair for example in TRAIN for thing in example.scene.objects)
    assert set(pairs) == {(color, shape) for color in COLORS for shape in SHAPES} - NEW_PAIRS


def test_places_are_free_and_nothing_touches():
    places = [(thing.x, thing.y) for example in TRAIN for thing in example.scene.objects]
    assert len(set(places)) == len(places)
    for axis in (0, 1):  # every stretch of two pixels is used, apart from those around the lines between regions
        used = np.histogram([place[axis] for place in places], bins=np.arange(10, 54.1, 2))[0]
        starts = np.arange(10, 54, 2)
        assert all(used[[start not in (22, 24, 38, 40) for start in starts]] > 30)
    for example in TRAIN:
        for one, other in combinations(example.scene.objects, 2):
            assert math.dist((one.x, one.y), (other.x, other.y)) > one.radius + other.radius
        for thing in example.scene.objects:
            assert all(7.7 < value < 56.3 for value in (thing.x, thing.y))
            assert all(abs(value - line) >= 1 for value in (thing.x, thing.y) for line in (24, 40))


def test_regions_are_the_ninths_of_the_picture_spelled_out():
    slow = {
        ("top", "left"): "top-left", ("top", "middle"): "top", ("top", "right"): "top-right",
        ("middle", "left"): "left", ("middle", "middle"): "center", ("middle", "right"): "right",
        ("bottom", "left"): "bottom-left", ("bottom", "middle"): "bottom", ("bottom", "right"): "bottom-right",
    }  # fmt: skip
    for example in TRAIN[:300]:
        for thing in example.scene.objects:
            row = "top" if thing.y < 24 else "middle" if thing.y < 40 else "bottom"
            column = "left" if thing.x < 24 else "middle" if thing.x < 40 else "right"
            assert thing.region == slow[row, column]


@pytest.mark.parametrize("drawn", [TRAIN[:300], NEW[:100]], ids=["train", "new"])
def test_the_pixels_alone_tell_every_object(drawn):
    for example in drawn:
        seen = look(example.picture)
        assert len(seen) == len(example.scene.objects)
        for thing in example.scene.objects:
            nearest = min(seen, key=lambda other: math.dist((other.x, other.y), (thing.x, thing.y)))
            assert matches(thing, nearest, tolerance=0.6), (thing, nearest)


def test_edges_are_smooth_and_cover_the_right_area():
    """The light of a lone object, divided by its own colour, is its area in pixels, known from geometry."""
    for seed in range(400):
        scene = draw_scene(Random(seed))
        if len(scene.objects) > 1:
            continue
        (thing,) = scene.objects
        picture = draw_picture(scene).astype(float)
        paint = np.array(thing.rgb, float) - scene.background
        cover = (picture - scene.background) @ paint / (paint @ paint)
        r = thing.radius
        half_base = (0.5 + 0.447 * 0.8) / 0.894
        area = {
            "circle": math.pi * r**2,
            "square": (1.76 * r) ** 2,
            "triangle": half_base * (0.8 + 0.5 / 0.447) * r**2,
            "cross": 2 * (2 * r) * (0.72 * r) - (0.72 * r) ** 2,
        }[thing.shape]
        assert abs(cover.sum() - area) < 0.03 * area + 1.5
        assert ((cover > 0.1) & (cover < 0.9)).any(), "no half-covered pixel: edges are not anti-aliased"


def test_new_pairs_are_in_every_new_scene_and_in_no_other():
    assert not any(thing.pair in NEW_PAIRS for example in TRAIN for thing in example.scene.objects)
    assert all(any(thing.pair in NEW_PAIRS for thing in example.scene.objects) for example in NEW)
    assert Counter(shape for _, shape in NEW_PAIRS) == Counter(SHAPES), "every shape loses one colour"


def test_a_blank_picture_shows_nothing():
    assert blank_picture().shape == (SIDE, SIDE, 3) and blank_picture().dtype == np.uint8
    assert look(blank_picture()) == []
