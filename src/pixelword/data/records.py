"""Rows as they are read, the rows that cannot be used, and what a reader has to offer.

A source is read block by block (a range of bytes, a row group, a shard), so that opening it costs nothing and every
row has an address: its block and its place inside. A row that is bad is named and counted; nothing takes its place.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from pixelword.errors import DataError

logger = logging.getLogger(__name__)

Reason: TypeAlias = Literal[
    "invalid JSON",
    "byte order mark",
    "no row",
    "broken file",
    "missing file",
    "broken image",
    "broken video",
    "outside the data root",
    "counts differ",
    "empty answer",
    "bad conversation",
    "too long",
]


class RowError(DataError):
    """A row that cannot be used; `reason` is what it is counted under."""

    def __init__(self, what: str, *, reason: Reason = "no row", got: object = None, fix: str = "") -> None:
        super().__init__(what, got=got, fix=fix or "mend the row or leave it out")
        self.reason: Reason = reason


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        source: name of the source.
        block, place: its address; reading the block from the place on gives this row first.
        name: how messages call it.
        content: its fields, or why it cannot be read.
        root: the folder that its files must lie in; None where it may name none.
    """

    source: str
    block: int
    place: int
    name: str
    content: Mapping[str, Any] | RowError
    root: Path | None = None


class Source(Protocol):
    """What can be read."""

    @property
    def name(self) -> str: ...

    @property
    def parts(self) -> str:
        """What its blocks are called, where passing over rows is dear; empty where it is cheap."""
        ...

    def blocks(self) -> int:
        """Number of blocks; cheap, no row is read for it."""
        ...

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """The rows of a block in order, from the place `start` on; bad ones among them."""
        ...

    def fingerprint(self) -> str:
        """Changes when the data does, as far as can be seen without reading it."""
        ...


@dataclass
class BadRows:
    """Counts and logs the rows that cannot be used.

    Args:
        policy: "skip" goes on without the row, "fail" raises its error.

    Attributes:
        counts: source -> reason -> rows.
        silent: counts only; for a look ahead at rows that are read once more.
    """

    policy: Literal["skip", "fail"] = "skip"
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    silent: bool = False

    def report(self, source: str, name: str, error: RowError) -> None:
        """Count a row.

        Raises:
            RowError: `error` itself, by the policy "fail".
        """
        self.counts.setdefault(source, Counter())[error.reason] += 1
        if self.policy == "fail":
            raise error
        if not self.silent:
            logger.warning("row left out: %s: %s: %s", name, error.reason, " ".join(str(error).split()))

    @property
    def total(self) -> int:
        return sum(sum(reasons.values()) for reasons in self.counts.values())

    def state(self) -> dict[str, dict[str, int]]:
        return {source: dict(reasons) for source, reasons in self.counts.items()}

    def load(self, state: Mapping[str, Mapping[str, int]]) -> None:
        self.counts = {source: Counter(reasons) for source, reasons in state.items()}
