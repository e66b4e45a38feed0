"""The order of a puzzle: the paper's worked examples, uniform, and the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import islice, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.jigsaw import Key, target_of


@pytest.mark.parametrize(
    ("order", "target"),
    [
        ([3, 0, 7, 1, 8, 2, 5, 4, 6], [2, 4, 6, 1, 8, 7, 9, 3, 5]),
        ([2, 5, 0, 3, 1, 4], [3, 5, 1, 4, 6, 2]),
        ([4, 1, 5, 0, 3, 2], [4, 2, 6, 5, 1, 3]),
    ],
    ids=["image", "video", "depth"],
)
def test_the_worked_examples(order, target):
    assert list(target_of(order)) == target


@given(st.permutations(range(9)))
def test_reading_the_labels_in_the_target_order_rebuilds_the_sample(order):
    shown = [f"element {original}" for original in order]
    assert [shown[label - 1] for label in target_of(order)] == [f"element {place}" for place in range(9)]


def test_permutations_are_uniform_and_the_identity_can_be_left_out():
    keys = [Key(0, 0, f"picture {number}", "2x2") for number in range(4800)]
    counts = Counter(key.permutation(4) for key in keys)
    assert set(counts) == set(permutations(range(4)))
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_square < 49.7, "23 degrees of freedom, p = 0.001"
    others = Counter(key.permutation(4, identity=False) for key in keys)
    assert set(others) == set(permutations(range(4))) - {(0, 1, 2, 3)}


def test_every_part_of_the_key_and_the_purpose_matter():
    key = Key(1, 2, "a", "3x3")
    others = [Key(2, 2, "a", "3x3"), Key(1, 3, "a", "3x3"), Key(1, 2, "b", "3x3"), Key(1, 2, "a", "2x2")]
    streams = [tuple(islice(one.words("order"), 40)) for one in [key, *others]]
    streams.append(tuple(islice(key.words("points"), 40)))
    assert len(set(streams)) == 6
    assert tuple(islice(key.words("order"), 40)) == streams[0]
    # Parts do not run into each other.
    assert next(Key(1, 12, "a", "x").words("")) != next(Key(11, 2, "a", "x").words(""))


@given(st.integers(1, 1000))
def test_a_draw_is_below_its_limit(limit):
    assert all(0 <= value < limit for value in islice(Key(0, 0, "a", "b").below(limit, "c"), 50))


def test_another_process_with_another_hash_seed_draws_the_same():
    code = "from pixelword.jigsaw import Key; print(Key(7, 3, 'dir/bär.jpg', '3x3').permutation(9))"
    outputs = {
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outputs == {str(Key(7, 3, "dir/bär.jpg", "3x3").permutation(9))}
    # Written down, so that no later version draws other puzzles from the same key.
    assert Key(7, 3, "dir/bär.jpg", "3x3").permutation(9) == FROZEN


FROZEN = (1, 3, 6, 5, 4, 2, 8, 7, 0)
