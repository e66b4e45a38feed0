"""Reading a depth map, in metres, and choosing points of it whose order can be seen.

H rows, W columns of a map.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pixelword.jigsaw.draws import Key
from pixelword.jigsaw.exr import ExrTooLarge, read_exr
from pixelword.jigsaw.pictures import MAX_PIXELS, UNDECODABLE
from pixelword.jigsaw.refusals import Refusal

MILLIMETRES = 0.001
"""Metres per step of a map of whole numbers, as ScanNet and most depth cameras store it."""

MOST_HEADER = 4096
"""Bytes of an npy file's header that are looked at; NumPy writes 128 for a map."""
NPY_HEADER = re.compile(
    rb"\s*\{\s*'descr':\s*'(?P<kind>[<>|=](?:[ui][1248]|f[248]))',\s*'fortran_order':\s*(?P<columns>True|False),\s*"
    rb"'shape':\s*\((?P<height>\d{1,9}),\s*(?P<width>\d{1,9})(?:,\s*1)?,?\s*\),?\s*\}\s*"
)
"""What an npy file says of a map, in the order of keys that NumPy writes. See numpy.lib.format."""

Depth = Path | NDArray[np.generic]


@dataclass(frozen=True)
class Limits:
    """What chosen points obey (Visual Jigsaw, section 3.1.4, unless said otherwise).

    Args:
        nearest, farthest: metres; closed bounds.
        depth_gap: metres by which any two differ, more than.
        pixel_gap: pixels of the picture between any two, at least.
        edge: ours: metres of difference to a neighbouring pixel above which a pixel lies on an edge.
        border: ours: pixels of the picture between a point and its border, so that its disc is whole.
        restarts, tries: ours: attempts at the whole set, and at each point, before the map is given up.
    """

    nearest: float = 0.1
    farthest: float = 10.0
    depth_gap: float = 0.2
    pixel_gap: float = 40.0
    edge: float = 0.1
    border: float = 0.0
    restarts: int = 24
    tries: int = 64


def read_depth(
    source: Depth, sample: str, scale: float | None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.float32] | Refusal:
    """A map in metres, float32 [H, W], or why there is none. Never unpickles, and sizes are looked at before pixels.

    Args:
        source: a 16-bit PNG, an npy file, an EXR file, or an array.
        scale: metres per stored unit; by default 0.001 for whole numbers, 1 for others.
        max_pixels: width times height at most.
    """
    try:
        stored = decode(source, max_pixels) if isinstance(source, Path) else source
    except FileNotFoundError:
        return Refusal(sample, "missing", str(source))
    except (TooLarge, ExrTooLarge, PIL.Image.DecompressionBombError) as error:
        return Refusal(sample, "too_large", f"{source}: {error}"[:200])
    except UNDECODABLE as error:  # ExrProblem and numpy's complaints are ValueErrors
        return Refusal(sample, "unreadable", f"{source}: {' '.join(str(error).split())}"[:200])
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[:, :, 0]
    if stored.ndim != 2 or stored.dtype.kind not in "uif" or 0 in stored.shape:
        return Refusal(sample, "unreadable", f"a depth map of shape {stored.shape} and type {stored.dtype}")
    metres = scale if scale is not None else 1.0 if stored.dtype.kind == "f" else MILLIMETRES
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which is no depth
        return np.asarray(stored, dtype=np.float32) * np.float32(metres)


class TooLarge(ValueError):
    """A map of more pixels than allowed, by what its header says."""


