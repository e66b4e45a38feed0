"""Claims of the JSON readers: every row once, from any range or place; what is broken spoils nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.files import BOM
from pixelword.data.json_array import array_elements, array_starts
from pixelword.data.json_rows import JsonRows
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
    whole = list(array_elements(path, 2))
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


def test_a_row_is_named_by_file_byte_and_id(folder):
    records = read(b'{"id": "x7"}\n{}\n', folder)
    assert [record.name for record in records] == ["rows.json, byte 0 (id x7)", "rows.json, byte 13"]
    assert records[0].root == folder


def test_a_line_longer_than_the_limit_is_left_out_and_the_next_is_read(folder, monkeypatch):
    monkeypatch.setattr("pixelword.data.json_rows.LONGEST_LINE", 20)
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
