"""The page of a run: what it says is what the run's files say, hostile text stays text, and it leaves nothing open."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import DataError, InputError
from pixelword.realunify.diagnosis import Box
from pixelword.realunify.judge import StageOne, calibration_block, mini_trials, run_trials, write_stage_one
from pixelword.realunify.judge.settings import JudgeSettings
from pixelword.realunify.mini import Skills, simulate
from pixelword.realunify.page import (
    EvaluatedRun,
    build_page,
    export,
    half_lines,
    looks,
    read_run,
    read_runs,
    thumbnails,
    with_incomplete,
)
from pixelword.realunify.page.build import shareable
from pixelword.realunify.page.exports import harmless
from pixelword.realunify.page.numbers import average, change
from pixelword.realunify.page.thumbnails import COMPARED, FOLDER, Wanted
from pixelword.realunify.page.verdict import difference_of, verdict
from pixelword.realunify.records import ItemRecord, write_line
from pixelword.realunify.store import DataRecord, RunRecord, Store
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Status, Track, categories_of
from pixelword.report import Paragraph
from pixelword.report.words import plain
from tests.realunify.simulated_judge import SimulatedJudge
from tests.realunify.simulated_run import HOSTILE, PROTOCOLS, SimulatedRun
from tests.report.reading import Element, read

PER_CATEGORY = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Two finished runs of other skills; one item in five of the first fails."""
    place = tmp_path_factory.mktemp("runs")
    many = {"per_category": PER_CATEGORY, "side": 64}
    return (
        SimulatedRun(place / "one", Skills(0.8, 0.5, 0.7), failing=0.2, judges=2, **many).write(),
        SimulatedRun(place / "two", Skills(0.6, 0.9, 0.8), name="other", seed=1, **many).write(),
    )


@pytest.fixture(scope="module")
def page(folders) -> Element:
    return read(build_page([read_run(folders[0])]).page.html())


@pytest.fixture(scope="module")
def comparison(folders) -> Element:
    return read(build_page(read_runs(folders)).page.html())


def section(root: Element, anchor: str) -> Element:
    return root.one("section", id=anchor)


def raw(folder: Path) -> list[dict]:
    """The items as they lie in the file."""
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def bare_run(
    folder: Path, skills: Skills, number: int = 100, source: str = "mini", change=lambda record: record
) -> Path:
    """A run of a simulated model without pictures: every item under the three protocols."""
    random = np.random.default_rng(3)
    with Store(folder) as store:
        for track in Track:
            items = [ItemId(name, n) for name in categories_of(track) for n in range(number)]
            found = simulate(track, skills, len(items), random).results(items)
            for protocol in PROTOCOLS:
                start = {"started": "now", "track": track, "protocol": protocol, "models": {"generator": "bare"}}
                data = DataRecord(source=source, folder="")
                store.keep_run(RunRecord(**start, data=data, expected=tuple(map(str, items))))
                for result in found[protocol]:
                    record = ItemRecord(
                        item=str(result.item),
                        category=result.item.category,
                        track=track.value,
                        protocol=protocol,
                        status=result.status,
                        right=result.right,
                        stage_one_right=result.stage_one_right,
                        prompt="a secret prompt",
                    )
                    store.keep_item(change(record))
    return folder


def words_of(run: EvaluatedRun) -> str:
    """The verdict alone, as text."""
    pieces = verdict([run])
    return " ".join(plain(piece.parts if isinstance(piece, Paragraph) else piece.words) for piece in pieces)


# Numbers


def test_every_score_is_a_count_of_the_file(folders, page):
    lines = raw(folders[0])
    cells = Counter((line["category"], line["protocol"]) for line in lines if line.get("right"))
    tables = [table for table in section(page, "scores").all("table") if "category" in table.text]
    rows = [row for table in tables for row in table.one("tbody").all("tr")]
    for name, category in CATEGORIES.items():
        (row,) = [row for row in rows if row.all("th")[0].text == category.short]
        shown = [cell.text.split(" %")[0] for cell in row.all("td")[:3]]
        assert shown == [f"{100 * cells[name, str(protocol)] / PER_CATEGORY:.1f}" for protocol in PROTOCOLS]


def test_every_item_ends_once(folders, page):
    rows = section(page, "how-items-ended").one("tbody").all("tr")
    lines = raw(folders[0])
    for row in rows:
        track, protocol = row.all("th")[0].text.split(" ", 1)
        cells = [int(cell.text) for cell in row.all("td")]
        assert cells[-1] == sum(cells[:-1]) == PER_CATEGORY * (6 if track == "UEG" else 4)
        mine = [each for each in lines if each["protocol"].replace("_", " ") == protocol and each["track"] == track]
        assert cells[0] == sum(bool(each.get("right")) for each in mine)
    assert len(rows) == 6


