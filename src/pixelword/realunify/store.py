"""A run's folder: replies and items line by line, pictures by the hash of their bytes. Nothing in it is ever changed.

    replies.jsonl   every call that a model answered, written the moment it came
    items.jsonl     every finished item; of two lines for one item the later counts
    runs.jsonl      what each start of a run was asked to do, with which models, data and versions
    pictures/       ab/abcdef....png
    logs/           Inspect's own logs

A line is written with one call of the system, after the picture it names is in place. A process that is killed in
between leaves at most half a last line, which the next start cuts off.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field

from pixelword.config import Settings
from pixelword.errors import DataError
from pixelword.locks import LOCK, take_lock
from pixelword.realunify.picture_bytes import ENDINGS, read_header
from pixelword.realunify.records import FORMAT, Call, ItemRecord, StoredPicture, write_line
from pixelword.realunify.taxonomy import ItemId, Protocol

S = TypeVar("S", bound=Settings)

REPLIES, ITEMS, RUNS = "replies.jsonl", "items.jsonl", "runs.jsonl"


class DataRecord(Settings):
    """Which data a run was made from: no item of it, only where it lies and what it was."""

    source: str = Field(description="the folder, `mini`, or the name on the hub")
    folder: str
    revision: str = Field(default="", description="the commit on the hub")
    sha256: dict[str, str] = Field(default_factory=dict, description="file name -> hash")
    license_accepted: bool = False
    findings: tuple[str, ...] = ()
    mini: dict[str, int] = Field(default_factory=dict, description="seed, items per category and side of the mini")


class RunRecord(Settings):
    """One start of one task: what was to be asked. `expected` are the denominators of its scores."""

    format: int = FORMAT
    started: str
    track: str
    protocol: Protocol
    models: dict[str, str] = Field(description="role -> model as given on the command line")
    data: DataRecord
    expected: tuple[str, ...]
    settings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    scoring: str = "default"


ASKED = ("settings", "seed", "prompt_limit", "mode", "judge_wording", "judge_votes")
"""Settings of a run on which its replies or their reading depend."""


def difference(earlier: RunRecord, record: RunRecord) -> tuple[str, object] | None:
    """What keeps two starts from sharing a folder: in words, and what it was."""
    shared = set(earlier.data.sha256) & set(record.data.sha256)
    if changed := [name for name in sorted(shared) if earlier.data.sha256[name] != record.data.sha256[name]]:
        return "on other data", changed
    if (earlier.track, earlier.protocol) != (record.track, record.protocol):
        return None
    if earlier.models != record.models:
        return "of other models", f"{record.models}, earlier {earlier.models}"
    for name in ASKED:
        other = record.settings.get(name)
        one = earlier.settings.get(name, other)
        if one != other:
            return "with other settings", f"{name} {other}, earlier {one}"
    return None


def described(content: bytes) -> StoredPicture:
    """What is kept about a picture beside its bytes.

    Raises:
        ImageError: the bytes are no whole picture.
    """
    header = read_header(content)
    return StoredPicture(
        sha256=hashlib.sha256(content).hexdigest(),
        format=header.format,
        width=header.width,
        height=header.height,
        bytes=len(content),
    )


class Store:
    """The folder of a run, opened for reading, or for writing by one process at a time.

    Args:
        folder: made when it is opened for writing.

    Raises:
        DataError: a line in the middle of a file that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replies: dict[str, Call] = {}
        self.lock: int | None = None
        self.writers: dict[str, int] = {}
        self.starting: RunRecord | None = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Self:
        """Take the lock, mend what a killed process left, and read the replies.

        Raises:
            BackendError: another process is running in this folder.
        """
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.lock = take_lock(self.folder / LOCK)
        for name in (REPLIES, RUNS, *(file.name for file in self.folder.glob("items*.jsonl"))):
            cut_half_line(self.folder / name)
        self.replies = {call.key: call for call in self.calls()}
        return self

    def close(self) -> None:
        """Give the lock back."""
        for writer in self.writers.values():
            os.close(writer)
        self.writers.clear()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def append(self, name: str, record: Settings) -> None:
        """Write one line. It is whole or absent, whenever the process dies."""
        if name not in self.writers:
            self.writers[name] = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        line = write_line(record)
        while line:
            line = line[os.write(self.writers[name], line) :]

    def keep_call(self, call: Call) -> None:
        """Store a call that the model answered; a failure on the way is not kept and will be asked again."""
        if call.answered and call.key not in self.replies:
            self.written_down()
            self.append(REPLIES, call)
            self.replies[call.key] = call

    def keep_item(self, record: ItemRecord) -> None:
        self.written_down()
        self.append(items_file(record.scoring), record)

    def keep_run(self, record: RunRecord) -> None:
        self.append(RUNS, record)

    def begin(self, record: RunRecord) -> None:
        """Announce a start of a task; it is written down before the first reply or item of it.

        So a start that is stopped by a wrong setting before anything came of it does not bind the folder.

        Raises:
            DataError: it would mix its items with those of other data, models or settings.
        """
        self.starting = None
        self.check_same(record)
        self.starting = record

    def written_down(self) -> None:
        if self.starting is not None:
            record, self.starting = self.starting, None
            self.keep_run(record)

    def check_same(self, record: RunRecord) -> None:
        """Compare with the earlier starts of which something came.

        Raises:
            DataError: says what was different in an earlier start of the same track and protocol.
        """
        for earlier in self.runs():
            what = difference(earlier, record)
            if what is not None and self.came_of(earlier):
                raise DataError(
                    f"this folder holds a run {what[0]}",
                    got=what[1],
                    fix="give another folder; for another judge use `pixelword realunify score`",
                )

    def came_of(self, start: RunRecord) -> bool:
        """Whether a model answered for any item of a start's track and protocol."""
        return any(
            (record.track, record.protocol) == (start.track, start.protocol)
            and any(call.answered for call in record.calls)
            for record in self.items().values()
        )

    def keep_picture(self, content: bytes) -> StoredPicture:
        """Store a picture under the hash of its bytes.

        Raises:
            ImageError: the bytes are no whole picture.
        """
        picture = described(content)
        path = self.path(picture)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            # Two tasks may write the same picture at once; each has a name of its own until it is whole.
            draft = path.with_name(f".{path.name}.{os.getpid()}.{id(picture)}")
            draft.write_bytes(content)
            draft.replace(path)
        return picture

    def path(self, picture: StoredPicture) -> Path:
        """Where a picture lies."""
        name = f"{picture.sha256}.{ENDINGS[picture.format]}"
        return self.folder / "pictures" / picture.sha256[:2] / name

    def calls(self) -> Iterator[Call]:
        return lines(self.folder / REPLIES, Call)

    def runs(self) -> list[RunRecord]:
        return list(lines(self.folder / RUNS, RunRecord))

    def items(self, scoring: str = "default") -> dict[tuple[str, Protocol, int], ItemRecord]:
        """(item, protocol, sample) -> its record, the latest of each."""
        return {record.key: record for record in lines(self.folder / items_file(scoring), ItemRecord)}

    def scorings(self) -> list[str]:
        """Names of the scorings in this folder, the run's own first."""
        named = sorted(file.stem.removeprefix("items-") for file in self.folder.glob("items-*.jsonl"))
        return ["default", *named]

    def expected(self, protocol: Protocol) -> frozenset[ItemId]:
        """The items that the latest start of each track was to ask under a protocol."""
        latest = {run.track: run for run in self.runs() if run.protocol == protocol}
        return frozenset(ItemId.read(item) for run in latest.values() for item in run.expected)


def items_file(scoring: str) -> str:
    return ITEMS if scoring == "default" else f"items-{scoring}.jsonl"


def lines(path: Path, record: type[S]) -> Iterator[S]:
    """The records of a file; half a last line, which a killed process left, is passed over.

    Raises:
        DataError: a whole line that is not JSON. What is JSON and no such record raises ConfigError.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                values = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"line {number} of {path} is not JSON", got=line[:80], fix="restore the file, or remove that line"
                ) from error
            yield record.model_validate(values)


def cut_half_line(path: Path) -> None:
    """Cut off what follows the last line break."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = place = file.seek(0, os.SEEK_END)
        while place > 0:
            start = max(0, place - 65536)
            file.seek(start)
            found = file.read(place - start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place < end:
            file.truncate(place)


def results_of(records: Iterable[ItemRecord], protocol: Protocol, sample: int = 0) -> list[Any]:
    """The results of one protocol and sample, for the scores."""
    return [record.result() for record in records if record.protocol == protocol and record.sample == sample]
