"""Claims of the reader: sound folders join, every deviation is counted, and what is dangerous is refused."""

from __future__ import annotations

import hashlib
import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import ConfigError, DataError, ImageError, InputError
from pixelword.realunify import prompts
from pixelword.realunify.blocklist import read_block_list
from pixelword.realunify.dataset import read_benchmark
from pixelword.realunify.paths import inside, open_picture
from pixelword.realunify.released import import_results
from pixelword.realunify.taxonomy import ItemId, Protocol, Status
from tests.realunify.made_up import read, write, write_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path)


def found(folder, **options):
    return {finding.what: finding.count for finding in read_benchmark(folder, **options).findings}


def change(folder, name, place, **fields):
    rows = read(folder, name)
    rows[place] = {key: value for key, value in (rows[place] | fields).items() if value is not ...}
    write(folder, name, rows)


def test_a_whole_benchmark_has_no_findings(tmp_path):
    benchmark = read_benchmark(write_folder(tmp_path, 100), strict=True)
    assert (len(benchmark.drawing), len(benchmark.choice), len(benchmark.expected)) == (600, 400, 1000)
    assert benchmark.sha256["GEU_step.json"] == hashlib.sha256((tmp_path / "GEU_step.json").read_bytes()).hexdigest()
    first = benchmark.choice[0]
    assert (first.subtask, first.options[1], first.answer) == ("sort", "two", "A")
    assert first.image.is_file()
    assert benchmark.drawing[0].new_prompt == prompts.refine_prompt(benchmark.drawing[0].prompt)


def test_a_smaller_folder_is_a_finding_and_strict_refuses_it(folder):
    findings = read_benchmark(folder).findings
    assert [(finding.file, finding.count) for finding in findings] == [("UEG files", 6), ("GEU files", 4)]
    with pytest.raises(DataError, match="100 items"):
        read_benchmark(folder, strict=True)


@pytest.mark.parametrize(
    ("name", "fields", "what"),
    [
        ("UEG_direct.json", {"prompt": ...}, "prompt is missing or no text"),
        ("UEG_direct.json", {"task_type": "poetry"}, "row without a known task_type"),
        ("UEG_direct.json", {"task_type": ["a"]}, "row without a known task_type"),
        ("UEG_direct.json", {"index": "0"}, "row without a whole number as index"),
        ("UEG_direct.json", {"question_list": []}, "question_list is missing or empty"),
        (
            "UEG_direct.json",
            {"question_list": [{"question": "q", "answer": "Yes"}]},
            "an expected answer other than yes and no",
        ),
        ("UEG_direct.json", {"index": 1}, "the same item twice (the first is kept)"),
        ("GEU_direct.json", {"answer": "E"}, "an answer that is no letter of the options"),
        ("GEU_direct.json", {"answer": ""}, "answer is missing or no text"),
        ("GEU_direct.json", {"option": ["a"]}, "another number of options than four"),
        ("GEU_direct.json", {"option": "abcd"}, "option is missing or no list of texts"),
        ("GEU_direct.json", {"input_image": "image/none.png"}, "image missing"),
    ],
)  # fmt: skip
def test_each_deviation_is_counted(folder, name, fields, what):
    change(folder, name, 0, **fields)
    assert found(folder)[what] == 1
    with pytest.raises(DataError, match="deviates"):
        read_benchmark(folder, strict=True)


def test_an_unusable_row_stays_in_the_denominator(folder):
    for name in ("GEU_direct.json", "GEU_step.json"):
        change(folder, name, 0, answer="?")
    benchmark = read_benchmark(folder)
    assert ItemId("mental_reconstruction", 0) in benchmark.expected
    assert ItemId("mental_reconstruction", 0) not in {item.id for item in benchmark.choice}


def test_unknown_fields_stay_and_other_names_are_understood(folder):
    options = read(folder, "GEU_direct.json")[0]["option"]
    change(folder, "GEU_direct.json", 0, option=..., options=options, weather="mild")
    item = read_benchmark(folder).choice[0]
    assert (item.options, item.extra["weather"]) == (tuple(options), "mild")


def test_a_prompt_is_recovered_from_the_rewrite_request(folder):
    (folder / "UEG_direct.json").unlink()
    assert read_benchmark(folder).drawing[3].prompt == "Draw 3 jars."


