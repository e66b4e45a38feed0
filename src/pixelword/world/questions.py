"""Questions about a scene, each with one exact answer.

Only well-posed questions exist: what is named must be there once, a region must hold one object, a relation must be
clear by some pixels. Which of them are asked is decided by a ledger that always takes what was asked least so far:
the kind first, then the form, then the answer. So a reader who never sees the picture finds nothing to lean on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random

from pixelword.world.scene import COLORS, NEW_PAIRS, REGIONS, SHAPES, Item, Scene, pick

KINDS = ("color", "shape", "color-at", "shape-at", "count", "where", "exists", "relation")

RELATION_MARGIN = 6.0
"""Two centres differ by at least this along the axis that a relation is asked about, in pixels."""

MOST_COUNTED = 3
"""The largest number of objects of one colour or one shape that is asked for."""

LEAD = 3
"""Times an answer may be asked more often than another answer to the same form."""


@dataclass(frozen=True)
class Question:
    """A question in words and its one-word answer.

    `kind` is one of `KINDS`. `form` tells apart the wordings of a kind whose answers have to balance on their own,
    `case` the ways in which one answer comes about. `new` says that the answer hangs on an object (or names a pair)
    from `NEW_PAIRS`.
    """

    kind: str
    form: str
    text: str
    answer: str
    new: bool = False
    case: str = ""

    @cached_property
    def levels(self) -> tuple[tuple[str], tuple[str, str], tuple[str, str, str], tuple[str, str, str, str]]:
        """What is balanced, from the outside in: kinds, forms of a kind, answers of a form, cases of an answer."""
        kind, form, answer, case = self.kind, self.form, self.answer, self.case
        return (kind,), (kind, form), (kind, form, answer), (kind, form, answer, case)


def well_posed(scene: Scene) -> Iterator[Question]:
    """Every question that may be asked about a scene."""
    objects = scene.objects
    colors = Counter(thing.color for thing in objects)
    shapes = Counter(thing.shape for thing in objects)
    regions = Counter(thing.region for thing in objects)
    pairs = Counter(thing.pair for thing in objects)
    for thing in objects:
        color, shape = thing.pair
        new = thing.pair in NEW_PAIRS
        if shapes[shape] == 1:
            yield Question("color", "", f"color of {shape} ?", color, new)
        if colors[color] == 1:
            yield Question("shape", "", f"shape of {color} ?", shape, new)
        if regions[thing.region] == 1:
            yield Question("color-at", "", f"color at {thing.region} ?", color, new)
            yield Question("shape-at", "", f"shape at {thing.region} ?", shape, new)
        if pairs[thing.pair] == 1:
            yield Question("where", "", f"where is {color} {shape} ?", thing.region, new)
    yield from counts(scene, colors, shapes)
    yield from existence(scene, colors, shapes)
    yield from relations(scene, colors)


def counts(scene: Scene, colors: Counter[str], shapes: Counter[str]) -> Iterator[Question]:
    """How many objects there are, in all, of a colour, of a shape."""
    any_new = any(thing.pair in NEW_PAIRS for thing in scene.objects)
    yield Question("count", "objects", "count objects ?", str(len(scene.objects)), any_new)
    for form, names, tally in (("color", tuple(COLORS), colors), ("shape", SHAPES, shapes)):
        for name in names:
            new = any(name in thing.pair and thing.pair in NEW_PAIRS for thing in scene.objects)
            if tally[name] <= MOST_COUNTED:
                yield Question("count", form, f"count {name} ?", str(tally[name]), new)


def existence(scene: Scene, colors: Counter[str], shapes: Counter[str]) -> Iterator[Question]:
    """Whether a pair is there; the case says whether neither, one or both of the two words fit some object."""
    there = {thing.pair for thing in scene.objects}
    for color in COLORS:
        for shape in SHAPES:
            new = (color, shape) in NEW_PAIRS
            if (color, shape) in there:
                yield Question("exists", "", f"is there {color} {shape} ?", "yes", new)
            elif not new or any(pair in NEW_PAIRS for pair in there):
                case = ("neither", "one", "both")[(color in colors) + (shape in shapes)]
                yield Question("exists", "", f"is there {color} {shape} ?", "no", new, case)


def relations(scene: Scene, colors: Counter[str]) -> Iterator[Question]:
    """On which side of one object another one lies; both named by a colour that no other object has."""
    single = [thing for thing in scene.objects if colors[thing.color] == 1]
    for one in single:
        for other in single:
            new = one.pair in NEW_PAIRS or other.pair in NEW_PAIRS
            if abs(one.x - other.x) >= RELATION_MARGIN:
                side = "left" if one.x < other.x else "right"
                yield Question("relation", "across", f"{one.color} left or right of {other.color} ?", side, new)
            if abs(one.y - other.y) >= RELATION_MARGIN:
                side = "above" if one.y < other.y else "below"
                yield Question("relation", "down", f"{one.color} above or below {other.color} ?", side, new)


class Ledger:
    """What was asked so far; picks the next questions so that kinds, forms and answers stay balanced.

    The least asked comes first, and an answer that is `LEAD` ahead of another answer to the same form has to wait,
    even when that leaves a scene with fewer questions: rare answers (three red objects) set the pace.

    Args:
        weights: how often each kind of `KINDS` is asked, relative to the others; equally often by default.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self.weights = weights or dict.fromkeys(KINDS, 1.0)
        self.asked: Counter[tuple[str, ...]] = Counter()

    def choose(self, questions: Iterable[Question], number: int, random: Random) -> tuple[Question, ...]:
        """Pick at most `number` different questions, the least asked first."""
        by_kind: dict[str, list[Question]] = {}
        for question in questions:
            if self.weights[question.kind] > 0:
                by_kind.setdefault(question.kind, []).append(question)
        chosen: list[Question] = []
        while by_kind and len(chosen) < number:
            kind = self.least_asked([((name,), name) for name in by_kind], random)[0]
            left = [question for question in by_kind[kind] if self.may_be_asked(question)]
            if not left:
                del by_kind[kind]
                continue
            least = left
            for level in (1, 2, 3):
                least = self.least_asked([(question.levels[level], question) for question in least], random)
            question = least[pick(random, len(least))]
            self.asked.update(question.levels)
            chosen.append(question)
            by_kind[kind] = [other for other in left if other.text != question.text]
            if not by_kind[kind]:
                del by_kind[kind]
        return tuple(chosen)

    def least_asked(self, options: list[tuple[tuple[str, ...], Item]], random: Random) -> list[Item]:
        """The options whose level (all of one kind, form, ...) was asked least; a fair draw among equal levels."""
        share = {level: self.asked[level] / self.weights[level[0]] for level, _ in options}
        fewest = min(share.values())
        equals = [level for level in share if share[level] == fewest]
        taken = equals[pick(random, len(equals))]
        return [option for level, option in options if level == taken]

    def may_be_asked(self, question: Question) -> bool:
        """Whether the answer is not too far ahead of the other answers to its form."""
        form, answer = question.levels[1], question.levels[2]
        fewest = min(self.asked[*form, other] for other in ANSWERS[form])
        return self.asked[answer] < fewest + LEAD


ANSWERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("color", ""): tuple(COLORS),
    ("shape", ""): SHAPES,
    ("color-at", ""): tuple(COLORS),
    ("shape-at", ""): SHAPES,
    ("count", "objects"): ("1", "2", "3", "4"),
    ("count", "color"): ("0", "1", "2", "3"),
    ("count", "shape"): ("0", "1", "2", "3"),
    ("where", ""): REGIONS,
    ("exists", ""): ("yes", "no"),
    ("relation", "across"): ("left", "right"),
    ("relation", "down"): ("above", "below"),
}
"""Every answer to every form of every kind."""
