"""Questions whose answer is the sum or the difference of two counts. The demo never trains on them.

count red and blue ?          two colours, or two shapes: how many objects are one or the other
count red take away blue ?    how many more there are of the first; asked where that is no less than nothing
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

from pixelword.world.questions import Question
from pixelword.world.scene import COLORS, NEW_PAIRS, SHAPES, Scene

ARITHMETIC = ("sum", "difference")

ARITHMETIC_ANSWERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("sum", "color"): ("0", "1", "2", "3", "4"),
    ("sum", "shape"): ("0", "1", "2", "3", "4"),
    ("difference", "color"): ("0", "1", "2", "3"),
    ("difference", "shape"): ("0", "1", "2", "3"),
}
"""Every answer to every form of both kinds."""


def arithmetic(scene: Scene) -> Iterator[Question]:
    """Every such question about a scene. A difference is asked where it is 0 to 3."""
    for form, names, place in (("color", tuple(COLORS), 0), ("shape", SHAPES, 1)):
        tally = Counter(thing.pair[place] for thing in scene.objects)
        for one, other in permutations(names, 2):
            new = any(thing.pair in NEW_PAIRS and thing.pair[place] in (one, other) for thing in scene.objects)
            total, more = tally[one] + tally[other], tally[one] - tally[other]
            yield Question("sum", form, f"count {one} and {other} ?", str(total), new)
            if 0 <= more <= 3:
                yield Question("difference", form, f"count {one} take away {other} ?", str(more), new)
