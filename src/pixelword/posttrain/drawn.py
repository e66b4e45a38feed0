"""Drawn pictures for jigsaws: a colour gradient and a few large shapes, which most cuts go through. No files.

Scenes of the drawn world make bad puzzles: a small object on an even ground leaves tiles that look the same. Here the
gradient alone tells where a tile belongs, and shapes that cross the cuts tell it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar, overload

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pixelword.jigsaw import ImageSample
from pixelword.world import COLORS, SHAPES, SIDE, Object, Scene, draw_picture

Sample = TypeVar("Sample")

TINT = 14
"""A shape's colour differs from its name's by at most this, per channel."""


def draw_gradient(random: Random) -> NDArray[np.float32]:
    """Between two colours that differ, in any direction, [SIDE, SIDE, 3] of 8-bit values."""
    while True:
        first, second = ([230 * random.random() for _ in range(3)] for _ in range(2))
        if sum(abs(a - b) for a, b in zip(first, second, strict=True)) > 150:
            break
    angle = 2 * np.pi * random.random()
    place = np.arange(SIDE, dtype=np.float32) - SIDE / 2
    along = np.clip((place[None] * np.cos(angle) + place[:, None] * np.sin(angle)) / 90 + 0.5, 0, 1)[..., None]
    ends = np.array([first, second], dtype=np.float32)
    return np.asarray(ends[0] + along * (ends[1] - ends[0]), dtype=np.float32)


def draw_shapes(random: Random) -> Scene:
    """Two or three large shapes whose centres lie in the middle half, on black."""
    things = []
    for _ in range(2 + int(2 * random.random())):
        color, shape = (names[int(len(names) * random.random())] for names in (tuple(COLORS), SHAPES))
        x, y = (16 + 32 * random.random() for _ in range(2))
        red, green, blue = (
            min(255, max(1, value + int((2 * TINT + 1) * random.random()) - TINT)) for value in COLORS[color]
        )
        things.append(Object(color, shape, x, y, 10 + 8 * random.random(), (red, green, blue)))
    return Scene(tuple(things), (0, 0, 0))


def draw(name: str) -> PIL.Image.Image:
    """The picture of this name, 64 x 64; the same on every machine but for rounding in the last bit."""
    random = Random(name)
    ground = draw_gradient(random)
    shapes = draw_picture(draw_shapes(random))
    covered = shapes.any(-1, keepdims=True)
    return PIL.Image.fromarray(np.where(covered, shapes, ground).astype(np.uint8))


@dataclass(frozen=True)
class Drawn(Sequence[Sample]):
    """So many samples, each made from its number when it is looked at.

    Args:
        size: how many.
        split: part of every name, so that two splits share none.
    """

    size: int
    split: str = "train"

    def sample(self, number: int) -> Sample:
        """The sample of this number."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, number: int) -> Sample: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Sample]: ...

    def __getitem__(self, number: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(self.size))]
        if not 0 <= number < self.size:
            raise IndexError(number)
        return self.sample(number)

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(self.size))


class DrawnPictures(Drawn[ImageSample]):
    """Pictures with their names."""

    def sample(self, number: int) -> ImageSample:
        name = f"{self.split}-{number:08d}"
        return ImageSample(name, draw(name))
