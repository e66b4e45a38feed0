"""A drawn room with known poses: coloured walls, a checked floor and a few boxes, seen by ray casting.

World: z up, metres, the room from (0, 0, 0) to ROOM. Cameras look along their z, x right, y down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelword.jigsaw import SceneSample, View

ROOM = np.array([6.0, 5.0, 2.6])
WIDTH, HEIGHT = 128, 96
CAMERA = np.array([[100.0, 0, WIDTH / 2], [0, 100.0, HEIGHT / 2], [0, 0, 1]])
# Low corner, high corner, colour.
BOXES = [
    ((1.0, 3.5, 0.0), (1.8, 4.3, 1.0), (200, 40, 40)),
    ((4.2, 0.6, 0.0), (5.4, 1.4, 0.7), (40, 90, 220)),
    ((4.0, 3.8, 0.0), (4.5, 4.3, 1.6), (40, 160, 60)),
]
WALLS = {(0, 0): (230, 210, 160), (0, 1): (160, 210, 230), (1, 0): (210, 160, 210), (1, 1): (170, 220, 170)}


def look(x: float, y: float, left: float, height: float = 1.4, down: float = 12.0) -> NDArray[np.float64]:
    """A pose at (x, y), turned `left` degrees from the world's x, looking a little down."""
    turn, tilt = np.radians(left), np.radians(down)
    ahead = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), -np.sin(tilt)])
    right = np.array([np.sin(turn), -np.cos(turn), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
    pose[:3, 3] = (x, y, height)
    return pose


def shoot(pose: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colours uint8 [H, W, 3] and depth along the camera's z in metres [H, W]."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    camera = np.stack(
        [
            (columns + 0.5 - CAMERA[0, 2]) / CAMERA[0, 0],
            (rows + 0.5 - CAMERA[1, 2]) / CAMERA[1, 1],
            np.ones((HEIGHT, WIDTH)),
        ],
        axis=-1,
    )
    rays, eye = camera @ pose[:3, :3].T, pose[:3, 3]
    depth = np.full((HEIGHT, WIDTH), np.inf)
    colours = np.zeros((HEIGHT, WIDTH, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in range(3):
            for side in (0, 1):
                far = (side * ROOM[axis] - eye[axis]) / rays[..., axis]
                hit = (far > 0) & (far < depth)
                place = eye + rays * far[..., None]
                if axis == 2:
                    check = (np.floor(place[..., 0]) + np.floor(place[..., 1])) % 2
                    colour = (
                        (90 + 60 * check)[..., None] * np.ones(3) if side == 0 else np.full((HEIGHT, WIDTH, 3), 250.0)
                    )
                else:
                    stripes = 1 - 0.25 * (np.floor(place[..., 1 - axis] * 2) % 2)
                    colour = np.array(WALLS[axis, side]) * stripes[..., None]
                depth[hit], colours[hit] = far[hit], colour[hit]
        for low, high, colour in BOXES:
            first, second = (np.array(low) - eye) / rays, (np.array(high) - eye) / rays
            near, far = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
            hit = (near > 0) & (near < far) & (near < depth)
            depth[hit], colours[hit] = near[hit], np.array(colour)
    return colours.clip(0, 255).astype(np.uint8), depth.astype(np.float32)


POSES = [
    look(1.2, 1.2, 30), look(2.4, 1.4, 60), look(3.0, 2.5, 10), look(2.0, 2.6, -30), look(1.0, 2.4, 0),
    look(3.4, 1.2, 95), look(2.8, 3.6, -60), look(1.6, 1.8, 75),
]  # fmt: skip


def room() -> SceneSample:
    """Eight views with depth."""
    import PIL.Image

    views = []
    for pose in POSES:
        pixels, depth = shoot(pose)
        views.append(View(PIL.Image.fromarray(pixels), pose, depth, CAMERA))
    return SceneSample("room", tuple(views))
