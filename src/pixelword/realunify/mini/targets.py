"""What a right picture of a drawing item shows: these things, nothing else, and sometimes their order or place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pixelword.realunify.mini.vocabulary import several

Order = Literal["", "left to right", "top to bottom"]
Place = Literal["", "top", "bottom", "left", "right"]


class Thing(NamedTuple):
    """A coloured shape."""

    color: str
    shape: str

    def __str__(self) -> str:
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Target:
    """Exactly these things on a plain background.

    Args:
        things: with multiplicity; in their order where `order` is set.
        order: the axis along which the centres follow each other.
        place: the third of the picture in which every centre lies.
    """

    things: tuple[Thing, ...]
    order: Order = ""
    place: Place = ""

    @property
    def counts(self) -> Counter[Thing]:
        return Counter(self.things)


def in_words(target: Target) -> str:
    """The gold rewrite: a prompt that says what to draw and leaves nothing to work out."""
    if target.order:
        what = f"Draw in one line from {target.order}: {', '.join(f'a {thing}' for thing in target.things)}."
    else:
        what = "Draw exactly " + " and ".join(several(n, *thing) for thing, n in target.counts.items())
        what += f" in the {target.place} part of the picture." if target.place else "."
    return f"{what} Nothing else on a plain white background, nothing touching."
