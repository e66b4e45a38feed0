"""Elements that look the same: each may stand for another, in the reward, in scores, and in every export."""

from __future__ import annotations

import json
from itertools import permutations

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import InputError
from pixelword.jigsaw import (
    Asked,
    ImageJigsaw,
    ImageSample,
    Puzzle,
    Refusal,
    compute_score,
    jigsaw_reward,
    read_puzzles,
    score,
    trl_reward,
    trl_row,
    verl_cut_row,
    write_puzzles,
)
from tests.jigsaw.pictures import busy


def twins(seed: int = 0) -> PIL.Image.Image:
    """2x2: the upper two tiles are the same, the lower two are not."""
    whole, tile = busy(seed, 120, 120), busy(seed + 1, 60, 60)
    whole.paste(tile, (0, 0))
    whole.paste(tile, (60, 0))
    return whole


@given(
    st.permutations(range(1, 6)),
    st.permutations(range(1, 6)),
    st.sampled_from([((1, 3),), ((2, 5, 4),), ((1, 2), (3, 5))]),
)
def test_places_are_the_best_over_all_exchanges_within_groups(answer, target, alike):
    best = 0
    for chosen in permutations(range(1, 6)):
        within = all(
            (chosen[label - 1] == label) or any({label, chosen[label - 1]} <= set(group) for group in alike)
            for label in target
        )
        if within:
            exchanged = [chosen[label - 1] for label in target]
            best = max(best, sum(a == b for a, b in zip(answer, exchanged, strict=True)))
    got = jigsaw_reward(", ".join(map(str, answer)), target, think=False, alike=alike)
    assert got.places == best
    assert got.exact == (best == 5)
    assert got.accuracy == pytest.approx(1.0 if best == 5 else best / 5 * 0.2)


def test_groups_change_nothing_without_members_and_are_checked():
    assert jigsaw_reward("2, 1", [1, 2], think=False).reason == "ok"
    assert jigsaw_reward("2, 1", [1, 2], think=False, alike=[[1, 2]]).reason == "exact"
    assert jigsaw_reward("2, 2", [1, 2], think=False, alike=[[1, 2]]).reason == "duplicate"
    for bad in ([[1, 2], [2]], [[0, 1]], [[1, 3]]):
        with pytest.raises(InputError, match="one group"):
            jigsaw_reward("1, 2", [1, 2], alike=bad)
    with pytest.raises(InputError, match="released function"):
        jigsaw_reward("1, 2", [1, 2], alike=[[1, 2]], reference_compat=True)


def test_a_puzzle_with_twins_is_refused_or_takes_either(tmp_path):
    plain = ImageJigsaw(rows=2, columns=2)
    refused = plain.puzzle(ImageSample("t", twins()), seed=0)
    assert isinstance(refused, Refusal)
    assert refused.reason == "identical_tiles"
    puzzle = plain.model_copy(update={"interchange": True}).puzzle(ImageSample("t", twins()), seed=0)
    assert isinstance(puzzle, Puzzle)
    first, second, third, fourth = puzzle.target
    assert [sorted(group) for group in puzzle.alike] == [sorted((first, second))]
    swapped = (second, first, third, fourth)
    said = puzzle.rule.write(swapped)
    assert puzzle.reward(said).exact
    assert not puzzle.reward(puzzle.rule.write((third, second, first, fourth))).exact
    judged = score(Asked.of(puzzle), said)
    assert judged.exact
    assert judged.answer == puzzle.target
    write_puzzles([puzzle], tmp_path / "p")
    assert next(iter(read_puzzles(tmp_path / "p"))).reward(said).exact
    row = trl_row(puzzle)
    assert trl_reward()(completions=[said], ground_truth=[row["ground_truth"]], alike=[row["alike"]]) == [1.2]
    cut = verl_cut_row(puzzle, 0)
    info = json.loads(json.dumps(cut["extra_info"]))
    assert compute_score(cut["data_source"], said, cut["reward_model"]["ground_truth"], info)["acc"] == 1.0
    assert compute_score(cut["data_source"], said, cut["reward_model"]["ground_truth"])["acc"] == 0.0


def test_pictures_without_twins_have_no_groups():
    puzzle = ImageJigsaw(rows=2, columns=2, interchange=True).puzzle(ImageSample("t", busy(3)), seed=0)
    assert isinstance(puzzle, Puzzle)
    assert puzzle.alike == ()
