"""Where a run's items come from: a local folder, the home of the benchmark on the hub, or the mini."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelword.errors import ConfigError, DataError
from pixelword.realunify.dataset import Benchmark, ChoiceItem, DrawingItem, read_benchmark
from pixelword.realunify.mini import write_mini
from pixelword.realunify.protocols import has_gold
from pixelword.realunify.store import DataRecord
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Track

HOME = "DogNeverSleep/RealUnify"

TERMS = (
    "RealUnify's data is for academic research only; commercial use of any kind is prohibited; the rights to "
    "the images stay with their owners; without prior approval nobody may distribute, publish, copy or modify it."
)

FILES = ("UEG_direct.json", "UEG_step.json", "GEU_direct.json", "GEU_step.json", "image/**")


@dataclass(frozen=True)
class Source:
    """Items with the record of where they come from."""

    benchmark: Benchmark
    record: DataRecord


@dataclass(frozen=True)
class MiniSize:
    """Which mini: items per category, seed, and side of the pictures in pixels."""

    number: int = 20
    seed: int = 0
    side: int = 256


def read_source(
    data: str, run: Path, mini: MiniSize, *, accept_license: bool = False, revision: str = "", strict: bool = False
) -> Source:
    """The items that `data` names.

    Args:
        data: `mini`, `hub`, or a folder with the four files.
        run: the run's folder, in which the mini is drawn.

    Raises:
        DataError: no such folder, or the hub cannot be reached or refuses.
        ConfigError: the licence was not accepted.
    """
    if data == "mini":
        folder = drawn_mini(run, mini)
        facts: dict[str, Any] = {
            "source": "mini",
            "mini": {"number": mini.number, "seed": mini.seed, "side": mini.side},
        }
    elif data == "hub":
        folder, commit = fetch(accept_license=accept_license, revision=revision)
        facts = {"source": HOME, "revision": commit, "license_accepted": True}
    else:
        folder = Path(data)
        if not folder.is_dir():
            raise DataError("there is no such data folder", got=data, fix="give a folder, `hub`, or `mini`")
        facts = {"source": "folder", "license_accepted": accept_license}
    benchmark = read_benchmark(folder, strict=strict)
    # One hundred items in each category is a rule of the benchmark, not of the mini.
    findings = () if data == "mini" else tuple(map(str, benchmark.findings))
    record = DataRecord(folder=str(folder), sha256=dict(benchmark.sha256), findings=findings, **facts)
    return Source(benchmark, record)


def drawn_mini(run: Path, mini: MiniSize) -> Path:
    """The folder of a mini, drawn unless it is there."""
    if mini.number < 1:
        raise ConfigError("a mini has at least one item in each category", got=mini.number, fix="raise --mini-number")
    folder = run / f"mini-{mini.number}-{mini.seed}-{mini.side}"
    if not folder.is_dir():
        draft = folder.with_name(f".{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)
        write_mini(draft, mini.number, seed=mini.seed, side=mini.side)
        draft.rename(folder)
    return folder


def fetch(*, accept_license: bool, revision: str = "") -> tuple[Path, str]:
    """Download the benchmark from its home into the hub's own cache.

    Returns:
        The folder, and the commit it is from.

    Raises:
        ConfigError: the licence was not accepted.
        DataError: the hub cannot be reached, or refuses.
    """
    if not accept_license:
        raise ConfigError("the data has terms of its own", got=TERMS, fix="if you agree, add --accept-data-license")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        path = snapshot_download(HOME, repo_type="dataset", revision=revision or None, allow_patterns=list(FILES))
    except GatedRepoError as error:
        raise DataError(
            f"{HOME} asks for permission", got=first_line(error), fix="ask for it on its page and log in to the hub"
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(f"{HOME} has no such revision", got=revision, fix="give a commit or leave it away") from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"{HOME} is not on the hub, or hidden from you", got=first_line(error), fix="give a local folder"
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise DataError(
            "the hub cannot be reached", got=first_line(error), fix="go online, or give a local folder with --data"
        ) from error
    commit = Path(path).name
    return Path(path), commit if re.fullmatch(r"[0-9a-f]{40}", commit) else revision


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def chosen(
    benchmark: Benchmark,
    track: Track,
    protocol: Protocol,
    *,
    limit: int | None = None,
    categories: Collection[str] = (),
) -> tuple[list[DrawingItem | ChoiceItem], list[ItemId]]:
    """The items of a track to ask, and those expected, unusable rows included.

    Args:
        limit: items of each category, the first by number.
        categories: only these; all by default.

    Raises:
        ConfigError: none is left.
    """
    everything: list[DrawingItem | ChoiceItem] = [*(benchmark.drawing if track == Track.UEG else benchmark.choice)]
    expected = sorted(item for item in benchmark.expected if item.track == track)
    if protocol == Protocol.ORACLE_INTERMEDIATE:
        everything = [item for item in everything if has_gold(item)]
        expected = sorted(item.id for item in everything)
    if strangers := set(categories) - set(CATEGORIES):
        raise ConfigError("no such category", got=sorted(strangers), fix=f"known: {', '.join(CATEGORIES)}")
    kept: set[ItemId] = set()
    for name in CATEGORIES:
        if not categories or name in categories:
            kept |= set([item for item in expected if item.category == name][:limit])
    if not kept:
        raise ConfigError(
            f"the data has no item of {track} for this",
            got=protocol,
            fix="true intermediates come with the mini only; check --data and the categories",
        )
    return [item for item in everything if item.id in kept], sorted(kept)
