"""Commonsense: where a thing ends up. A coloured shape stands for it and has to lie in that part of the picture."""

from __future__ import annotations

from random import Random

from pixelword.realunify.mini.targets import Place, Target, Thing
from pixelword.realunify.mini.vocabulary import COLORS, SHAPES

SITUATIONS: tuple[tuple[str, Place], ...] = (
    ("The picture is a room. A balloon filled with helium was let go; draw it as a {thing} where it stays.", "top"),
    ("The picture is a room. A balloon full of plain air was let go; draw it as a {thing} where it rests.", "bottom"),
    ("The picture is a glass of water. A pebble was dropped in; draw it as a {thing} at its final place.", "bottom"),
    ("The picture is a glass of water. A cork was pushed in and let go; draw it as a {thing} where it ends.", "top"),
    ("The picture is a slope that falls from the upper left to the lower right. A ball was put on it and has stopped; "
     "draw it as a {thing}, low in the picture.", "bottom"),
    ("The picture is a landscape at noon. Draw the sun as a {thing}.", "top"),
    ("The picture is a landscape. Draw a stone lying on the ground as a {thing}.", "bottom"),
    ("The picture is a kitchen. A plate slipped from the table a minute ago; draw it as a {thing}.", "bottom"),
    ("The picture is a pond seen from the side. Draw a floating leaf as a {thing}.", "top"),
    ("The picture is a pond seen from the side. Draw a sunken coin as a {thing}.", "bottom"),
    ("The picture is a street seen from above, north at the top. You walk towards sunrise and have reached the edge of "
     "the picture; draw yourself as a {thing}.", "right"),
    ("The picture is a map, north at the top. Draw a town far in the west as a {thing}.", "left"),
    ("The picture is a map, north at the top. Draw a town far in the east as a {thing}.", "right"),
    ("The picture is a map, north at the top. Draw a lake in the far south as a {thing}.", "bottom"),
    ("The picture is a map, north at the top. Draw a hill in the far north as a {thing}.", "top"),
    ("A strong wind blows from the left edge of the picture to the right. A paper bag lay free for an hour; draw it as "
     "a {thing}.", "right"),
    ("A strong wind blows from the right edge of the picture to the left. A dry leaf lay free for hours; draw it as a "
     "{thing}.", "left"),
    ("A lamp shines from the left edge of the picture onto a post in the middle. Draw the post's shadow as a {thing}.",
     "right"),
    ("A lamp shines from the right edge of the picture onto a post in the middle. Draw the post's shadow as a {thing}.",
     "left"),
    ("The picture is a bathtub with a leak in its floor, all water gone. Draw the rubber duck as a {thing}.", "bottom"),
    ("The picture is a closed bottle of oil and vinegar at rest. Draw a drop of the oil as a {thing}.", "top"),
    ("A seesaw spans the picture; the left child is far heavier. Draw the lighter child as a {thing} at its height.",
     "top"),
    ("A plant stands in the middle and a window in the right wall. Draw the tip it has grown towards the light as a "
     "{thing}.", "right"),
    ("The picture is a chimney seen from the side. Draw the smoke that has left the fire a while ago as a {thing}.",
     "top"),
)  # fmt: skip
TEMPLATES = tuple(text for text, _ in SITUATIONS)


def riddle(template: str, random: Random) -> tuple[str, Target]:
    """Fill a template: the prompt and what a right picture shows."""
    thing = Thing(random.choice(list(COLORS)), random.choice(SHAPES))
    return template.format(thing=thing), Target((thing,), "", dict(SITUATIONS)[template])
