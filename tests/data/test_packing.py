"""Claims of the packer: nothing lost or cut, rows within budget, nobody waits for long, resumes exactly, fills well."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench_packing import BUDGET, LONGEST, lengths
from pixelword.data.packing import Packer, pack
from pixelword.errors import ConfigError, DataError

MIXES = st.lists(st.integers(1, 20), max_size=80)


def rows_of(mix: list[int], look_ahead: int) -> list[list[tuple[int, int]]]:
    """Rows of (number, length) at a budget of 20."""
    return list(pack((((number, length), length) for number, length in enumerate(mix)), 20, look_ahead))


@given(MIXES, st.integers(1, 40))
def test_every_sample_is_in_exactly_one_row_and_no_row_is_over_budget(mix, look_ahead):
    rows = rows_of(mix, look_ahead)
    assert sorted(item for row in rows for item in row) == list(enumerate(mix))
    assert all(0 < sum(length for _, length in row) <= 20 for row in rows)


@given(MIXES, st.integers(1, 40))
def test_a_row_is_the_longest_waiting_sample_and_then_the_longest_that_fits(mix, look_ahead):
    """The rule spelled out slowly, over a plain list."""
    waiting: list[tuple[int, int]] = []
    expected = []

    def row() -> list[tuple[int, int]]:
        taken = [waiting.pop(0)]
        while fitting := [item for item in waiting if item[1] <= 20 - sum(length for _, length in taken)]:
            taken.append(max(fitting, key=lambda item: (item[1], -item[0])))
            waiting.remove(taken[-1])
        return taken

    for item in enumerate(mix):
        waiting.append(item)
        if len(waiting) == look_ahead:
            expected.append(row())
    while waiting:
        expected.append(row())
    assert rows_of(mix, look_ahead) == expected


@given(MIXES, st.integers(1, 40))
def test_a_sample_waits_for_at_most_as_many_rows_as_others_came_before_it(mix, look_ahead):
    packer: Packer[int] = Packer(20, look_ahead)
    limit: dict[int, int] = {}
    emitted = 0
    for number, length in enumerate([*mix, *[20] * look_ahead]):
        limit[number] = emitted + len(packer) + 1
        packer.add(number, length)
        while packer.full:
            emitted += 1
            assert all(emitted <= limit[taken] for taken in packer.row())


@given(MIXES, MIXES, st.integers(1, 40))
def test_a_packer_goes_on_from_its_state_written_as_json(before, after, look_ahead):
    packer: Packer[str] = Packer(20, look_ahead)

    def feed(packer: Packer[str], mix: list[int], name: str) -> list[list[str]]:
        rows = []
        for number, length in enumerate(mix):
            packer.add(f"{name}{number}", length)
            if packer.full:
                rows.append(packer.row())
        return rows

    feed(packer, before, "before")
    resumed: Packer[str] = Packer.from_state(json.loads(json.dumps(packer.state())))
    rows = feed(packer, after, "after") + [packer.row() for _ in range(3)]
    assert feed(resumed, after, "after") + [resumed.row() for _ in range(3)] == rows


@pytest.mark.parametrize("look_ahead", [256, 4096])
def test_the_mix_of_the_benchmark_fills_more_than_97_percent(look_ahead):
    mix = lengths(20_000)
    assert max(mix) == LONGEST
    assert min(mix) >= 1
    rows = list(pack(((length, length) for length in mix), BUDGET, look_ahead))
    assert Counter(length for row in rows for length in row) == Counter(mix)
    assert sum(mix) / (BUDGET * len(rows)) >= 0.97


def test_the_last_row_of_an_empty_packer_is_empty():
    assert Packer(8).row() == []
    assert list(pack([], 8)) == []


@pytest.mark.parametrize("length", [-1, 0, 9])
def test_a_sample_that_fits_no_row_is_refused_and_nothing_changes(length):
    packer: Packer[str] = Packer(8)
    with pytest.raises(DataError, match="between 1 and 8 tokens"):
        packer.add("x", length)
    assert len(packer) == 0


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, -1)])
def test_a_packer_without_room_is_refused(sizes):
    with pytest.raises(ConfigError, match="positive budget"):
        Packer(*sizes)
