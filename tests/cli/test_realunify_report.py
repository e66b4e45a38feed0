"""`pixelword realunify report`, `check` and `calibrate` from the command line."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from pixelword.cli import main
from pixelword.realunify.judge import read_stage_one, read_trials
from pixelword.realunify.mini import Skills
from tests.realunify.simulated_run import SimulatedRun


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        main.run(["realunify", *map(str, words)])
    return int(leaving.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("cli") / "run"
    return SimulatedRun(place, Skills(0.8, 0.6, 0.7), per_category=1, side=64).write()


def test_a_report_with_its_numbers_and_without_blocked_items(folder, tmp_path, capsys):
    blocked = tmp_path / "blocked.yaml"
    blocked.write_text("items:\n  - item: UEG_0_world_knowledge\n    reason: it is the first\n")
    words = ["--out", tmp_path / "page.html", "--export", tmp_path / "numbers", "--block-list", blocked]
    assert run("report", folder, *words) == 0
    html = (tmp_path / "page.html").read_text()
    assert "it is the first" in html
    items = json.loads((tmp_path / "numbers" / "report.json").read_text())["items"]
    assert len(items) == 27
    assert "UEG_0_world_knowledge" not in {item["item"] for item in items}
    assert "numbers:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["{empty}"],
        ["{run}", "--scoring", "other"],
        ["{run}", "--calibration", "{empty}"],
        ["{run}", "--block-list", "{empty}"],
        ["{run}"] * 7,
    ],
    ids=["no run", "no such scoring", "no trials", "no block list", "too many"],
)
def test_a_mistake_is_told_in_a_sentence(folder, tmp_path, capsys, words):
    named = [word.format(run=folder, empty=tmp_path / "nothing") for word in words]
    assert run("report", *named, "--out", tmp_path / "page.html") == main.USER_ERROR
    assert "fix:" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


# Both come from Inspect: a deprecated argument, and streams that it leaves to the collector.
@pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
def test_a_judge_is_calibrated_and_texts_are_checked(folder, tmp_path, capsys):
    pytest.importorskip("inspect_ai")
    out = tmp_path / "calibration"
    words = ["--judge", "pixelword-exact/mini", "--number", 1, "--side", 64]
    assert run("calibrate", out, *words, "--plan") == 0
    assert not out.exists(), "a plan asks nobody and writes nothing"
    assert run("calibrate", out, *words) == 0
    trials = read_trials(out / "trials.jsonl")
    plain = [each for each in trials if each.kind not in {"blank", "swapped", "negated"}]
    assert {each.verdict == each.truth for each in plain} == {True}
    assert {each.judge for each in trials} == {"pixelword-exact/mini"}
    # The exact judge reads pictures and no texts: everything stays undecided, and nothing becomes a no.
    assert run("check", folder, "--judge", "pixelword-exact/mini") == 0
    assert {each.right for each in read_stage_one(folder).values()} == {None}
    assert "0 wrong" in capsys.readouterr().out
    gc.collect()  # here, where the marks above hold
