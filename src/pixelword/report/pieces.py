"""The plain pieces of a page: sentences, key figures, tables, listings, folded parts, pieces side by side.

A piece is a frozen value that names its template. Nothing is drawn before the page is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol

from pixelword.errors import InputError
from pixelword.report.statistics import Estimate, Proportion, format_count
from pixelword.report.words import Inline, Words, inlines

Tone = Literal["plain", "lead", "note", "good", "warning"]
Cell = Words | int | float | None


class Piece(Protocol):
    """Whatever a page can show: it names the template that shows it as `piece`."""

    @property
    def template(self) -> str: ...


@dataclass(frozen=True, init=False)
class Paragraph:
    """One paragraph, from parts: `Paragraph("It answered ", Proportion(187, 205), " of ", Code(kind), ".")`.

    Args:
        parts: text, inline values, measured numbers and whole sentences, in reading order.
        tone: `lead` opens a section, `note` is an aside, `good` and `warning` stand in a box.
    """

    parts: tuple[Inline, ...]
    tone: Tone
    template: ClassVar[str] = "paragraph.html"

    def __init__(self, *parts: Words, tone: Tone = "plain") -> None:
        object.__setattr__(self, "parts", tuple(inline for part in parts for inline in inlines(part)))
        object.__setattr__(self, "tone", tone)


@dataclass(frozen=True)
class Heading:
    """A heading inside a section; it does not enter the table of contents."""

    words: Words
    template: ClassVar[str] = "heading.html"


@dataclass(frozen=True)
class Tile:
    """One key figure: a number large, what it is small, and a note under it."""

    value: str | Estimate | Proportion
    label: Words
    note: Words = ""


@dataclass(frozen=True)
class Tiles:
    """Key figures in a row."""

    tiles: Sequence[Tile]
    template: ClassVar[str] = "tiles.html"


@dataclass(frozen=True)
class Table:
    """A table that scrolls inside itself where it is too wide.

    Numbers stand right-aligned: a column is numeric when all its filled cells are. None is an empty cell.

    Args:
        columns: the headings.
        rows: as many cells each; the first one heads its row.
        digits: digits after the point for every float.
        emphasize: numbers of rows to set off, such as a total.
    """

    columns: Sequence[Words]
    rows: Sequence[Sequence[Cell]]
    caption: Words = ""
    digits: int = 3
    emphasize: Sequence[int] = ()
    template: ClassVar[str] = "table.html"

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise InputError(
                    "each row of a table has one cell per column",
                    got=f"row {number} has {len(row)} cells under {len(self.columns)} columns",
                    fix="use None for an empty cell",
                )

    @cached_property
    def numeric(self) -> list[bool]:
        """For each column, whether it holds numbers and nothing else. Kept, because every cell asks for it."""
        return [holds_numbers([row[column] for row in self.rows]) for column in range(len(self.columns))]

    def show(self, cell: Cell) -> Words:
        """A cell as words: 12345 reads `12 345` (narrow spaces), floats get their digits, yes and no for booleans."""
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        if isinstance(cell, int):
            return format_count(cell)
        if isinstance(cell, float):
            return (
                f"{cell:.{self.digits}f}" if math.isfinite(cell) else "not a number" if math.isnan(cell) else str(cell)
            )
        return cell


def holds_numbers(cells: Sequence[Cell]) -> bool:
    filled = [cell for cell in cells if cell is not None]
    numbers = (int, float, Estimate, Proportion)
    return bool(filled) and all(isinstance(cell, numbers) and not isinstance(cell, bool) for cell in filled)


@dataclass(frozen=True)
class Listing:
    """Text exactly as it stands, in a fixed width."""

    text: str
    caption: Words = ""
    template: ClassVar[str] = "listing.html"


@dataclass(frozen=True)
class Fold:
    """Pieces behind a line that opens on a click, and in print."""

    summary: Words
    pieces: Sequence[Piece]
    opened: bool = False
    template: ClassVar[str] = "fold.html"


@dataclass(frozen=True)
class SideBySide:
    """Pieces next to each other where there is room, under each other where there is not.

    Args:
        narrowest: width in CSS pixels under which a piece takes a row of its own.
    """

    pieces: Sequence[Piece]
    narrowest: int = 300
    template: ClassVar[str] = "side_by_side.html"
