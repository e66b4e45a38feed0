"""Finished files in the released layout become a run: every row ends as the file says, and a page shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pixelword.cli.main import COMMANDS, build
from pixelword.errors import DataError
from pixelword.realunify.dataset import read_benchmark
from pixelword.realunify.imported_run import FinishedFile, import_run
from pixelword.realunify.page import build_page, read_run
from pixelword.realunify.store import Store
from pixelword.realunify.taxonomy import CATEGORIES, Protocol, Status, Track
from tests.realunify.made_up import read, write, write_folder
from tests.report.reading import read as read_html


@pytest.fixture
def finished(tmp_path) -> Path:
    """Finished files of both tracks and protocols beside the data; the last pictures are not judged or not there."""
    data, place = write_folder(tmp_path / "data"), tmp_path / "finished"
    (place / "drawn").mkdir(parents=True)
    Image.new("RGB", (8, 8), "blue").save(place / "drawn" / "one.png")
    Image.new("RGB", (8, 8), "green").save(place / "drawn" / "edited.png")
    (place / "drawn" / "broken.png").write_bytes(b"no picture")
    for name in ("UEG_direct", "UEG_step"):
        rows = [
            row | {"generated_image": "drawn/one.png", "score": place_ % 2, "response": f"Draw {place_} things."}
            for place_, row in enumerate(read(data, f"{name}.json"))
        ]
        rows[6] |= {"score": None}
        rows[7] |= {"score": None, "generated_image": "drawn/broken.png"}
        rows[8] |= {"score": None, "generated_image": "drawn/gone.png"}
        rows[9] |= {"score": 1, "generated_image": "../data/image/outside.png"}
        write(place, f"{name}.json", rows)
    for name in ("GEU_direct", "GEU_step"):
        rows = [
            row | {"response": "The answer is B", "edit_image": "drawn/edited.png"}
            for row in read(data, f"{name}.json")
        ]
        rows[2] |= {"response": ["C"]}
        rows[3] |= {"response": None}
        rows[4] |= {"response": "Nobody knows."}
        write(place, f"{name}.json", rows)
    return place


FILES = [
    FinishedFile(Path(f"{track}_{name}.json"), protocol)
    for track in Track
    for name, protocol in (("direct", Protocol.DIRECT), ("step", Protocol.STEPWISE))
]


def imported(finished: Path, folder: Path) -> list[str]:
    files = [FinishedFile(finished / file.path, file.protocol) for file in FILES]
    return import_run(folder, files, finished.parent / "data", "bagel")


def test_every_row_ends_as_the_file_says(finished, tmp_path):
    assert imported(finished, tmp_path / "run") == []
    run = read_run(tmp_path / "run")
    expected = read_benchmark(tmp_path / "data").expected
    for protocol in (Protocol.DIRECT, Protocol.STEPWISE):
        arm = run.arms[protocol]
        assert arm.expected == expected
        assert set(arm.records) == expected
        by_track = {
            track: {item.index: record for item, record in arm.records.items() if item.track == track}
            for track in Track
        }
        drawn, chosen = by_track[Track.UEG], by_track[Track.GEU]
        assert [drawn[n].right for n in range(6)] == [False, True] * 3
        assert [drawn[n].status for n in (6, 7, 8, 9)] == [
            Status.JUDGE_FAILED, Status.IMAGE_UNREADABLE, Status.IMAGE_MISSING, Status.OK,
        ]  # fmt: skip
        assert [each.question for each in drawn[6].polled] == ["Are there 6 jars?", "A cup?"]
        assert drawn[9].picture is None, "a path that leads out of the folder is not followed"
        assert drawn[0].rewritten == ("Draw 0 things." if protocol == Protocol.STEPWISE else None)
        assert [chosen[n].right for n in (0, 1, 2)] == [False, True, True]
        assert [chosen[n].status for n in (3, 4)] == [Status.STAGE2_FAILED, Status.ANSWER_UNPARSED]
        assert [chosen[n].read for n in (0, 2, 4)] == ["B", "C", None]
        assert (chosen[0].intermediate is not None) == (protocol == Protocol.STEPWISE)
        assert run.path(chosen[0].source).is_relative_to(tmp_path / "data"), "pictures of the data are not copied"
    assert run.models == {"model": "bagel"}


def test_a_page_shows_it_and_a_second_import_is_refused(finished, tmp_path):
    imported(finished, tmp_path / "run")
    page = read_html(build_page([read_run(tmp_path / "run")], show_items=True).page.html())
    assert len(page.all("article", class_="card")) == 2 * len(CATEGORIES)
    assert "wait for the judge" in page.text
    assert page.all("img")
    with pytest.raises(DataError, match="holds a run already"):
        imported(finished, tmp_path / "run")
    assert len(Store(tmp_path / "run").items()) == 2 * 2 * len(CATEGORIES)


def test_one_command_puts_finished_files_on_a_page(finished, tmp_path):
    call = ["realunify", "report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html"), "--model", "bagel"]
    given = ["--direct", str(finished / "GEU_direct.json"), "--stepwise", str(finished / "GEU_step.json")]
    run = CliRunner()
    done = run.invoke(build(COMMANDS), [*call, *given, "--data", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    assert "Drawing and seeing" in (tmp_path / "page.html").read_text()
    again = run.invoke(build(COMMANDS), call[:5])
    assert again.exit_code == 0, "afterwards it is a run like any other"
    alone = run.invoke(build(COMMANDS), [*call[:5], *given])
    assert alone.exit_code != 0
    assert "benchmark's files" in str(alone.exception) + alone.output


def test_scores_that_are_none_are_found_out(finished, tmp_path):
    rows = json.loads((finished / "UEG_direct.json").read_text())
    rows[0]["score"] = "right"
    write(finished, "UEG_direct.json", [*rows, None])
    found = imported(finished, tmp_path / "run")
    assert [line.split(" (")[0] for line in found] == [
        "UEG_direct.json: a score other than 0 and 1",
        "UEG_direct.json: row that is no item of the data set",
    ]
    first = next(record for record in read_run(tmp_path / "run").records if record.item.startswith("UEG_0_"))
    assert first.status == Status.JUDGE_FAILED
