"""Claims of streamed and compressed sources: the same rows as from the disk, a cursor that goes on, named failures."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import datasets
import fsspec
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.files import expanded, files_of
from pixelword.data.media import FileSlice
from pixelword.data.records import Record, RowError
from pixelword.data.shards import TarRows
from pixelword.data.sources import open_source
from pixelword.data.stream import Stream
from pixelword.errors import ConfigError, DataError
from pixelword.recipe import SourceSettings

ENDINGS = {"tar": "", "tar.gz": "gz", "tgz": "gz", "tar.bz2": "bz2", "tar.xz": "xz"}


class Server(SimpleHTTPRequestHandler):
    """A folder over HTTP, with ranges of bytes if `ranges`; keeps what was asked for, and can break off."""

    asked: list[str]
    ranges = True
    breaks_off_after: int | None = None

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        self.asked.append(f"{path.name} {wanted}")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        if wanted and self.ranges:
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            assert match
            first, last = int(match[1]), min(last, int(match[2] or last))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        body = content[first : last + 1]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.breaks_off_after is None else body[: self.breaks_off_after])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three shards of ten rows, as a plain and as compressed files; the same rows as tables."""
    folder = tmp_path_factory.mktemp("web")
    for number in range(3):
        members: dict[str, bytes] = {}
        for row in range(10):
            key = f"{number}{row:02}"
            members |= {f"{key}.0.png": b"first " + key.encode() * 500, f"{key}.1.png": b"second"}
            members[f"{key}.json"] = json.dumps({"conversations": [], "id": key}).encode()
        for ending, how in ENDINGS.items():
            with tarfile.open(folder / f"shard-{number:03}.{ending}", f"w:{how}") as tar:
                for name, content in members.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        rows = [{"text": f"{number}{row:02}"} for row in range(10)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"rows-{number}.parquet")
        (folder / f"rows-{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def served(folder, request) -> Iterator[tuple[str, type[Server]]]:
    """Its address, and the class of its answers."""
    answers = type("Answers", (Server,), {"asked": [], "ranges": getattr(request, "param", True)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(answers, directory=str(folder)))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def impatient(monkeypatch) -> None:
    """No minutes of waiting for a connection that does not come back."""
    for name in ("OPEN", "READ"):
        monkeypatch.setattr(datasets.config, f"STREAMING_{name}_MAX_RETRIES", 2)
        monkeypatch.setattr(datasets.config, f"STREAMING_{name}_RETRY_INTERVAL", 0)


def opened(path: str, kind: str = "webdataset") -> Any:
    return open_source(SourceSettings(name="s", kind=kind, path=path))


def everything(source: Any) -> list[Record]:
    return [record for block in range(source.blocks()) for record in source.read(block)]


def plain(record: Record) -> dict[str, Any]:
    """The fields of a row with the bytes of its pictures, wherever they are."""
    fields = dict(record.content)
    for key in ("images", "videos"):
        if key in fields:
            fields[key] = [piece.open().read() if isinstance(piece, FileSlice) else piece for piece in fields[key]]
    return fields


@pytest.fixture(scope="module")
def expected(folder) -> list[dict[str, Any]]:
    found = [plain(record) for record in everything(opened(str(folder / "shard-{000..002}.tar")))]
    assert len(found) == 30 and found[-1]["images"][0] == b"first " + b"209" * 500
    return found


# The same rows, from any place.


@pytest.mark.parametrize("ending", list(ENDINGS)[1:])
def test_compressed_shards_give_the_rows_of_plain_ones_from_any_place(folder, expected, ending):
    source = opened(str(folder / f"shard-{{000..002}}.{ending}"))
    records = everything(source)
    assert [plain(record) for record in records] == expected
    for record in records[::4]:
        assert next(source.read(record.block, record.place)) == record


@pytest.mark.parametrize("served", [True, False], indirect=True, ids=["ranges", "no ranges"])
@pytest.mark.parametrize("ending", ["tar", "tgz"])
def test_streamed_shards_give_the_rows_of_those_on_the_disk_from_any_place(served, expected, ending):
    source = opened(f"{served[0]}/shard-{{000..002}}.{ending}?download=true")
    records = everything(source)
    assert [plain(record) for record in records] == expected
    assert records[3].name == f"shard-000.{ending}, '003'"
    for record in records[::9]:
        assert next(source.read(record.block, record.place)) == record


def test_where_the_server_gives_ranges_going_on_does_not_read_the_shard_again(served, folder, monkeypatch):
    address, answers = served
    monkeypatch.setattr(fsspec.get_filesystem_class("http"), "default_block_size", 4096, raising=False)
    source = opened(f"{address}/shard-000.tar")
    last = everything(source)[-1]
    answers.asked.clear()
    assert next(source.read(0, last.place)) == last
    firsts = [int(asked.partition("bytes=")[2].partition("-")[0]) for asked in answers.asked if "bytes=" in asked]
    assert firsts and min(firsts) >= min(last.place, (folder / "shard-000.tar").stat().st_size) // 2


@pytest.mark.parametrize("path", ["shard-{000..002}.tar", "shard-{000..002}.tgz", "rows-{0..2}.parquet"])
def test_a_stream_over_the_network_goes_on_from_its_cursor(served, path):
    kind = "parquet" if path.endswith("parquet") else "webdataset"

    def stream() -> Stream:
        return Stream(opened(f"{served[0]}/{path}", kind), lane=0, lanes=2, pool=7, epochs=2)

    def content(stream: Stream) -> Any:
        record = stream.next()
        return record and (record.name, plain(record))

    whole, first, second = stream(), stream(), stream()
    rows = [content(whole) for _ in range(60)]
    assert rows[:17] == [content(first) for _ in range(17)]
    second.load(json.loads(json.dumps(first.state())))
    assert [content(second) for _ in range(43)] == rows[17:]
    assert rows[40] is None or rows[-1] is None, "two epochs have an end"


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_tables_can_be_streamed(served, kind):
    ending = {"json": "jsonl"}.get(kind, kind)
    source = opened(f"{served[0]}/rows-{{0..2}}.{ending}", kind)
    assert source.blocks() == 3
    assert [record.content["text"] for record in everything(source)] == [
        f"{n}{row:02}" for n in range(3) for row in range(10)
    ]
    for record in everything(source)[::7]:
        assert next(source.read(record.block, record.place)) == record


# Streamed JSON: what is broken is named, and what follows is read.

ROWS = [{"id": number, "text": f"row {number}", "odd": [None, {}][number % 2]} for number in range(40)]
BROKEN = {4: '{"id": 4, "text": nothing}', 9: '{"id": 9, "text": "no end', 23: "[3]"}
WRITTEN = [BROKEN.get(number, json.dumps(row)) for number, row in enumerate(ROWS)]
FILES = {
    "broken.jsonl": "\n".join(WRITTEN).encode(),
    "broken.json": ("[\n" + ",\n".join(WRITTEN) + "\n]").encode(),
    "broken.jsonl.gz": gzip.compress("\n".join(WRITTEN).encode()),
    "broken.json.gz": gzip.compress(("[\n" + ",\n".join(WRITTEN) + "\n]").encode()),
}


@pytest.mark.parametrize("served", [True, False], indirect=True, ids=["ranges", "no ranges"])
@pytest.mark.parametrize("name", FILES)
def test_streamed_json_leaves_out_what_is_broken_and_reads_on_as_on_the_disk(served, folder, name):
    """Rows whose keys have other types than the first row's too."""
    (folder / name).write_bytes(FILES[name])
    source = opened(f"{served[0]}/{name}?download=true", "json")
    records = everything(source)
    assert [r.content for r in records if isinstance(r.content, dict)] == [
        row for number, row in enumerate(ROWS) if number not in BROKEN
    ]
    bad = [(at, record.content.reason) for at, record in enumerate(records) if isinstance(record.content, RowError)]
    assert bad == [(4, "invalid JSON"), (9, "invalid JSON"), (23, "no row")]
    local = everything(opened(str(folder / name), "json"))
    assert [(r.place, r.name, str(r.content)) for r in records] == [(r.place, r.name, str(r.content)) for r in local]
    for record in records[::5]:
        assert next(source.read(0, record.place)).name == record.name


def test_streamed_json_goes_on_where_it_stopped_and_asks_for_no_byte_before(served, folder, monkeypatch):
    address, answers = served
    monkeypatch.setattr(fsspec.get_filesystem_class("http"), "default_block_size", 4096, raising=False)
    (folder / "long.jsonl").write_text("\n".join(json.dumps({"text": "x" * 1000, "n": n}) for n in range(400)))
    source = opened(f"{address}/long.jsonl", "json")
    last = everything(source)[-1]
    answers.asked.clear()
    assert next(source.read(0, last.place)) == last
    firsts = [int(asked.partition("bytes=")[2].partition("-")[0]) for asked in answers.asked if "bytes=" in asked]
    assert sorted(firsts)[-1] > 300_000 and not any(100_000 < first < 300_000 for first in firsts)


def test_a_connection_that_is_lost_inside_json_ends_the_run_and_is_no_bad_row(served, folder, impatient):
    address, answers = served
    (folder / "long.jsonl.gz").write_bytes(gzip.compress(random.Random(0).randbytes(2**20).hex().encode()))
    answers.breaks_off_after = 1000
    with pytest.raises(DataError, match=r"connection is lost|cannot be opened"):
        everything(opened(f"{address}/long.jsonl.gz", "json"))


def test_a_filesystem_that_lists_its_files_takes_patterns(folder, expected):
    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "shard-00*.tgz"), "/shards/")
    source = opened("memory://shards/*.tgz")
    assert [plain(record) for record in everything(source)] == expected
    memory.rm("/shards", recursive=True)


