"""Captions: every object of a scene named by colour, shape and region.

Two orders, because each teaches another look-up. Reading order (`list`) makes the place the key: the next object is
the one that comes next on the picture. Random order (`describe`) makes content the key: after an unpredictable first
word the others follow from finding that object; a coin decides whether colour or shape comes first.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from pixelword.world.scene import COLORS, REGIONS, SHAPES, Object, Scene, pick, shuffled

LIST, DESCRIBE = "list", "describe"
"""The requests for a caption in reading order and in random order."""


def caption(scene: Scene, request: str, random: Random) -> str:
    """A caption such as `red circle top-left , blue cross center`.

    Args:
        request: `list` for reading order (by region, then from left to right), `describe` for random order.
        random: decides the order and the coin of `describe`; not used by `list`.
    """
    if request == LIST:
        objects = sorted(scene.objects, key=lambda thing: (REGIONS.index(thing.region), thing.x))
        return " , ".join(phrase(thing) for thing in objects)
    shape_first = bool(pick(random, 2))
    return " , ".join(phrase(thing, shape_first) for thing in shuffled(random, scene.objects))


def phrase(thing: Object, shape_first: bool = False) -> str:
    words = (thing.shape, thing.color) if shape_first else (thing.color, thing.shape)
    return " ".join((*words, thing.region))


def read_caption(text: str) -> Counter[tuple[str, str, str]] | None:
    """Every (colour, shape, region) a caption names, with multiplicity; None when it is not a caption."""
    named: Counter[tuple[str, str, str]] = Counter()
    for part in text.split(" , "):
        words = part.split(" ")
        color, shape = (words[1::-1] if words[0] in SHAPES else words[:2]) if len(words) == 3 else ("", "")
        if color not in COLORS or shape not in SHAPES or words[2] not in REGIONS:
            return None
        named[color, shape, words[2]] += 1
    return named


def caption_is_true(scene: Scene, text: str) -> bool:
    """Whether a caption, in any order, names exactly the objects of the scene."""
    return read_caption(text) == Counter((thing.color, thing.shape, thing.region) for thing in scene.objects)