def test_boxes_are_those_of_the_two_results(folders, page):
    right = {(each["item"], each["protocol"]): each for each in raw(folders[0])}
    expected: Counter[str] = Counter()
    for item in {item for item, _ in right}:
        direct, stepwise = right[item, "direct"], right[item, "stepwise"]
        both = (direct, stepwise)
        if all(each["status"] in {"ok", "answer_unparsed"} for each in both):
            d, s = (bool(each.get("right")) for each in both)
            first = stepwise["stage_one_right"]
            wrong = Box.GENERATION if (item[:3] == "UEG") == first else Box.UNDERSTANDING
            expected[Box.SOLVED if d and s else Box.INTEGRATION if s else Box.HARM if d else wrong] += 1
    labels = [label.text for label in section(page, "items").all("label")]
    for box, count in expected.items():
        assert f"{box} {count}" in labels


@pytest.mark.parametrize(
    ("skills", "ueg", "geu"),
    [
        (Skills(0.9, 0.6, 0.9), "generation", "generation"),
        (Skills(0.6, 0.9, 0.9), "understanding", "understanding"),
        (Skills(0.9, 0.9, 0.6), "joining", "joining"),
    ],
)
def test_the_words_name_the_skill_that_was_set_low(tmp_path, skills, ueg, geu):
    told = words_of(read_run(bare_run(tmp_path / "run", skills)))
    assert f"UEG. The bottleneck is {ueg}" in told
    assert f"GEU. The bottleneck is {geu}" in told
    assert "UEG. Knowing and drawing: step by step is better" in told
    assert "cannot be told from guessing" not in told


def test_equal_skills_are_not_decided_and_guessing_is_called_guessing(tmp_path):
    told = words_of(read_run(bare_run(tmp_path / "run", Skills(0.1, 0.1, 0.1))))
    assert "The bottleneck is" not in told
    assert told.count("is not decided") == 2
    assert "MR-II, MT, AF and CN cannot be told from guessing" in told


def test_what_waits_for_the_judge_has_no_average(tmp_path):
    def waiting(record: ItemRecord) -> ItemRecord:
        if record.item == "UEG_0_world_knowledge":
            return record.model_copy(update={"status": Status.JUDGE_FAILED, "right": None})
        return record

    folder = bare_run(tmp_path / "run", Skills(0.8, 0.8, 0.8), 4, change=waiting)
    root = read(build_page([read_run(folder)]).page.html())
    assert "The run is incomplete. 3 items wait for the judge" in section(root, "verdict").text
    (row,) = [r for r in section(root, "scores").all("tr") if r.text.startswith("UEG, mean")]
    assert [cell.text for cell in row.all("td")] == ["incomplete"] * 3
    assert not [tile for tile in root.one("dl", class_="tiles").all("dt") if "UEG" in tile.text]
    asked_for = with_incomplete(read_run(folder))
    assert average(asked_for.arms[Protocol.DIRECT], Track.UEG) is not None
    assert "they count as wrong" in words_of(asked_for)


def test_not_supported_is_no_zero(tmp_path):
    def cannot_edit(record: ItemRecord) -> ItemRecord:
        if record.track == "GEU" and record.protocol == Protocol.STEPWISE:
            return record.model_copy(update={"status": Status.NOT_SUPPORTED, "right": None})
        return record

    folder = bare_run(tmp_path / "run", Skills(0.8, 0.8, 0.8), 4, change=cannot_edit)
    root = read(build_page([read_run(folder)]).page.html())
    table = next(each for each in section(root, "scores").all("table") if "above chance" in each.text)
    (row,) = [each for each in table.all("tr") if each.text.startswith("MT")]
    assert row.all("td")[1].text == "not supported"
    assert "GEU. The model cannot take the steps" in section(root, "verdict").text


def test_perfect_runs_keep_a_doubt(tmp_path):
    """Bootstrap draws of equal items are all equal, which says nothing about the next item."""
    run = read_run(bare_run(tmp_path / "run", Skills(1, 1, 1), 5))
    direct, stepwise = run.arms[Protocol.DIRECT], run.arms[Protocol.STEPWISE]
    value = average(direct, Track.UEG)
    assert (value.value, value.high) == (1, 1)
    assert 1 - 3 / 30 - 0.05 < value.low < 1 - 2 / 30, "the rule of three, roughly"
    shown = change(difference_of(direct, stepwise, Track.UEG))
    assert shown.low == -shown.high < 0 == shown.value


