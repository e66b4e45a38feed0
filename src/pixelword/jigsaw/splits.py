"""Where a film is cut, and which frames of each clip are shown. Numbers only; no film is read.

N frames, K parts in time, trim ratio r = p / q in lowest terms.
"""

from __future__ import annotations

import math
from fractions import Fraction

PATCH = 28
"""Pixels of the side of one visual token of Qwen2.5-VL; frame sides are multiples of it."""


def split(frames: int, parts: int, trim_ratio: Fraction) -> list[tuple[int, int]] | None:
    """First and one-past-last frame of each part, trimmed at both ends; None where the film is too short.

    As the released code does it: N mod (K q) leading frames are dropped, so that parts and trims are whole numbers.

    >>> split(119, 6, Fraction(1, 10))
    [(60, 68), (70, 78), (80, 88), (90, 98), (100, 108), (110, 118)]
    """
    skip = frames % (parts * trim_ratio.denominator) if parts > 1 else 0
    length = (frames - skip) // parts
    trim = length * trim_ratio.numerator // trim_ratio.denominator
    if 2 * trim >= length:
        return None
    return [(skip + part * length + trim, skip + (part + 1) * length - trim) for part in range(parts)]


def chosen_frames(start: int, stop: int, *, video_rate: float, rate: float, least: int, most: int) -> list[int] | None:
    """Evenly spaced frames of one clip, an even number of them; None where the clip is too short.

    Args:
        start, stop: first frame, one past the last.
        video_rate: frames per second of the film.
        rate: frames per second wanted.
        least, most: bounds on their number; odd ones are taken inwards.
    """
    available = stop - start
    ceiling = min(most, available) // 2 * 2
    wanted = min(max(available / video_rate * rate, (least + 1) // 2 * 2), ceiling)
    count = int(wanted) // 2 * 2
    if not 2 <= count <= available:
        return None
    step = (available - 1) / (count - 1)
    return [start + round(number * step) for number in range(count)]


def smart_size(width: int, height: int, *, min_pixels: int, max_pixels: int, factor: int = PATCH) -> tuple[int, int]:
    """(width, height) in multiples of `factor` within the limits, aspect nearly kept, as Qwen2.5-VL sizes its input.

    >>> smart_size(1280, 720, min_pixels=3136, max_pixels=100352)
    (420, 224)
    """
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    area = sides[0] * sides[1]
    if area > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        sides = [max(factor, math.floor(side / shrink / factor) * factor) for side in (width, height)]
    elif area < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in (width, height)]
    return sides[0], sides[1]
