"""Finished files in the released layout as a run's folder, which `report`, `compare` and `score` then read.

What such a file does not say stays unsaid: which model, which judge, what it replied to each question. A UEG row
without a score waits for the judge, and `pixelword realunify score` judges its picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pixelword.errors import DataError, ImageError
from pixelword.realunify.dataset import Benchmark, ChoiceItem, DrawingItem, read_benchmark
from pixelword.realunify.letters import read_letter
from pixelword.realunify.paths import inside
from pixelword.realunify.records import Call, ItemRecord, Outcome, Polled, StoredPicture, text_sha256
from pixelword.realunify.released import import_results, item_of, read_rows
from pixelword.realunify.results import ItemResult
from pixelword.realunify.store import DataRecord, RunRecord, Store, described
from pixelword.realunify.taxonomy import ItemId, Protocol, Status, Track

IMPORTED = "imported"
"""Among the settings of a start: the files it was read from, with their hashes."""

NOT_JUDGED = "imported without a score; pixelword realunify score judges its picture"


@dataclass(frozen=True)
class FinishedFile:
    """One finished file of one protocol. Its pictures are looked for below its folder."""

    path: Path
    protocol: Protocol


def import_run(folder: Path, files: Sequence[FinishedFile], data: Path, model: str) -> list[str]:
    """Write finished files into a new run's folder.

    Args:
        data: folder with the benchmark's files, which has the denominators.
        model: its name; the files do not say it.

    Returns:
        What is odd about the files, one line each.

    Raises:
        DataError: the folder holds a run already, or a file cannot be read.
    """
    benchmark = read_benchmark(data)
    findings: list[str] = []
    with Store(folder) as store:
        if store.items():
            raise DataError(
                "this folder holds a run already", got=folder, fix="import into a new folder, or report it as it is"
            )
        for file in files:
            imported = FileImport(store, file, benchmark, model)
            records = list(imported.records())
            for track in sorted({record.track for record in records}):
                store.keep_run(imported.start(Track(track)))
            for record in records:
                store.keep_item(record)
            findings += imported.findings
    return findings


class FileImport:
    """The rows of one finished file as records."""

    def __init__(self, store: Store, file: FinishedFile, benchmark: Benchmark, model: str) -> None:
        self.store, self.file, self.benchmark, self.model = store, file, benchmark, model
        self.items: dict[ItemId, DrawingItem | ChoiceItem] = {item.id: item for item in benchmark.drawing}
        self.items |= {item.id: item for item in benchmark.choice}
        found = import_results(file.path, benchmark, file.protocol)
        self.results = {result.item: result for result in found.results}
        self.findings = [str(finding) for finding in found.findings]
        self.sha256 = hashlib.sha256(file.path.read_bytes()).hexdigest()

    def start(self, track: Track) -> RunRecord:
        """What the records say they were asked: everything of their track."""
        return RunRecord(
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            track=track,
            protocol=self.file.protocol,
            models={"model": self.model} if self.model else {},
            data=DataRecord(
                source="folder",
                folder=str(self.benchmark.folder.resolve()),
                sha256=dict(self.benchmark.sha256),
                findings=tuple(self.findings),
            ),
            expected=tuple(str(item) for item in sorted(self.benchmark.expected) if item.track == track),
            settings={IMPORTED: {self.file.path.name: self.sha256}},
        )

    def records(self) -> Iterator[ItemRecord]:
        """One for each row that is an item, the first of each."""
        seen: set[ItemId] = set()
        for row in read_rows(self.file.path):
            item = item_of(row, self.items)
            if item is not None and item.id not in seen:
                seen.add(item.id)
                yield self.drawn(item, row) if isinstance(item, DrawingItem) else self.chosen(item, row)

    def facts(self, item: DrawingItem | ChoiceItem) -> dict[str, Any]:
        return {
            "item": str(item.id),
            "category": item.id.category,
            "track": item.id.track.value,
            "protocol": self.file.protocol,
            "subtask": item.subtask,
        }

    def drawn(self, item: DrawingItem, row: Mapping[str, Any]) -> ItemRecord:
        """A UEG row: its score, or the questions that its picture waits to be asked."""
        rewritten = row.get("response") if self.file.protocol != Protocol.DIRECT else None
        picture, note = self.picture(row.get("generated_image"), keep=True)
        result = self.results.get(item.id)
        status, right = (result.status, result.right) if result is not None else (Status.JUDGE_FAILED, None)
        polled: tuple[Polled, ...] = ()
        if result is None and picture is None:
            status = Status.IMAGE_UNREADABLE if "missing" not in note else Status.IMAGE_MISSING
        elif result is None:
            note = NOT_JUDGED
            polled = tuple(
                Polled.model_validate(
                    {"question": each.question, "expected": each.answer, "verdict": None, "votes": ()}
                )
                for each in item.questions
            )
        return ItemRecord(
            **self.facts(item),
            status=status,
            right=right,
            prompt=item.prompt or "",
            rewritten=rewritten if isinstance(rewritten, str) else None,
            picture=picture,
            polled=polled,
            note=note,
        )

    def chosen(self, item: ChoiceItem, row: Mapping[str, Any]) -> ItemRecord:
        """A GEU row: its reply, read strictly."""
        reply = row.get("response")
        reply = reply[0] if isinstance(reply, list) and reply else reply
        result: ItemResult = self.results[item.id]
        edited, note = (None, "")
        if self.file.protocol != Protocol.DIRECT:
            edited, note = self.picture(row.get("edit_image"), keep=True)
        source, _ = self.stored(item.image, keep=False)
        return ItemRecord(
            **self.facts(item),
            status=result.status,
            right=result.right,
            prompt=item.evaluation_prompt,
            options=item.options,
            answer=item.answer,
            read=read_letter(reply, mode="strict", options=item.options) if isinstance(reply, str) else None,
            source=source,
            intermediate=edited,
            calls=(self.call(item.evaluation_prompt, reply),) if isinstance(reply, str) else (),
            note=note if isinstance(reply, str) else "no reply in the file",
        )

    def call(self, prompt: str, reply: str) -> Call:
        """A reply as the call that it came from, as far as it is known."""
        return Call(
            key=text_sha256(f"{self.sha256} {self.model} {prompt} {reply}"),
            role="understander",
            operation="understand",
            model=self.model,
            prompt=prompt,
            outcome=Outcome.REPLY,
            text=reply,
            text_sha256=text_sha256(reply),
        )

    def picture(self, name: object, *, keep: bool) -> tuple[StoredPicture | None, str]:
        """The picture that a row names, or why there is none."""
        if not isinstance(name, str) or not name.strip():
            return None, "picture missing: the row names none"
        try:
            path = inside(self.file.path.parent, name)
        except DataError:
            return None, "picture unread: its path leads out of the folder of the file"
        return self.stored(path, keep=keep)

    def stored(self, path: Path, *, keep: bool) -> tuple[StoredPicture | None, str]:
        """A picture by its hash, put into the run where it is the model's own."""
        try:
            content = path.read_bytes()
        except OSError:
            return None, f"picture missing: {path.name}"
        try:
            return (self.store.keep_picture(content) if keep else described(content)), ""
        except ImageError as error:
            return None, f"picture unread: {error.what}"