def decode(path: Path, max_pixels: int) -> NDArray[np.generic]:
    """What is stored.

    Raises:
        TooLarge, ExrTooLarge, DecompressionBombError: more pixels than allowed.
        OSError, SyntaxError, ValueError, EOFError, struct.error: no map, or a damaged one.
    """
    if path.suffix.lower() == ".exr":
        return read_exr(path.read_bytes(), most_pixels=max_pixels)
    if path.suffix.lower() == ".npy":
        return read_npy(path, max_pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PIL.Image.open(path) as file:
            if file.mode not in {"I;16", "I;16B", "I", "F"}:
                raise ValueError(f"a picture of mode {file.mode}; a depth map has one channel of 16 bits")
            check_size(file.width, file.height, max_pixels)
            return np.asarray(file)


def read_npy(path: Path, max_pixels: int) -> NDArray[np.generic]:
    """A map out of an npy file. Its header is matched, not evaluated, and what it claims is checked before it is read.

    Raises:
        TooLarge: more pixels than allowed.
        ValueError: no npy file, damaged, or no map of numbers.
    """
    with path.open("rb") as file:
        start = file.read(MOST_HEADER)
    wide = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(start[8 : 8 + wide], "little")
    said = NPY_HEADER.fullmatch(start[8 + wide : 8 + wide + length])
    if start[:6] != b"\x93NUMPY" or said is None:
        raise ValueError("no npy file of a map of numbers, [H, W] or [H, W, 1]")
    kind, height, width = np.dtype(said["kind"].decode()), int(said["height"]), int(said["width"])
    check_size(width, height, max_pixels)
    stored = np.fromfile(path, kind, width * height, offset=8 + wide + length)
    if len(stored) < width * height:
        raise ValueError(f"{len(stored)} of {width * height} numbers")
    return stored.reshape(height, width, order="F" if said["columns"] == b"True" else "C")


def check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(f"{width} x {height} pixels")


def usable(depth: NDArray[np.float32], limits: Limits) -> NDArray[np.bool_]:
    """Pixels in range and not on an edge: bool [H, W]. A hole next to a pixel is an edge."""
    in_range = np.isfinite(depth) & (depth >= limits.nearest) & (depth <= limits.farthest)
    flat = np.where(in_range, depth, np.float32(np.inf))
    inside = in_range.copy()
    inside[[0, -1], :] = inside[:, [0, -1]] = False
    with np.errstate(invalid="ignore"):  # the difference of two holes
        down = ~(np.abs(np.diff(flat, axis=0)) <= limits.edge)
        across = ~(np.abs(np.diff(flat, axis=1)) <= limits.edge)
    inside[:-1] &= ~down
    inside[1:] &= ~down
    inside[:, :-1] &= ~across
    inside[:, 1:] &= ~across
    return inside


def sample_points(
    depth: NDArray[np.float32], K: int, key: Key, limits: Limits, stretch: tuple[float, float] = (1.0, 1.0)
) -> list[tuple[int, int]] | Refusal:
    """K points (row, column) of the map, nearest first: drawn one at a time, kept when they fit those before.

    Args:
        stretch: rows and columns of the picture per row and column of the map.
    """
    H, W = depth.shape
    inside = np.zeros((H, W), dtype=np.bool_)
    down, across = math.ceil(limits.border / stretch[0]), math.ceil(limits.border / stretch[1])
    inside[down : max(down, H - down), across : max(across, W - across)] = True
    places = np.flatnonzero(usable(depth, limits) & inside)
    if len(places) < K:
        return Refusal(key.sample, "no_valid_depth", f"{len(places)} of {H * W} pixels")
    draws = key.below(len(places), "points")
    for _ in range(limits.restarts):
        chosen: list[tuple[float, int, int]] = []
        for _ in range(limits.tries * K):
            row, column = divmod(int(places[next(draws)]), W)
            here = (float(depth[row, column]), row, column)
            if all(apart(here, other, limits, stretch) for other in chosen):
                chosen.append(here)
                if len(chosen) == K:
                    return [(row, column) for _, row, column in sorted(chosen)]
    return Refusal(key.sample, "close_depths", f"no {K} points in {limits.restarts} attempts")


def apart(
    one: tuple[float, int, int], other: tuple[float, int, int], limits: Limits, stretch: tuple[float, float]
) -> bool:
    """Whether two points (depth, row, column) differ enough in depth and in place."""
    gap = math.hypot((one[1] - other[1]) * stretch[0], (one[2] - other[2]) * stretch[1])
    return abs(one[0] - other[0]) > limits.depth_gap and gap >= limits.pixel_gap