# What goes wrong.


@pytest.mark.parametrize("served", [True, False], indirect=True, ids=["ranges", "no ranges"])
@pytest.mark.parametrize("ending", ["tar", "tgz"])
def test_a_lost_connection_ends_the_run_and_is_no_bad_row(served, impatient, ending):
    address, answers = served
    source = opened(f"{address}/shard-000.{ending}")
    reading = source.read(0)
    answers.breaks_off_after = 300
    with pytest.raises(DataError, match=r"connection is lost|cannot be opened") as caught:
        list(reading)
    assert "network" in caught.value.fix
    answers.breaks_off_after = None
    assert len(list(source.read(0))) == 10


def test_a_shard_that_is_not_there_is_named(served):
    with pytest.raises(DataError, match=r"shard-777\.tar cannot be opened"):
        list(opened(f"{served[0]}/shard-777.tar").read(0))
    with pytest.raises(DataError, match="no dataset can be loaded from"):
        opened(f"{served[0]}/none.parquet", "parquet")


def test_other_protocols_need_their_library_and_say_so():
    with pytest.raises(DataError, match="cannot be opened") as caught:
        list(opened("nonsense://host/a.tar").read(0))
    assert "nonsense" in str(caught.value.got)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=30), st.booleans())
def test_whatever_is_in_a_compressed_shard_gives_rows_or_named_reasons(folder, place, patch, cut):
    whole = (folder / "shard-000.tgz").read_bytes()
    path = folder / "fuzzed.tgz"
    path.write_bytes(whole[:place] if cut else whole[:place] + patch + whole[place + len(patch) :])
    records = everything(TarRows("web", [path]))
    for record in records:
        assert isinstance(record.content, dict) or (isinstance(record.content, RowError) and record.content.fix)


