"""Claims of the JSON readers: every row once, from any range or place; what is broken spoils nothing else."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.files import BOM
from pixelword.data.json_array import array_starts
from pixelword.data.json_elements import Elements, opening
from pixelword.data.json_rows import JsonRows
from pixelword.data.passing import go_to, opened
from pixelword.data.records import Record, RowError
from pixelword.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
ROWS = st.lists(st.dictionaries(st.text('ab"\\{[', max_size=3), VALUES, max_size=3), max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("json")


def read(content: bytes, folder: Path, block: int = 16) -> list[Record]:
    path = folder / "rows.json"
    path.write_bytes(content)
    source = JsonRows("rows", [path], block=block)
    return [record for number in range(source.blocks()) for record in source.read(number)]


def good(records: list[Record]) -> list[Any]:
    return [record.content for record in records if not isinstance(record.content, RowError)]


def reasons(records: list[Record]) -> list[str]:
    return [record.content.reason for record in records if isinstance(record.content, RowError)]


@settings(max_examples=40)
@given(ROWS, st.integers(1, 60), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_lines_in_ranges_of_any_size_are_the_lines_of_the_file(folder, rows, block, ending, last):
    lines = ending.join(json.dumps(row, ensure_ascii=False) for row in rows) + ending * last
    assert good(read(lines.encode(), folder, block)) == rows


@settings(max_examples=40)
@given(ROWS, st.sampled_from([None, 2]), st.booleans())
def test_the_elements_of_an_array_are_what_the_json_library_finds(folder, rows, indent, sign):
    text = " \n" * sign + json.dumps(rows, indent=indent)
    assert good(read(text.encode(), folder)) == json.loads(text)
    assert reasons(read(text.encode(), folder)) == []


def array_elements(path: Path, start: int, end: int | None = None) -> list[Any]:
    with opened(path) as file:
        beginning = opening(file.peek())
        assert beginning
        go_to(file, start)
        return list(Elements(path.name, file, start, end, beginning, path.stat().st_size))


@settings(max_examples=60)
@given(st.text('[]{},\\" a', max_size=60).map(str.encode), st.integers(1, 9), st.integers(2, 5))
def test_blocks_of_an_array_hold_its_elements_whatever_they_are(folder, inner, step, chunk):
    """Against one pass over the whole array, whose tokens are found by a regular expression."""
    path = folder / "array.json"
    path.write_bytes(b" [" + inner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelword.data.json_array.CHUNK", chunk)
        starts = array_starts(path, step)
    assert starts[0] == 2
    ends = [*starts[1:], None]
    found = [element for start, end in zip(starts, ends, strict=True) for element in array_elements(path, start, end)]
    whole = array_elements(path, 2)
    assert [(place, str(element)) for place, element in found] == [(place, str(element)) for place, element in whole]
    assert starts == sorted(set(starts))


def test_an_array_is_cut_into_blocks_so_that_lanes_share_its_rows(folder):
    path = folder / "many.json"
    path.write_text(json.dumps([{"id": n, "text": 'a "word", [and] more' * 9} for n in range(500)]))
    source = JsonRows("rows", [path])
    sizes = [len(list(source.read(block))) for block in range(source.blocks())]
    assert sum(sizes) == 500
    assert 50 <= len(sizes) <= 64 and max(sizes) <= 2 * min(sizes[:-1])


@settings(max_examples=40)
@given(ROWS, st.booleans(), st.integers(1, 60))
def test_a_block_read_from_a_rows_place_starts_with_that_row(folder, rows, array, block):
    text = json.dumps(rows) if array else "\n".join(map(json.dumps, rows))
    records = read(text.encode(), folder, block)
    source = JsonRows("rows", [folder / "rows.json"], block=block)
    for record in records:
        assert next(source.read(record.block, record.place)) == record


@settings(max_examples=40)
@given(st.binary(max_size=80) | st.text('[{"a":1},]\\ \n', max_size=80).map(str.encode))
def test_whatever_is_in_the_file_gives_rows_or_named_reasons(folder, content):
    for record in read(content, folder):
        assert isinstance(record.content, dict | RowError)
        if isinstance(record.content, RowError):
            assert record.content.fix
            assert record.name.startswith("rows.json")


@settings(max_examples=40)
@given(ROWS.filter(bool), st.integers(0, 7), st.sampled_from([b"{", b"nope", b'{"a": }', b"\xff\xfe", b"3", b"[]"]))
def test_a_broken_line_spoils_no_other(folder, rows, place, broken):
    lines = [json.dumps(row).encode() for row in rows]
    place = 1 + place % len(lines)
    records = read(b"\n".join([*lines[:place], broken, *lines[place:]]), folder)
    assert good(records) == rows
    assert len(reasons(records)) == 1


@settings(max_examples=40)
@given(ROWS.filter(bool), st.integers(0, 7), st.sampled_from(["{nope}", '{"a": }', "3", "[1, 2]", "tru"]))
def test_a_broken_element_with_its_brackets_spoils_no_other(folder, rows, place, broken):
    elements = [json.dumps(row) for row in rows]
    place %= len(elements) + 1
    records = read(f"[{', '.join([*elements[:place], broken, *elements[place:]])}]".encode(), folder)
    assert good(records) == rows
    assert len(reasons(records)) == 1


@pytest.mark.parametrize(
    ("content", "rows", "why"),
    [
        (BOM + b'{"a": 1}\n{"a": 2}', [{"a": 2}], ["byte order mark"]),
        (BOM + b'[{"a": 1}]', [{"a": 1}], ["byte order mark"]),
        (b'[{"a": 1}, {"a": 2}', [{"a": 1}], ["broken file"]),
        (b'[{"a": 1}, {"a": "2}]', [{"a": 1}], ["broken file"]),
        (b'[{"a": 1}] [{"a": 2}]', [{"a": 1}], ["broken file"]),
        (b'[{"a": 1},]', [{"a": 1}], []),
        (b"[]", [], []),
        (b"", [], []),
        (b"\n \n", [], []),
        (b'{"a": ' + b"[" * 100_000, [], ["invalid JSON"]),
        ('{"a": 1}'.encode("utf-16"), [], ["invalid JSON"]),
    ],
)
def test_awkward_files(folder, content, rows, why):
    records = read(content, folder)
    assert good(records) == rows
    assert reasons(records) == why


# A quote or bracket that is missing.

DAMAGES = {
    "no closing bracket of a list": lambda text: text[:-2] + text[-1],
    "no closing brace": lambda text: text[:-1],
    "a quote too many": lambda text: text.replace('"', '""', 1),
    "a quote too few": lambda text: text.replace('"', "", 1),
    "a brace too many": lambda text: text + "}",
    "cut in the middle": lambda text: text[: len(text) // 2],
    "nothing but a brace": lambda text: "{",
    "a raw newline": lambda text: text.replace("a ", "a \n", 1),
}
FORMS = {
    "one line each": lambda rows: "[\n" + ",\n".join(rows) + "\n]",
    "the first behind the bracket": lambda rows: "[" + ",\n".join(rows) + "]",
    "a margin": lambda rows: "[\r\n\t" + ",\r\n\t".join(rows) + "\r\n]",
    "indented": lambda rows: "[\n  " + ",\n  ".join(row.replace("[{", "[\n    {") for row in rows) + "\n]",
}


def dialogue(number: int) -> str:
    return json.dumps({"id": number, "conversations": [{"from": "human", "value": 'a "word", [and] {more'}]})


@pytest.mark.parametrize("chunk", [7, 2**18])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_element_with_a_bracket_missing_spoils_no_element_on_a_line_of_its_own(
    folder, monkeypatch, damage, form, chunk
):
    monkeypatch.setattr("pixelword.data.json_elements.CHUNK", chunk)
    rows = [dialogue(number) for number in range(9)]
    for broken in (0, 4, 8):
        written = [DAMAGES[damage](row) if number == broken else row for number, row in enumerate(rows)]
        records = read(FORMS[form](written).encode(), folder, 10**6)
        assert good(records) == [json.loads(row) for number, row in enumerate(rows) if number != broken]
        assert len(reasons(records)) in (1, 2), "the last one may also leave the array open"
        source = JsonRows("rows", [folder / "rows.json"], block=10**6)
        for record in records:
            assert next(source.read(record.block, record.place)).name == record.name


@pytest.mark.parametrize("form", FORMS)
def test_a_damage_in_a_large_array_loses_one_element_of_all_blocks(folder, form):
    rows = [dialogue(number) for number in range(600)]
    for damage in DAMAGES.values():
        written = [damage(row) if number == 200 else row for number, row in enumerate(rows)]
        records = read(FORMS[form](written).encode(), folder, 1000)
        assert [row["id"] for row in good(records)] == [number for number in range(600) if number != 200]


def test_where_no_line_tells_what_is_lost_is_said_in_bytes(folder):
    rows = [dialogue(number) for number in range(9)]
    text = "[" + ", ".join([*rows[:4], rows[4][:-1], *rows[5:]]) + "]"
    records = read(text.encode(), folder, 10**6)
    start = text.index(rows[4][:-1])
    assert good(records) == [json.loads(row) for row in rows[:4]]
    assert f"the array is not closed; {len(text) - start} bytes from byte {start} on are lost" in str(
        records[-1].content
    )


@settings(max_examples=60)
@given(ROWS, st.sampled_from([None, 0, 1]), st.booleans(), st.integers(5, 60), st.integers(1, 40))
def test_sound_arrays_are_what_the_json_library_finds_in_any_form(folder, rows, indent, own_line, block, chunk):
    """Also where objects inside elements start lines as elements do."""
    nested = [{"rows": rows}, *rows, {"rows": [{"rows": rows}]}]
    text = "[" + "\n" * own_line + ",\n".join(json.dumps(row, indent=indent) for row in nested) + "]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelword.data.json_elements.CHUNK", chunk)
        records = read(text.encode(), folder, block)
    assert good(records) == json.loads(text)
    assert reasons(records) == []


def test_a_missing_comma_and_an_array_that_ends_too_early_lose_nothing_but_say_so(folder):
    assert good(read(b'[\n{"a": 1}\n{"a": 2},\n{"a": 3}\n]', folder)) == [{"a": 1}, {"a": 2}, {"a": 3}]
    records = read(b'[\n{"a": 1}\n]\n,\n{"a": 2}\n]', folder)
    assert (good(records), reasons(records)) == ([{"a": 1}, {"a": 2}], ["broken file"])
    assert "more follows behind the array; it goes on at byte 15" in str(records[1].content)


def test_an_element_longer_than_the_limit_is_left_out_and_the_next_is_read(folder, monkeypatch):
    for name in ("json_elements.LONGEST", "json_elements.CHUNK"):
        monkeypatch.setattr(f"pixelword.data.{name}", 20)
    long = '{"a": [' + ", ".join(["1"] * 90) + "]}"
    records = read(f'[{{"b": 0}}, {long}, {{"b": 1}}]'.encode(), folder, 10**6)
    assert (good(records), reasons(records)) == ([{"b": 0}, {"b": 1}], ["no row"])
    assert f"{len(long) + 1} bytes" in str(records[1].content)
    source = JsonRows("rows", [folder / "rows.json"], block=10**6)
    assert next(source.read(records[1].block, records[1].place)).name == records[1].name


# Compressed files.

COMPRESSIONS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("array", [False, True])
def test_compressed_files_give_the_same_rows_from_any_place(folder, ending, array):
    rows = [{"n": number} for number in range(40)]
    text = json.dumps(rows) if array else "\n".join(map(json.dumps, rows))
    path = folder / f"rows.jsonl{ending}"
    path.write_bytes(COMPRESSIONS[ending](text.encode()))
    source = JsonRows("rows", [path], block=16)
    assert source.blocks() == 1 and source.parts
    records = list(source.read(0))
    assert good(records) == rows
    for record in records[::7]:
        assert next(source.read(0, record.place)) == record


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-5]])
def test_a_compressed_file_that_breaks_off_keeps_its_rows_and_says_so(folder, ending, array, damage):
    rows = [{"n": number, "x": str(random.Random(number).random())} for number in range(4000)]
    text = json.dumps(rows) if array else "\n".join(map(json.dumps, rows))
    path = folder / f"rows.json{ending}"
    path.write_bytes(damage(COMPRESSIONS[ending](text.encode())))
    source = JsonRows("rows", [path])
    records = list(source.read(0))
    assert good(records) == rows[: len(good(records))]
    assert reasons(records) == ["broken file"]
    assert "cannot be read on; everything from byte" in str(records[-1].content)
    assert next(source.read(0, records[-1].place)).name == records[-1].name


def test_a_row_is_named_by_file_byte_and_id(folder):
    records = read(b'{"id": "x7"}\n{}\n', folder)
    assert [record.name for record in records] == ["rows.json, byte 0 (id x7)", "rows.json, byte 13"]
    assert records[0].root == folder


def test_a_line_longer_than_the_limit_is_left_out_and_the_next_is_read(folder, monkeypatch):
    monkeypatch.setattr("pixelword.data.json_rows.LONGEST", 20)
    records = read(b'{"a": "' + b"x" * 90 + b'"}\n{"b": 1}\n', folder, 10**6)
    assert (good(records), reasons(records)) == ([{"b": 1}], ["no row"])


def test_files_are_counted_one_behind_the_other_and_missing_ones_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    (tmp_path / "b.json").write_text('[{"n": 3}]')
    source = JsonRows("rows", [tmp_path / "a.jsonl", tmp_path / "b.json"], block=9)
    assert [record.content["n"] for block in range(source.blocks()) for record in source.read(block)] == [1, 2, 3]
    assert source.fingerprint() == "a.jsonl:18 b.json:10"
    with pytest.raises(DataError, match="cannot be opened"):
        JsonRows("rows", [tmp_path / "none"]).blocks()
    with pytest.raises(DataError, match="has no files"):
        JsonRows("rows", [])
