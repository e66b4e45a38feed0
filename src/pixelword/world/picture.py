"""Pixels of a scene: four shapes as signed distances, drawn with anti-aliased edges.

A signed distance is positive inside a shape and counts pixels to its edge, so the share of a pixel that a shape
covers is close to clip(distance + 1/2, 0, 1). (X, Y) below are pixels from the centre of the object, Y downwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelword.world.scene import SIDE, Object, Scene

Floats = NDArray[np.float32]

CENTERS: Floats = np.arange(SIDE, dtype=np.float32) + 0.5
"""Pixel i covers i to i + 1; its centre lies between."""


def signed_distance(shape: str, X: Floats, Y: Floats, radius: float) -> Floats:
    """Pixels to the edge of a shape of this radius, positive inside; broadcasts over X and Y."""
    if shape == "circle":
        distance = radius - np.hypot(X, Y)
    elif shape == "square":
        distance = 0.88 * radius - np.maximum(np.abs(X), np.abs(Y))
    elif shape == "triangle":  # a flat base below, two sides that rise to a point
        distance = np.minimum(0.8 * radius - Y, 0.5 * radius + 0.447 * Y - 0.894 * np.abs(X))
    elif shape == "cross":
        across, down = np.abs(X), np.abs(Y)
        arm = 0.36 * radius
        distance = np.maximum(
            np.minimum(radius - across, arm - down),
            np.minimum(arm - across, radius - down),
        )
    else:
        raise AssertionError(f"no shape {shape!r}")
    return np.asarray(distance, dtype=np.float32)


def draw_object(canvas: Floats, thing: Object) -> None:
    """Lay one object over a canvas [SIDE, SIDE, 3] of 8-bit values kept as float32, in place."""
    reach = thing.radius * 1.1 + 1.0
    left, right = max(0, int(thing.x - reach)), min(SIDE, int(thing.x + reach) + 1)
    top, bottom = max(0, int(thing.y - reach)), min(SIDE, int(thing.y + reach) + 1)
    X = CENTERS[None, left:right] - np.float32(thing.x)
    Y = CENTERS[top:bottom, None] - np.float32(thing.y)
    cover = np.clip(signed_distance(thing.shape, X, Y, thing.radius) + 0.5, 0.0, 1.0)[..., None]
    under = canvas[top:bottom, left:right]
    under += cover * (np.array(thing.rgb, dtype=np.float32) - under)


def draw_picture(scene: Scene) -> NDArray[np.uint8]:
    """The picture of a scene: uint8 [64, 64, 3], RGB, row by row from the top."""
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    canvas[:] = scene.background
    for thing in scene.objects:
        draw_object(canvas, thing)
    return (canvas + 0.5).astype(np.uint8)


def blank_picture() -> NDArray[np.uint8]:
    """A picture that shows nothing: the middle background colour everywhere, uint8 [64, 64, 3]."""
    return np.full((SIDE, SIDE, 3), 30, dtype=np.uint8)