def test_unmatched_rows_are_reported(folder):
    write(folder, "GEU_step.json", read(folder, "GEU_step.json")[1:])
    assert found(folder)["item of the other file missing"] == 1


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/passwd", "a/../../x.png", "C:\\x.png", "..\\x.png", "a\0b", "//h/x"]
)
def test_image_paths_that_leave_the_folder_are_refused(folder, name):
    change(folder, "GEU_direct.json", 0, input_image=name)
    with pytest.raises(DataError, match="leaves the data folder"):
        read_benchmark(folder)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="leaves the data folder"):
        inside(tmp_path / "data", "a.png")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe[", b"[" * 100_000, b"null"])
def test_a_broken_file_is_one_clear_error(folder, content):
    (folder / "UEG_direct.json").write_bytes(content)
    with pytest.raises(DataError, match="UEG_direct"):
        read_benchmark(folder)


def test_an_empty_folder_names_the_files(tmp_path):
    with pytest.raises(DataError, match="GEU_step"):
        read_benchmark(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda v: st.lists(v, max_size=3)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["index", "task_type", "prompt", "question_list", "option", "answer", "input_image"]), VALUES)
def test_any_value_in_any_field_is_read_or_refused(folder, field, value):
    for name in ("UEG_direct.json", "GEU_direct.json"):
        before = (folder / name).read_bytes()
        change(folder, name, 0, **{field: value})
        try:
            read_benchmark(folder)
        except DataError as error:
            assert "leaves the data folder" in str(error)
        (folder / name).write_bytes(before)


def test_pictures_are_turned_flattened_and_kept_at_their_size(tmp_path):
    turned = Image.new("RGB", (4, 2), "red")
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "turned.jpg").size == (2, 4)
    assert open_picture(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n\0\0"])
def test_an_unreadable_picture_is_one_clear_error(tmp_path, content):
    if content is not None:
        (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"x[.]png"):
        open_picture(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_damaged_picture_is_read_or_is_one_clear_error(tmp_path, kind):
    random, path = Random(0), tmp_path / "x.bin"
    Image.radial_gradient("L").resize((40, 40)).convert("RGB").save(path, kind)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 8)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged[: random.randint(1, len(damaged))])
        try:
            assert open_picture(path).mode == "RGB"
        except ImageError as error:
            assert error.fix


def test_block_lists_name_known_items_once_with_reasons(tmp_path):
    known = [ItemId("code_to_image", 1), ItemId("code_to_image", 2)]
    path = tmp_path / "blocked.yaml"
    path.write_text("items:\n- {item: UEG_1_code_to_image, reason: wrong label}\n")
    assert read_block_list(path, known) == {known[0]: "wrong label"}
    for text, kind, match in (
        ("items:\n- {item: UEG_9_code_to_image, reason: x}\n", DataError, "UEG_9"),
        (
            "items:\n- {item: UEG_1_code_to_image, reason: x}\n- {item: UEG_1_code_to_image, reason: y}\n",
            DataError,
            "twice",
        ),
        ("items:\n- {item: UEG_1_code_to_imag, reason: x}\n", InputError, "did you mean 'code_to_image'"),
        ("items:\n- {item: UEG_1_code_to_image}\n", ConfigError, "reason"),
    ):
        path.write_text(text)
        with pytest.raises(kind, match=match):
            read_block_list(path, known)


def test_finished_files_in_the_released_layout(folder):
    benchmark = read_benchmark(folder)
    geu = read(folder, "GEU_direct.json")
    replies = ["A", ["B"], [], None, "Cannot say.", "The answer is B", "C"]
    finished = [row | {"response": reply} for row, reply in zip(geu, replies, strict=False)]
    write(folder, "bagel.json", [None, *reversed(finished), finished[0], {"index": 1}])
    found = import_results(folder / "bagel.json", benchmark, Protocol.DIRECT)
    statuses = {result.item.index: (result.status, result.right) for result in found.results}
    assert statuses == {
        0: (Status.OK, True),
        1: (Status.OK, True),
        2: (Status.STAGE2_FAILED, None),
        3: (Status.STAGE2_FAILED, None),
        4: (Status.ANSWER_UNPARSED, None),
        5: (Status.OK, True),
        6: (Status.OK, True),
    }
    assert {finding.what: finding.count for finding in found.findings} == {
        "row that is no item of the data set": 2, "the same item twice (the first is kept)": 1,
    }  # fmt: skip
    lenient = import_results(folder / "bagel.json", benchmark, Protocol.DIRECT, mode="reference")
    assert {result.item.index: result.right for result in lenient.results}[4] is False
    assert all(result.subtask == "sort" for result in found.results)


def test_finished_pictures_with_and_without_scores(folder):
    rows = read(folder, "UEG_direct.json")
    fields = [
        {"generated_image": "a.png", "score": 1},
        {"generated_image": "b.png", "score": 0},
        {"generated_image": "", "score": 0},
        {"score": 1},
        {"generated_image": "c.png"},
        {"generated_image": "d.png", "score": "yes"},
    ]
    lines = [json.dumps(row | more) for row, more in zip(rows, fields, strict=False)]
    (folder / "done.jsonl").write_text("\n".join(lines))
    found = import_results(folder / "done.jsonl", read_benchmark(folder), Protocol.DIRECT)
    assert [(result.status, result.right) for result in found.results] == [
        (Status.OK, True), (Status.OK, False), (Status.IMAGE_MISSING, None), (Status.IMAGE_MISSING, None),
    ]  # fmt: skip
    assert {item.index: picture for item, picture in found.to_judge.items()} == {4: "c.png", 5: "d.png"}


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_a_finished_file_that_cannot_be_read_is_refused_and_never_the_one_before_it(folder, name):
    benchmark = read_benchmark(folder)
    (folder / name).write_text("{")
    with pytest.raises(DataError, match=name):
        import_results(folder / name, benchmark, Protocol.DIRECT)


def test_the_prompts_are_the_papers():
    assert prompts.judge_prompt("Is {this} red?").splitlines()[1] == "Question: Is {this} red?"
    assert prompts.choice_prompt("Which?", ["P", "Q", "R", "S"]).endswith("A. P\nB. Q\nC. R\nD. S\nThe best answer is:")
    assert prompts.edit_prompt("mental_reconstruction", "Which?").startswith("Please restore")
    program = "a = 1\n\nprint(a)"
    assert prompts.prompt_inside(prompts.refine_prompt(program)) == program
    assert prompts.prompt_inside("Something else") is None
