"""Where a camera stands, how it moved, and the scene from above.

A pose is a 4 x 4 matrix from camera to world: the camera looks along its z, x is right, y is down (ScanNet). The
world's up is a setting. Metres and degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
RIGID = 1e-3
"""How far a rotation may be from one before its pose is refused; files keep few digits."""


@dataclass(frozen=True)
class Motion:
    """How to go from one view to another, on the ground.

    Args:
        forward, right: metres, in the first view's heading.
        left: degrees turned to the left, -180 to 180.
    """

    forward: float
    right: float
    left: float

    @property
    def distance(self) -> float:
        return math.hypot(self.forward, self.right)

    @property
    def sentence(self) -> str:
        """`move forward 2.0 meters and rotate left by 15°`, the paper's kind of sentence (appendix A.1)."""
        parts = []
        for value, positive, negative in ((self.forward, "forward", "backward"), (self.right, "right", "left")):
            if abs(value) >= 0.05:
                parts.append(f"move {positive if value > 0 else negative} {abs(value):.1f} meters")
        if abs(self.left) >= 0.5:
            parts.append(f"rotate {'left' if self.left > 0 else 'right'} by {abs(self.left):.0f}°")
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "stay"


def rigid(pose: object) -> Matrix | None:
    """The pose as a matrix, or None where it is none."""
    try:
        matrix = np.asarray(pose, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return None
    turn = matrix[:3, :3]
    straight = np.abs(turn @ turn.T - np.eye(3)).max() < RIGID and np.linalg.det(turn) > 0
    return matrix if straight and np.abs(matrix[3] - (0, 0, 0, 1)).max() < RIGID else None


def intrinsics(camera: object) -> Matrix | None:
    """The intrinsics, 3 x 3 or 4 x 4, as a matrix; None where they are none."""
    try:
        matrix = np.asarray(camera, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if matrix.shape not in {(3, 3), (4, 4)} or not np.isfinite(matrix).all():
        return None
    return matrix if matrix[0, 0] > 0 and matrix[1, 1] > 0 else None


def ground(up: Sequence[float]) -> tuple[Matrix, Matrix]:
    """Two directions of the ground, at right angles, so that (first, second, up) turns right-handed."""
    axis = np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
    start = np.eye(3)[int(np.argmin(np.abs(axis)))]
    first = start - axis * (start @ axis)
    first /= np.linalg.norm(first)
    return first, np.cross(axis, first)


def stand(pose: Matrix, up: Sequence[float]) -> tuple[Matrix, Matrix] | None:
    """Place and heading on the ground, each [2]; None where the camera looks straight up or down."""
    basis = np.stack(ground(up))
    heading = basis @ pose[:3, 2]
    length = float(np.linalg.norm(heading))
    return (basis @ pose[:3, 3], heading / length) if length > 0.1 else None


def motion(anchor: Matrix, other: Matrix, up: Sequence[float]) -> Motion | None:
    """From the anchor's view to the other's; None where a heading is undefined."""
    here, there = stand(anchor, up), stand(other, up)
    if here is None or there is None:
        return None
    step, (ahead, across) = there[0] - here[0], here[1]
    forward = float(step @ here[1])
    right = float(step @ np.array([across, -ahead]))
    turn = math.degrees(math.atan2(ahead * there[1][1] - across * there[1][0], float(here[1] @ there[1])))
    return Motion(forward, right, turn)


def distinct(one: Motion, other: Motion, *, min_distance: float, min_turn: float) -> bool:
    """Whether two motions from the same anchor end far enough apart, in place or in heading."""
    gap = math.hypot(one.forward - other.forward, one.right - other.right)
    turn = abs((one.left - other.left + 180) % 360 - 180)
    return gap >= min_distance or turn >= min_turn


@dataclass(frozen=True)
class Plan:
    """A scene from above.

    Args:
        pixels: uint8 [height, width, 3].
        origin: ground coordinates (see `ground`) of the top left corner; the first axis runs right, the second up.
        pixels_per_metre: its scale.
    """

    pixels: NDArray[np.uint8]
    origin: tuple[float, float]
    pixels_per_metre: float

    def locate(self, place: Matrix) -> tuple[int, int]:
        """(row, column) of a place on the ground."""
        right, up = place[0] - self.origin[0], place[1] - self.origin[1]
        return round(-up * self.pixels_per_metre), round(right * self.pixels_per_metre)


def cloud(pixels: NDArray[np.uint8], depth: NDArray[np.float32], camera: Matrix, pose: Matrix) -> tuple[Matrix, Matrix]:
    """World places [N, 3] and colours [N, 3] of a view's pixels that have a depth.

    Args:
        pixels: uint8 [H, W, 3], as large as the depth map [H, W].
        camera: 3 x 3 intrinsics, in pixels of the map.
    """
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    far = depth[rows, columns].astype(np.float64)
    x = (columns + 0.5 - camera[0, 2]) / camera[0, 0] * far
    y = (rows + 0.5 - camera[1, 2]) / camera[1, 1] * far
    places = np.stack([x, y, far], axis=1) @ pose[:3, :3].T + pose[:3, 3]
    return places, pixels[rows, columns].astype(np.float64)


def draw_plan(
    places: Matrix, colours: Matrix, up: Sequence[float], *, ceiling: float, side: int, margin: float = 0.5
) -> Plan | None:
    """The points from above, the highest one below the ceiling on top; None where there are none.

    Args:
        places: world places [N, 3] with their colours [N, 3].
        ceiling: height in the world; what is above is left out.
        side: pixels of the plan's longer side.
        margin: metres around the points.
    """
    height = places @ (np.asarray(up, dtype=np.float64) / np.linalg.norm(up))
    keep = height <= ceiling
    if not keep.any():
        return None
    on_ground = places[keep] @ np.stack(ground(up)).T
    rank = np.argsort(height[keep], kind="stable")
    low, high = on_ground.min(axis=0) - margin, on_ground.max(axis=0) + margin
    scale = (side - 1) / float((high - low).max())
    plan = Plan(
        np.full((int((high[1] - low[1]) * scale) + 1, int((high[0] - low[0]) * scale) + 1, 3), 235, np.uint8),
        (float(low[0]), float(high[1])),
        scale,
    )
    cells = ((on_ground[rank] - (low[0], high[1])) * (scale, -scale)).astype(int)
    plan.pixels[cells[:, 1], cells[:, 0]] = colours[keep][rank].astype(np.uint8)
    return plan
