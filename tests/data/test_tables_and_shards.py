"""Claims of the table and shard readers: every row once, from any place; broken and hostile files say so."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.media import FileSlice
from pixelword.data.records import Record, RowError
from pixelword.data.shards import TarRows
from pixelword.data.sources import open_source
from pixelword.data.tables import DatasetRows, ParquetRows
from pixelword.errors import ConfigError, DataError
from pixelword.recipe import SourceSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tables")


def everything(source: Any) -> list[Record]:
    return [record for block in range(source.blocks()) for record in source.read(block)]


def every_place_starts_there(source: Any) -> None:
    for record in everything(source):
        assert next(source.read(record.block, record.place)) == record


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def content(piece: FileSlice) -> bytes:
    with piece.open() as file:
        return file.read()


# Parquet and datasets.


def test_parquet_rows_come_from_every_file_and_row_group(folder):
    for name, numbers in (("a", range(5)), ("b", range(5, 7))):
        table = pyarrow.table({"text": [f"row {n}" for n in numbers], "images": [[{"bytes": b"x"}]] * len(numbers)})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet", row_group_size=2)
    source = ParquetRows("table", [folder / "a.parquet", folder / "b.parquet"])
    assert source.blocks() == 4
    assert [record.content["text"] for record in everything(source)] == [f"row {n}" for n in range(7)]
    assert everything(source)[0].content["images"] == [{"bytes": b"x"}]
    assert everything(source)[5].name == "b.parquet, row group 0, row 0"
    every_place_starts_there(source)


def test_a_broken_parquet_file_is_named(folder):
    (folder / "broken.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read as parquet"):
        ParquetRows("table", [folder / "broken.parquet"]).blocks()


def test_a_row_group_that_is_broken_inside_is_one_bad_row(folder):
    path = folder / "inside.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["x" * 100] * 50}), path, compression="zstd", use_dictionary=False
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 40 + whole[44:])
    records = everything(ParquetRows("table", [path]))
    assert [record.content.reason for record in records] == ["broken file"]


@pytest.mark.parametrize("streamed", [False, True])
def test_datasets_give_their_rows_with_pictures_undecoded(folder, streamed):
    rows = {"messages": [[{"role": "user", "content": str(n)}] for n in range(7)], "images": [[b"no picture"]] * 7}
    features = datasets.Features(
        {
            "messages": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")}),
            "images": datasets.List(datasets.Image()),
        }
    )
    dataset = datasets.Dataset.from_dict(rows, features=features)
    source = DatasetRows("hub", dataset.to_iterable_dataset(num_shards=3) if streamed else dataset, block=3)
    assert source.blocks() == 3
    assert [record.content["messages"][0]["content"] for record in everything(source)] == list("0123456")
    assert everything(source)[0].content["images"][0]["bytes"] == b"no picture"
    every_place_starts_there(source)


def test_a_saved_dataset_is_loaded_from_its_folder_and_a_missing_one_named(folder):
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(folder / "saved")
    settings = SourceSettings(name="s", kind="huggingface", path=str(folder / "saved"))
    assert [record.content for record in everything(open_source(settings))] == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(DataError, match="no dataset can be loaded"):
        DatasetRows.load("s", str(folder / "nothing here"))


# Shards.


def test_members_with_one_key_are_one_row_and_pictures_keep_their_order(folder):
    source = TarRows(
        "web",
        [
            shard(
                folder / "a.tar",
                {
                    "d/1.jpg": b"jpg",
                    "d/1.txt": b" a caption\n",
                    "d/2.0.png": b"first",
                    "d/2.1.png": b"second",
                    "d/2.json": json.dumps({"conversations": [], "image": ["../x", "y"]}).encode(),
                    "x" * 200 + ".txt": b"long name",
                },
            )
        ],
    )
    first, second, third = everything(source)
    assert first.content["caption"] == "a caption"
    assert [content(piece) for piece in first.content["images"]] == [b"jpg"]
    assert [content(piece) for piece in second.content["images"]] == [b"first", b"second"]
    assert "image" not in second.content, "names inside a shard are not paths"
    assert third.content == {"caption": "long name"}
    assert second.name == "a.tar, 'd/2'"
    every_place_starts_there(source)


def test_no_pickle_is_opened_and_no_link_followed(folder):
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return pytest.fail, ("a pickle was opened",)

    path = folder / "hostile.tar"
    shard(path, {"1.pkl": pickle.dumps(Bomb()), "1.txt": b"a", "1.pth": b"b", "../../2.txt": b"c", "/3.txt": b"d"})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("4.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert [record.content for record in everything(TarRows("web", [path]))] == [{"caption": word} for word in "acd"]


def test_a_row_that_names_pictures_outside_its_shard_is_bad(folder):
    path = shard(folder / "outside.tar", {"1.json": b'{"image": "/etc/passwd", "caption": "x"}'})
    (record,) = everything(TarRows("web", [path]))
    assert record.content.reason == "missing file"


@pytest.mark.parametrize(
    ("broken", "rows"),
    [
        (lambda whole: whole[:600], 0),
        (lambda whole: whole[: 512 * 3], 1),
        (lambda whole: whole[: 512 * 2] + b"junk" * 128 + whole[512 * 3 :], 1),
        (lambda whole: b"junk" * 256, 0),
    ],
)
def test_a_shard_that_ends_in_the_middle_keeps_its_whole_rows_and_says_so(folder, broken, rows):
    path = shard(folder / "cut.tar", {"1.txt": b"a" * 400, "2.txt": b"b" * 400, "3.txt": b"c" * 400})
    path.write_bytes(broken(path.read_bytes()))
    records = everything(TarRows("web", [path]))
    good = [record for record in records if not isinstance(record.content, RowError)]
    assert len(good) == rows
    assert [record.content.reason for record in records[rows:]] == ["broken file"]


@settings(max_examples=60)
@given(st.binary(max_size=2000), st.integers(0, 3000), st.binary(min_size=1, max_size=30))
def test_whatever_is_in_a_shard_gives_rows_or_named_reasons(folder, junk, place, patch):
    path = shard(folder / "fuzzed.tar", {"1.txt": b"a", "1.jpg": b"b", "2.json": b'{"text": "c"}'})
    whole = path.read_bytes()
    for hostile in (junk, whole[:place] + patch + whole[place + len(patch) :], whole[:place]):
        path.write_bytes(hostile)
        for record in everything(TarRows("web", [path])):
            assert isinstance(record.content, dict | RowError)
            assert not isinstance(record.content, RowError) or record.content.fix


@settings(max_examples=20)
@given(st.lists(st.tuples(st.text("ab/", min_size=1, max_size=6), st.binary(max_size=600)), max_size=5))
def test_the_texts_of_a_shard_are_those_that_were_written(folder, texts):
    members = {f"{name.strip('/') or 'c'}{at}.jpg": text for at, (name, text) in enumerate(texts)}
    records = everything(TarRows("web", [shard(folder / "any.tar", members)]))
    assert [content(record.content["images"][0]) for record in records] == list(members.values())


# Opening by settings.


def test_a_folder_a_pattern_and_a_file_mean_the_same_files(folder):
    inner = folder / "inner"
    inner.mkdir()
    shard(inner / "b.tar", {"1.txt": b"b"})
    shard(inner / "a.tar", {"1.txt": b"a"})
    (inner / "readme.md").write_text("no rows")
    for path in (inner, inner / "*.tar"):
        source = open_source(SourceSettings(name="web", kind="webdataset", path=str(path)))
        assert [record.content["caption"] for record in everything(source)] == ["a", "b"]
    with pytest.raises(DataError, match="source 'web' has no files"):
        open_source(SourceSettings(name="web", kind="webdataset", path=str(inner / "*.zip")))
    with pytest.raises(ConfigError):
        SourceSettings(name="web", kind="tar", path="x")