@pytest.mark.parametrize("ending", list(ENDINGS)[1:])
def test_a_compressed_shard_that_breaks_off_keeps_its_whole_rows_and_says_so(folder, ending):
    """The standard library takes the end of the compressed bytes, and a broken header, for the end of the shard."""
    path, how = folder / f"cut.{ending}", ENDINGS[ending]
    random_bytes = random.Random(0).randbytes
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[how]
    with tarfile.open(folder / "whole.tar", "w") as tar:
        for number in range(40):
            info = tarfile.TarInfo(f"{number:02}.png")
            info.size = 6_000
            tar.addfile(info, io.BytesIO(random_bytes(6_000)))
    whole = (folder / "whole.tar").read_bytes()
    header = whole.index(b"30.png")
    for content, least in (
        (pack(whole)[: len(whole) // 2], 15 if how == "gz" else 0),
        (pack(whole[:header] + b"junk" * 128 + whole[header + 512 :]), 30),
        (pack(whole[: header + 300]), 30),
        (pack(whole[: header + 512 + 300]), 30),
    ):
        path.write_bytes(content)
        records = everything(TarRows("web", [path]))
        assert least <= len(records) - 1 <= 30
        assert [record.content["images"][0] for record in records[:-1]] == [
            random_bytes_of(whole, number) for number in range(len(records) - 1)
        ]
        assert records[-1].content.reason == "broken file"
        assert next(TarRows("web", [path]).read(0, records[-1].place)).name == records[-1].name


def random_bytes_of(whole: bytes, number: int) -> bytes:
    start = whole.index(f"{number:02}.png".encode()) + 512
    return whole[start : start + 6_000]


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_with_a_negative_size_is_a_broken_shard_and_no_endless_reading(folder, packed):
    whole = bytearray((folder / "shard-000.tar").read_bytes())
    whole[124:136] = b"\xff" * 8 + (-1024 % 2**32).to_bytes(4, "big")
    whole[148:156] = b" " * 8
    whole[148:156] = f"{sum(whole[:512]):06o}\0 ".encode()
    path = folder / ("negative.tgz" if packed else "negative.tar")
    path.write_bytes(gzip.compress(bytes(whole)) if packed else bytes(whole))
    assert [record.content.reason for record in everything(TarRows("web", [path]))] == ["broken file"]


def test_a_file_that_is_too_large_to_be_kept_is_a_bad_row_and_the_next_is_read(folder, monkeypatch):
    monkeypatch.setattr("pixelword.data.tar_members.LONGEST", 1000)
    records = everything(opened(str(folder / "shard-000.tgz")))
    assert [record.content.reason for record in records] == ["broken file"] * 10
    assert "too large" in str(records[0].content)


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{008..011}.tar", ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]),
        ("{x,y}/{1..2}.tar", ["x/1.tar", "x/2.tar", "y/1.tar", "y/2.tar"]),
        ("{9..10}", ["9", "10"]),
    ],
)
def test_braces_are_ranges_and_choices(pattern, words):
    assert list(expanded(pattern)) == words


@pytest.mark.parametrize(
    "pattern", ["{5..1}", "{a}", "{}", "{0..9999999}", "{0..9999}{0..9999}", "{1..99999999999999999999}"]
)
def test_braces_that_mean_nothing_or_far_too_much_are_refused(pattern):
    with pytest.raises(ConfigError) as caught:
        list(expanded(pattern))
    assert caught.value.fix


def test_a_file_whose_name_has_braces_is_itself_and_a_web_server_lists_nothing(folder):
    (folder / "{odd}.tar").write_bytes((folder / "shard-000.tar").read_bytes())
    assert files_of(str(folder / "{odd}.tar"), (".tar",)) == [folder / "{odd}.tar"]
    (folder / "{odd}.tar").unlink()
    with pytest.raises(ConfigError, match="does not list its files"):
        opened("https://host/shard-*.tar")
