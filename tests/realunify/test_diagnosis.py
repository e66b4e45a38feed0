"""Claims of the diagnosis: the table of the five boxes, derived numbers by hand, failures in none of them."""

from __future__ import annotations

import pytest

from pixelword.realunify.diagnosis import Box, box, derive, sort_into_boxes, synergy_index, unification_premium
from pixelword.realunify.taxonomy import ItemId, Protocol, Track
from tests.realunify.made_up import results

STEP = Protocol.STEPWISE


@pytest.mark.parametrize(
    ("direct", "stepwise", "stage", "ueg", "geu"),
    [
        (1, 1, None, Box.SOLVED, Box.SOLVED),
        (0, 1, False, Box.INTEGRATION, Box.INTEGRATION),
        (1, 0, True, Box.HARM, Box.HARM),
        (0, 0, False, Box.UNDERSTANDING, Box.GENERATION),
        (0, 0, True, Box.GENERATION, Box.UNDERSTANDING),
        (0, 0, None, Box.UNDECIDED, Box.UNDECIDED),
    ],
)
def test_the_boxes(direct, stepwise, stage, ueg, geu):
    assert box(Track.UEG, direct, stepwise, stage) == ueg
    assert box(Track.GEU, direct, stepwise, stage) == geu


def test_every_answered_item_is_in_one_box_and_every_other_is_named():
    direct = results("code_to_image", "1100f0")
    stepwise = results("code_to_image", "1010 1j".replace(" ", ""), STEP)
    found = sort_into_boxes(direct, stepwise, {ItemId("code_to_image", 3): True})
    assert [kind.value for kind in found.items.values()] == [
        "solved", "decomposition harm", "integration failure", "generation bottleneck",
    ]  # fmt: skip
    assert [item.index for item in found.left_out] == [4, 5]
    assert sum(found.counts().values()) == 4
    assert found.counts("world_knowledge") == dict.fromkeys(Box, 0)


def test_derived_numbers_by_hand():
    direct, stepwise = results("mental_tracking", "1100f"), results("mental_tracking", "10101", STEP)
    pair, oracle = results("mental_tracking", "11111"), results("mental_tracking", "11110")
    found = derive(Track.GEU, direct, stepwise, pair, oracle)
    assert (found.items, found.stepwise_gain, found.recoverable, found.lost) == (4, 0, 0.25, 0.25)
    assert (found.agreement, found.phi, found.union_ceiling) == (0.5, 0, 0.75)
    assert found.realised_share == pytest.approx(2 / 3)
    assert (found.pair_headroom, found.own_stage_headroom) == (0.25, 0.5)
    assert found.recovered_of_recoverable == 0.5
    ueg = derive(Track.UEG, results("code_to_image", "10"), results("code_to_image", "11"))
    assert ueg.realised_share == 0.5
    assert synergy_index(ueg, found) == 0.5
    assert synergy_index(ueg, ueg) is None
    assert unification_premium(0.4, {"a": 0.3, "b": 0.5}) == pytest.approx(-0.1)


def test_chance_is_taken_out_of_the_gain_of_geu_only():
    direct, stepwise = "1000", "1111"
    geu = derive(Track.GEU, results("mental_tracking", direct), results("mental_tracking", stepwise))
    ueg = derive(Track.UEG, results("code_to_image", direct), results("code_to_image", stepwise))
    assert (ueg.chance_corrected_gain, geu.chance_corrected_gain) == (0.75, 1.0)


def test_nothing_answered_gives_nothing():
    found = derive(Track.UEG, results("code_to_image", "f"), results("code_to_image", "f"))
    assert (found.items, found.stepwise_gain, found.phi, found.realised_share) == (0, None, None, None)
