"""Claims of the published data: cell by cell the recorded tables, and every average and total follows from cells."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from pixelword.realunify.published import published
from pixelword.realunify.rounding import printed
from pixelword.realunify.taxonomy import CATEGORIES, Track, categories_of

RECORD = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "realunify" / "published_results.json").read_text(encoding="utf-8")
)
ROWS = published().rows


def test_the_rows_are_the_recorded_ones():
    recorded = [
        (row["table"], row["model"], row["protocol"].replace("_stepwise", ""), row["track"], row["categories"])
        for row in RECORD["results"]
    ]
    assert [(row.table, row.model, row.protocol, row.track, row.cells) for row in ROWS] == recorded
    assert [float(row.average) for row in ROWS] == [row["avg_printed"] for row in RECORD["results"]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}-{row.protocol}-{row.track}")
def test_every_average_follows_from_its_cells(row):
    assert list(row.cells) == [CATEGORIES[name].short for name in categories_of(row.track)]
    assert printed(row.exact_average) == row.average
    assert (row.judge is None) == (row.track == Track.GEU)


def test_every_total_follows_from_the_cells_and_none_is_missing():
    for total in published().totals:
        assert printed(published().total(total.model, total.protocol)) == total.total
    assert len(published().totals) == len(RECORD["totals"]) == 20
    recorded = [(row["model"], row["protocol"], row["total_printed"]) for row in RECORD["totals"]]
    assert [(row.model, row.protocol, float(row.total)) for row in published().totals] == recorded
    unified = {(row.model, row.protocol) for row in ROWS if row.kind.endswith("unified")}
    assert {pair for pair in unified if published().total(*pair) is not None} == {
        (total.model, total.protocol) for total in published().totals
    }


def test_half_to_even_would_miss_cells():
    assert sum(f"{float(row.exact_average):.1f}" != row.average for row in ROWS if row.table == "Table 2") >= 5


def test_a_total_is_not_the_mean_of_the_tracks():
    bagel = [published().row("BAGEL", "direct", track).exact_average for track in Track]
    assert printed(sum(bagel, Fraction()) / 2) == "36.0"
    assert printed(published().total("BAGEL", "direct")) == "35.3"


def test_the_judges_of_table_4_agree_with_table_2_where_both_print():
    judges = published().judges
    assert len(judges) == len(RECORD["judge_comparison"]["rows"]) == 12
    for ours, recorded in zip(judges, RECORD["judge_comparison"]["rows"], strict=True):
        assert (float(ours.direct), ours.model) == (recorded["direct"], recorded["model"])
        assert recorded["stepwise"] == (None if ours.stepwise is None else float(ours.stepwise))
        if ours.judge == "Gemini 2.5 Pro":
            assert published().row(ours.model, "direct", Track.UEG).average == ours.direct
            step = published().row(ours.model, "stepwise", Track.UEG)
            assert (step and step.average) == ours.stepwise


def test_what_was_not_run_has_no_row():
    assert published().row("Nano Banana", "stepwise", Track.UEG) is None
    assert published().row("Janus-Pro", "stepwise", Track.GEU) is None
    assert published().total("Janus-Pro", "stepwise") is None
