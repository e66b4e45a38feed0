"""What a page is about: runs, and in each run the protocols it was made under."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from pixelword.errors import DataError
from pixelword.realunify.page.half_lines import checked_rewrites, half_written
from pixelword.realunify.records import ItemRecord, StoredPicture
from pixelword.realunify.results import ItemResult
from pixelword.realunify.scores import ScoreTable, score_table
from pixelword.realunify.store import RunRecord, Store
from pixelword.realunify.taxonomy import ItemId, Protocol, Track, categories_of

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class Arm:
    """One run under one protocol, first samples only.

    Args:
        expected: the denominators; blocked items are in neither these nor the records.
        further_samples: records of second and later samples, which the page counts and leaves out.
        allow_incomplete: show averages though items wait for the judge; these count as wrong.
    """

    run: str
    protocol: Protocol
    records: Mapping[ItemId, ItemRecord]
    expected: frozenset[ItemId]
    further_samples: int = 0
    allow_incomplete: bool = False

    @cached_property
    def results(self) -> list[ItemResult]:
        return [record.result() for record in self.records.values()]

    @cached_property
    def table(self) -> ScoreTable:
        return score_table(self.results, self.expected, self.protocol)

    def headline(self, track: Track | None = None) -> str | None:
        """The printed average of a track, or the total; None where there is none to print."""
        return self.table.headline(track, allow_incomplete=self.allow_incomplete)

    def of(self, track: Track) -> list[ItemResult]:
        return [result for result in self.results if result.item.track == track]

    def categories(self, track: Track) -> list[str]:
        return [name for name in categories_of(track) if name in self.table.categories]

    @property
    def tracks(self) -> list[Track]:
        return [track for track in Track if self.categories(track)]


class GivenPictures:
    """Pictures of the data, found by their hash; only files of the right size are read for it."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.by_size: dict[int, list[Path]] = {}
        for path in (path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in ENDINGS):
            self.by_size.setdefault(path.stat().st_size, []).append(path)

    def find(self, picture: StoredPicture) -> Path | None:
        """The file of a picture, or None."""
        candidates = self.by_size.get(picture.bytes, ())
        return next((path for path in candidates if sha256(path.read_bytes()).hexdigest() == picture.sha256), None)


@dataclass(frozen=True)
class EvaluatedRun:
    """A run's folder, read.

    Args:
        name: what the page calls it.
        starts: what each start was asked to do, the latest last.
        half_written: files whose last line is only half there.
    """

    name: str
    folder: Path
    starts: Sequence[RunRecord]
    arms: Mapping[Protocol, Arm]
    blocked: Mapping[ItemId, str]
    half_written: Sequence[str] = ()

    def path(self, picture: StoredPicture) -> Path:
        """Where one of its pictures lies: in the run's folder, or among the data it was made from."""
        stored = Store(self.folder).path(picture)
        return stored if stored.exists() else self.given_pictures.find(picture) or stored

    @cached_property
    def given_pictures(self) -> GivenPictures:
        folders = {Path(start.data.folder) for start in self.starts if start.data.folder}
        return GivenPictures(sorted(folder for folder in folders if folder.is_dir()))

    @property
    def models(self) -> dict[str, str]:
        """Role -> model, of the latest start that names one."""
        return {role: model for start in self.starts for role, model in start.models.items() if model}

    def model(self, role: str) -> str:
        """The model of a role; one model may have all of them."""
        return self.models.get(role) or self.models.get("model", "")

    @property
    def is_mini(self) -> bool:
        """Whether all its items are our own, which anybody may show."""
        return bool(self.starts) and all(start.data.source == "mini" for start in self.starts)

    @property
    def records(self) -> list[ItemRecord]:
        return [record for arm in self.arms.values() for record in arm.records.values()]

    @property
    def judges(self) -> list[str]:
        """Judge and wording of every vote that was cast."""
        votes = (vote for record in self.records for polled in record.polled for vote in polled.votes)
        return sorted({f"{vote.judge} ({vote.prompt_version})" for vote in votes})


def read_run(
    folder: Path, name: str = "", *, scoring: str = "default", blocked: Mapping[ItemId, str] | None = None
) -> EvaluatedRun:
    """Read a run's folder.

    Raises:
        DataError: there is no run in it, or none of this scoring.
    """
    store = Store(folder)
    records = with_checked_rewrites(list(store.items(scoring).values()), folder)
    if not records:
        raise DataError(
            "there are no finished items in this folder",
            got=f"{folder}, scoring {scoring}",
            fix="give the folder of a run; its scorings are " + ", ".join(store.scorings()),
        )
    left_out = dict(blocked or {})
    arms = {
        protocol: arm_of(name or folder.name, protocol, records, store.expected(protocol), left_out)
        for protocol in Protocol
        if any(record.protocol == protocol for record in records)
    }
    return EvaluatedRun(name or folder.name, folder, store.runs(), arms, left_out, half_written(folder))


def with_checked_rewrites(records: list[ItemRecord], folder: Path) -> list[ItemRecord]:
    """The records with what a text judge said of their rewritten prompts, if it is still the same text."""
    checked = checked_rewrites(folder)
    found = []
    for record in records:
        said = checked.get((record.item, record.sample)) if record.protocol == Protocol.STEPWISE else None
        told = said is not None and said.rewritten == record.rewritten and record.stage_one_right is None
        found.append(record.model_copy(update={"stage_one_right": said.right}) if told and said else record)
    return found


def arm_of(
    run: str,
    protocol: Protocol,
    records: Sequence[ItemRecord],
    expected: Collection[ItemId],
    blocked: Collection[ItemId],
) -> Arm:
    """The first samples of one protocol; without a written start, what is there is what was expected."""
    mine = [record for record in records if record.protocol == protocol]
    first = {record.id: record for record in mine if record.sample == 0}
    wanted = frozenset(expected or first) - frozenset(blocked)
    kept = {item: first[item] for item in sorted(first) if item in wanted}
    return Arm(run, protocol, kept, wanted, len(mine) - len(first))


def with_incomplete(run: EvaluatedRun) -> EvaluatedRun:
    """The run with averages though items wait for the judge."""
    return replace(run, arms={protocol: replace(arm, allow_incomplete=True) for protocol, arm in run.arms.items()})


def read_runs(
    folders: Sequence[Path], *, scoring: str = "default", blocked: Mapping[ItemId, str] | None = None
) -> list[EvaluatedRun]:
    """Several runs, each with a name of its own: that of its folder, with a number where two are the same."""
    names: list[str] = []
    for folder in folders:
        plain = folder.resolve().name
        number = sum(name.partition(" (")[0] == plain for name in names)
        names.append(f"{plain} ({number + 1})" if number else plain)
    return [
        read_run(folder, name, scoring=scoring, blocked=blocked) for folder, name in zip(folders, names, strict=True)
    ]