def test_averages_round_halves_up(tmp_path):
    """157 of 400 are 39.25 %, which floats print as 39.2 and the benchmark as 39.3."""

    def exactly(record: ItemRecord) -> ItemRecord:
        number = list(CATEGORIES).index(record.category) * 100 + record.id.index
        return record.model_copy(update={"right": number < 757}) if record.track == "GEU" else record

    folder = bare_run(tmp_path / "run", Skills(0.5, 0.5, 0.5), change=exactly)
    assert Fraction(157, 4) == Fraction(3925, 100)
    assert average(read_run(folder).arms[Protocol.DIRECT], Track.GEU).number == "39.3 %"


def test_stage_one_is_checked_where_nobody_said(folders):
    """The simulated edits are the true picture or spoiled, so the check must find again what the file says."""
    run = read_run(folders[0])
    said = {item: record.stage_one_right for item, record in run.arms[Protocol.STEPWISE].records.items()}
    for record in run.arms[Protocol.STEPWISE].records.values():
        object.__setattr__(record, "stage_one_right", None)
    (checked,) = build_page([run]).runs
    found = {item: record.stage_one_right for item, record in checked.arms[Protocol.STEPWISE].records.items()}
    geu = [item for item in said if item.track == Track.GEU]
    known = [item for item in geu if found[item] is not None]
    assert len(known) > 0.5 * len(geu)
    assert {item: found[item] for item in known} == {item: said[item] for item in known}
    assert {found[item] for item in said if item.track == Track.UEG} == {None}


# Comparison


def test_a_comparison_tells_ties_and_judges_apart(comparison):
    told = section(comparison, "verdict").text
    assert "Scores of different judges are not one ranking." in told
    assert "not told apart" in told
    labels = [label.text for label in section(comparison, "items").all("label")]
    groups = [group.text for group in section(comparison, "items").all("legend")]
    assert {"Flips, direct", "Flips, stepwise", "Box, one", "Box, two"} <= set(groups)
    counted = [int(label.split()[-1]) for label in labels if label.startswith(("both", "only", "a run has"))]
    assert sum(counted) == 3 * 10 * PER_CATEGORY, "every item is in one flip of each protocol"


def test_two_runs_of_one_name_keep_apart(folders):
    first, second = read_runs([folders[0], folders[0]])
    assert (first.name, second.name) == ("one", "one (2)")
    with pytest.raises(InputError, match="one to"):
        build_page([])
    with pytest.raises(DataError, match="no finished items"):
        read_run(folders[0] / "pictures")


# Items


def test_hostile_replies_are_shown_and_never_followed(folders, page):
    shown = "".join(pre.raw for pre in page.all("pre")) + "".join(code.raw for code in page.all("code"))
    assert "<script>alert(1)</script>" in shown
    assert page.all("script") == []
    assert [name for element in page.walk() for name in element.attributes if name.startswith("on")] == []
    assert all(img.attributes["src"].startswith("data:image/") for img in page.all("img"))
    assert HOSTILE in {each["note"].partition(": ")[2] for each in raw(folders[0]) if "note" in each}


@given(st.text(st.characters(codec=None)))
@example("\ud800 half a pair")
def test_any_reply_is_stored_and_read_back(text):
    """Half a surrogate pair is valid in JSON and in Python, and in no file of UTF-8."""
    one = {"item": "UEG_0_world_knowledge", "category": "world_knowledge", "track": "UEG", "status": Status.TIMEOUT}
    record = ItemRecord(**one, protocol=Protocol.DIRECT, prompt=text, note=text)
    line = write_line(record)
    assert line.count(b"\n") == 1
    assert ItemRecord.model_validate(json.loads(line)) == record


