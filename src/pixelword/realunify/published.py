"""The published results (arXiv 2509.24897v2, tables 2 to 5) as data: the printed cells and what follows from them.

UEG was judged by Gemini 2.5 Pro, so a UEG row is comparable only with runs of that judge. GEU needs no judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from pixelword.realunify.taxonomy import ITEMS_PER_CATEGORY, Track

FILE = Path(__file__).with_name("published_results.json")


@dataclass(frozen=True)
class PublishedRow:
    """One row as printed.

    Args:
        kind: `proprietary_unified`, `open_unified`, `specialist_generation`, `specialist_understanding` or
            `specialist_pair`.
        protocol: `direct`, `stepwise` or `oracle_pair`.
        judge: who judged the pictures; None for GEU, whose letters are compared.
        cells: abbreviation -> right answers of the 100 items of the category.
        average: the printed average.
    """

    table: str
    model: str
    kind: str
    protocol: str
    track: Track
    judge: str | None
    cells: Mapping[str, int]
    average: str

    @property
    def exact_average(self) -> Fraction:
        """Mean of the category percentages."""
        return Fraction(100 * sum(self.cells.values()), ITEMS_PER_CATEGORY * len(self.cells))


@dataclass(frozen=True)
class PublishedTotal:
    """A printed total over both tracks."""

    model: str
    protocol: str
    total: str


@dataclass(frozen=True)
class JudgeRow:
    """Track averages of one model's pictures under one judge or under four people, whose marks were averaged."""

    judge: str
    model: str
    direct: str
    stepwise: str | None


@dataclass(frozen=True)
class Published:
    """Everything that the paper printed."""

    rows: tuple[PublishedRow, ...]
    totals: tuple[PublishedTotal, ...]
    judges: tuple[JudgeRow, ...]

    def row(self, model: str, protocol: str, track: Track) -> PublishedRow | None:
        """One row, or None: Nano Banana has no stepwise rows, and models that cannot edit have none for GEU."""
        wanted = (model, protocol, track)
        return next((row for row in self.rows if (row.model, row.protocol, row.track) == wanted), None)

    def total(self, model: str, protocol: str) -> Fraction | None:
        """Right answers of both tracks in percent of 1,000, from the cells; None when a track is absent."""
        tracks = [self.row(model, protocol, track) for track in Track]
        right = [sum(row.cells.values()) for row in tracks if row is not None]
        return Fraction(sum(right), 10) if len(right) == len(tracks) else None


@cache
def published() -> Published:
    """The published results."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Published(
        tuple(PublishedRow(**row | {"track": Track(row["track"])}) for row in content["rows"]),
        tuple(PublishedTotal(**row) for row in content["totals"]),
        tuple(JudgeRow(**row) for row in content["judges"]),
    )
