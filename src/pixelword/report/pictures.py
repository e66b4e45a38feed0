"""Pictures with captions, and a gallery of answers with the mistakes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pixelword.errors import InputError
from pixelword.report.images import Encoded, encode
from pixelword.report.words import Words, plain

if TYPE_CHECKING:
    from pixelword.report.images import Source
    from pixelword.report.pieces import Piece

THUMBNAIL = 320  # longest side of a gallery picture; 1,000 of them stay under 30 MB
AT_ONCE = 100  # cards whose pictures a browser reads when it opens the page; those of a larger gallery wait for the eye


@dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        source: Pillow image, array of 8-bit pixels, encoded bytes or a file.
        alt: what it shows, for those who do not see it; the caption when empty.
        max_side: stored pixels of the longer side at most.
        width: CSS pixels it is shown at, at most; by default its own size, small ones enlarged.
    """

    source: Source
    caption: Words = ""
    alt: str = ""
    max_side: int = 1024
    width: int | None = None
    template: ClassVar[str] = "picture.html"

    @cached_property
    def encoded(self) -> Encoded:
        return encode(self.source, self.max_side)

    @property
    def shown_width(self) -> int:
        """CSS pixels; a tiny picture is enlarged by a whole factor so that its pixels stay square."""
        if self.width is not None:
            return self.width
        return self.encoded.width * max(1, 240 // max(self.encoded.width, self.encoded.height))

    @property
    def description(self) -> str:
        return self.alt or plain(self.caption)


@dataclass(frozen=True)
class Answer:
    """One line under a gallery picture: what was asked, what came back, what is true, whether that is right.

    Args:
        right: None where it cannot be judged; that is neither right nor wrong.
        truth: shown where the answer is not right.
    """

    question: Words
    reply: Words
    truth: Words = ""
    right: bool | None = None


@dataclass(frozen=True)
class Card:
    """One gallery picture with its answers; wrong when any of them is.

    Args:
        picture: None where there is none to show, such as a drawing that was refused.
        tags: what the reader can filter by, such as the kinds of the questions.
        more: pieces shown when the card is unfolded.
        beside: further pictures next to the first, such as what a second run drew.
        facets: further filters, each by its name: the value that this card has in it.
    """

    picture: Picture | None
    answers: Sequence[Answer] = ()
    title: Words = ""
    tags: Sequence[str] = ()
    more: Sequence[Piece] = ()
    beside: Sequence[Picture] = ()
    facets: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Picture]:
        return [*([self.picture] if self.picture is not None else []), *self.beside]

    @property
    def verdict(self) -> str:
        """`wrong`, `right` or `open`."""
        if any(answer.right is False for answer in self.answers):
            return "wrong"
        return "right" if self.answers and all(answer.right for answer in self.answers) else "open"


@dataclass(frozen=True)
class Gallery:
    """Cards in a grid, mistakes first, with filters by verdict and by tag that need no script.

    Args:
        narrowest: how narrow a card may get, in CSS pixels.
        wide: on a phone one card fills a row, where two would by default.
    """

    cards: Sequence[Card]
    caption: Words = ""
    narrowest: int = 220
    wide: bool = False
    template: ClassVar[str] = "gallery.html"

    def __post_init__(self) -> None:
        if self.narrowest < 1:
            raise InputError("a card needs a width", got=self.narrowest, fix="use about 220 CSS pixels")

    @property
    def lazy(self) -> bool:
        """Whether pictures are read when the reader comes near them: 1,000 cards then open in a third less time."""
        return len(self.cards) > AT_ONCE

    @property
    def ordered(self) -> list[Card]:
        """Wrong, then open, then right; the given order within each."""
        return sorted(self.cards, key=lambda card: ("wrong", "open", "right").index(card.verdict))

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """Verdicts that occur, with their numbers of cards."""
        counts = [
            (verdict, sum(card.verdict == verdict for card in self.cards)) for verdict in ("wrong", "open", "right")
        ]
        return [(verdict, count) for verdict, count in counts if count]

    @property
    def tags(self) -> list[tuple[str, int]]:
        """Tags in order of first appearance, with their numbers of cards."""
        counts: dict[str, int] = {}
        for card in self.cards:
            for tag in dict.fromkeys(card.tags):
                counts[tag] = counts.get(tag, 0) + 1
        return list(counts.items())

    @property
    def facets(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """Name of each facet with its values and their numbers of cards, in order of first appearance."""
        counts: dict[str, dict[str, int]] = {}
        for card in self.cards:
            for name, value in card.facets.items():
                values = counts.setdefault(name, {})
                values[value] = values.get(value, 0) + 1
        return [(name, list(values.items())) for name, values in counts.items() if len(values) > 1]

    @property
    def facet_numbers(self) -> dict[tuple[str, str], str]:
        """(facet, value) -> the end of its class on this gallery's cards."""
        return {
            (name, value): f"f{row}_{column}"
            for row, (name, values) in enumerate(self.facets)
            for column, (value, _) in enumerate(values)
        }