def test_the_gallery_has_every_item_mistakes_first(folders, page):
    cards = section(page, "items").all("article", class_="card")
    assert len(cards) == 10 * PER_CATEGORY
    verdicts = [card.attributes["class"].split()[1] for card in cards]
    assert verdicts == sorted(verdicts, key=["wrong", "open", "right"].index)
    by_item = {(each["item"], each["protocol"]): each for each in raw(folders[0])}
    for card in cards:
        item = card.one("h4").text
        for answer, protocol in zip(card.all("div", class_="answer"), PROTOCOLS, strict=True):
            record = by_item[item, str(protocol)]
            assert (answer.one("span", class_="verdict").attributes["aria-label"] == "right") == bool(
                record.get("right")
            )
        prompts = [pre.raw for pre in card.all("pre")]
        assert prompts[0] == by_item[item, "direct"]["prompt"]
        polled = [q for protocol in PROTOCOLS for q in by_item[item, str(protocol)].get("polled", [])]
        shown = {cell.text for cell in card.all("th") if cell.attributes.get("scope") == "row"}
        assert shown == {q["question"] for q in polled if q["verdict"] != q["expected"]}
        assert all(q["question"] in prompts[-1] for q in polled)


def test_items_that_are_not_ours_stay_out_unless_asked_for(tmp_path):
    run = read_run(bare_run(tmp_path / "run", Skills(0.8, 0.8, 0.8), 2, source="DogNeverSleep/RealUnify"))
    built = build_page([run])
    html = built.page.html()
    assert "secret" not in html
    assert "terms of the data" in html
    assert "published results" in html
    written = export(tmp_path / "numbers", built)
    assert all("secret" not in path.read_text() for path in written)
    assert "secret" in build_page([run], show_items=True).page.html()


def test_a_picture_that_is_gone_leaves_its_card(folders, tmp_path):
    run = read_run(folders[0])
    elsewhere = read_run(bare_run(tmp_path / "bare", Skills(1, 1, 1), 1))
    object.__setattr__(run, "folder", elsewhere.folder)
    root = read(build_page([run]).page.html())
    assert root.all("img") == []
    assert len(root.all("article")) == 10 * PER_CATEGORY


def test_half_a_last_line_is_said_and_passed_over(tmp_path, capsys):
    folder = bare_run(tmp_path / "killed", Skills(0.5, 0.5, 0.5), 1)
    whole = read_run(folder)
    assert whole.half_written == []
    rewritten = next(iter(whole.arms[Protocol.STEPWISE].records.values()))
    said = StageOne(item=rewritten.item, judge="j", rewritten="a text", right=True, verdicts=("yes",))
    write_stage_one(folder, [said])
    for name in ("items.jsonl", "stage_one.jsonl"):
        with (folder / name).open("a") as file:
            file.write('{"item": "UEG_0_wor')
    killed = read_run(folder)
    assert killed.half_written == ["items.jsonl", "stage_one.jsonl"]
    assert [record.item for record in killed.records] == [record.item for record in whole.records]
    texts = " ".join(plain(piece.parts) for piece in verdict([killed]) if isinstance(piece, Paragraph))
    assert "last line of items.jsonl is only half there" in texts
    build_page([killed]).page.html()
    assert half_lines.mend(folder) == ["items.jsonl", "stage_one.jsonl"]
    write_stage_one(folder, [said])
    assert read_run(folder).half_written == []
    assert half_lines.checked_rewrites(folder) == {(said.item, 0): said}


# Pictures


