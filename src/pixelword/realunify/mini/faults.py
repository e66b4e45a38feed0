"""Pictures with one fault: one thing missing, too many, of another colour or shape, in another order or place."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from pixelword.realunify.mini.drawing import Layout, Placed
from pixelword.realunify.mini.targets import Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES

FAULTS = ("missing", "extra", "twin", "recoloured", "reshaped", "swapped", "moved")


def faults_of(target: Target) -> tuple[str, ...]:
    """The faults that make a right picture of this target wrong."""
    possible = ["missing", "extra", "twin", "recoloured", "reshaped"]
    if target.order and len(target.counts) > 1:
        possible.append("swapped")
    if target.place:
        possible.append("moved")
    return tuple(possible)


def with_fault(layout: Layout, fault: str, random: Random) -> Layout:
    """A layout with one fault; see `faults_of` for those that apply."""
    placed = list(layout.placed)
    number = random.randrange(len(placed))
    thing = placed[number].thing
    if fault == "missing":
        return replace(layout, placed=tuple(placed[:number] + placed[number + 1 :]))
    if fault == "extra":
        stranger = Thing(random.choice(list(COLORS)), random.choice(SHAPES))
        return replace(layout, placed=(*placed, Placed(stranger, *random.choice(layout.free))))
    if fault == "twin":
        return replace(layout, placed=(*placed, Placed(thing, *random.choice(layout.free))))
    if fault == "recoloured":
        color = random.choice([color for color in COLORS if color != thing.color])
        return layout.with_thing(number, Thing(color, thing.shape))
    if fault == "reshaped":
        shape = random.choice([shape for shape in SHAPES if shape != thing.shape])
        return layout.with_thing(number, Thing(thing.color, shape))
    if fault == "swapped":
        pairs = [(i, j) for i in range(len(placed)) for j in range(i) if placed[i].thing != placed[j].thing]
        one, other = random.choice(pairs)
        return layout.with_thing(one, placed[other].thing).with_thing(other, placed[one].thing)
    if fault == "moved":
        # Turned about the middle: what was in the top third is in the bottom third.
        turned = replace(placed[number], x=1 - placed[number].x, y=1 - placed[number].y)
        return replace(layout, placed=(*placed[:number], turned, *placed[number + 1 :]))
    raise AssertionError(f"no fault {fault!r}")