def test_thumbnails_share_a_budget_and_mistakes_keep_theirs(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    paths = {}
    for number in range(12):
        paths[str(number)] = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(paths[str(number)])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    every = {key: Wanted(path, compared=key == "0") for key, path in paths.items()}
    free = looks.look_at_all({**every, "broken": Wanted(tmp_path / "broken.png")})
    assert {seen.thumbnail.width for seen in free.values()} == {320}
    assert set(free) == set(paths)
    assert free["0"].floats.shape == (COMPARED, COMPARED, 3)
    assert free["1"].floats is None
    monkeypatch.setattr(looks, "BUDGET", sum(len(seen.thumbnail.uri) for seen in free.values()) // 2)
    smaller = looks.look_at_all(every)
    assert {seen.thumbnail.width for seen in smaller.values()} < {256, 208, 176, 144}
    monkeypatch.setattr(looks, "BUDGET", 60_000)
    few = looks.look_at_all(every)
    kept = [key for key, seen in few.items() if seen.thumbnail is not None]
    assert 0 < len(kept) < 12
    assert kept == list(paths)[: len(kept)]
    assert sum(len(few[key].thumbnail.uri) for key in kept) <= 60_000


def test_small_pictures_of_large_ones_are_kept_and_give_the_same_page(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8)).resize((900, 600))
    photo.save(tmp_path / "photo.png")
    photo.save(tmp_path / "photo.jpg", quality=95)
    photo.crop((0, 0, 200, 200)).save(tmp_path / "small.png")
    run = tmp_path / "run"
    every = {
        name: Wanted(tmp_path / name, sha256((tmp_path / name).read_bytes()).hexdigest(), run, compared=True)
        for name in ("photo.png", "photo.jpg", "small.png")
    }
    first = looks.look_at_all(every)
    kept = sorted(path.name for path in (run / FOLDER).rglob("*") if path.is_file())
    large = sorted(every[name].sha256 for name in ("photo.png", "photo.jpg"))
    assert kept == sorted(f"{key}.{end}" for key in large for end in ("320", "96.png"))
    apart = np.abs(first["photo.png"].floats - first["photo.jpg"].floats)
    assert apart.max() < 0.1, "a JPEG decoded at a fraction is the same picture"
    opened: list[Path] = []
    monkeypatch.setattr(thumbnails, "open_picture", lambda path, **_: opened.append(path) or Image.open(path))
    second = looks.look_at_all(every)
    assert opened == [tmp_path / "small.png"]
    for name, seen in first.items():
        assert seen.thumbnail == second[name].thumbnail
        assert np.array_equal(seen.pixels, second[name].pixels)
    for path in (run / FOLDER).rglob("*.320"):
        path.write_bytes(path.read_bytes()[:300])
    for path in (run / FOLDER).rglob("*.96.png"):
        path.write_bytes(b"damaged")
    opened.clear()
    assert looks.look_at_all(every).keys() == first.keys()
    assert len(opened) == 3, "what is damaged is made anew"


def test_pictures_of_the_data_are_found_by_their_hash(folders, tmp_path):
    record = next(record for record in read_run(folders[0]).records if record.source is not None)
    stored = Store(folders[0]).path(record.source)
    (tmp_path / "data" / "image").mkdir(parents=True)
    (tmp_path / "data" / "image" / "other.png").write_bytes(b"x" * record.source.bytes)
    (tmp_path / "data" / "image" / "this.png").write_bytes(stored.read_bytes())
    start = read_run(folders[0]).starts[0]
    moved = start.model_copy(update={"data": start.data.model_copy(update={"folder": str(tmp_path / "data")})})
    run = read_run(folders[0])
    object.__setattr__(run, "folder", tmp_path / "nothing")
    object.__setattr__(run, "starts", [moved])
    assert run.path(record.source).name == "this.png"


# Judge


async def judge_trials(judge: SimulatedJudge, count: int):
    return await run_trials(judge, mini_trials(count, side=64), JudgeSettings(model=judge.name))


def test_the_judge_is_shown_with_its_errors_and_the_corrected_score(folders, page):
    records = asyncio.run(judge_trials(SimulatedJudge(0.02, 0.05, name="judge-0"), 3))
    block = calibration_block(records)
    root = read(build_page([read_run(folders[1])], calibrations=[block]).page.html())
    told = section(root, "judge")
    assert "CORRECTED" in told.text
    assert f"{100 * block.items.sensitivity:.1f} %" in told.text
    assert "judge-0 and judge-1" in section(page, "judge").text
    assert "not measured" in section(page, "judge").text


# Export


def test_the_export_holds_what_the_file_holds(folders, tmp_path):
    built = build_page(read_runs(folders))
    written = {path.name: path for path in export(tmp_path / "out", built)}
    assert set(written) == {"items.csv", "scores.csv", "differences.csv", "flips.csv", "report.json"}
    with written["items.csv"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = {("one", *key(each)): each for each in raw(folders[0])}
    lines |= {("two", *key(each)): each for each in raw(folders[1])}
    assert len(rows) == len(lines)
    for row in rows:
        line = lines[row["run"], row["item"], row["protocol"]]
        assert row["status"] == line["status"]
        assert row["right"] == ("" if "right" not in line else str(line["right"]))
    whole = json.loads(written["report.json"].read_text())
    assert len(whole["items"]) == len(lines)
    assert {run["name"] for run in whole["runs"]} == {"one", "two"}
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="export"):
        export(blocked / "below", built)


def key(line: dict) -> tuple[str, str]:
    return line["item"], line["protocol"]


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-2", "@SUM(A1)", "\t=1"])
def test_a_spreadsheet_runs_no_reply(text):
    assert harmless(text) == f"'{text}"
    assert harmless("plain = text") == "plain = text"
    assert harmless(-2) == -2


def test_a_page_names_no_folder_of_this_machine():
    settings = {"prices": "/somewhere/prices.yaml", "size": "1024x1024", "max_tokens": 5, "data": "mini"}
    assert shareable(settings) == settings | {"prices": "prices.yaml"}
