"""How well a model orders pieces: exact rate and mean right places beside the chance line, per kind and size of puzzle.

An answer that cannot be read is the model's own and counts as wrong, under its own status. Where no answer came,
because something broke, there is nothing to count: such puzzles are left out of every mean and shown by number.

    asked = [Asked.of(puzzle) for puzzle in held_out]
    for group in summarize(score_all(asked, replies)):
        print(group.difficulty, group.exact, group.places, group.chance_exact)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil, factorial, floor
from typing import Any, Literal

import numpy as np

from pixelword.errors import InputError
from pixelword.jigsaw.answers import Reason, read_answer
from pixelword.jigsaw.puzzle import Puzzle
from pixelword.jigsaw.rewards import AnswerRule, check_target
from pixelword.report import Estimate, Proportion, wilson_interval

Status = Reason | Literal["truncated", "no_reply", "failed"]

STATUSES: dict[Status, str] = {
    "exact": "the right order",
    "partial": "a permutation with paid right places",
    "ok": "a permutation that earns nothing",
    "wrong_length": "too few or too many items",
    "duplicate": "an item twice",
    "out_of_range": "a number that labels nothing",
    "parse_error": "items that are no numbers",
    "no_container": "no answer where the prompt wants it",
    "no_think": "no thoughts where the prompt wants them",
    "truncated": "cut off at the length limit before an answer",
    "no_reply": "nobody was asked, or nothing is recorded; not counted",
    "failed": "the model could not be run on it; not counted",
}
"""What can become of a puzzle."""

UNANSWERED: frozenset[Status] = frozenset({"no_reply", "failed"})
PERMUTATIONS: frozenset[Status] = frozenset({"exact", "partial", "ok"})
FORMLESS: frozenset[Status] = UNANSWERED | {"no_think", "no_container", "truncated"}

RESAMPLES = 10_000
SEED = 20_250_930
"""One seed for every bootstrap, so that a result written twice is the same."""


@dataclass(frozen=True)
class Asked:
    """What has to be known of a puzzle to judge an answer.

    Args:
        sample: id of the sample.
        task: `image`, `video`, `depth`, `motion` or `pose`.
        difficulty: names the group that it is counted in, such as `image 3x3`.
        target: the right answer, labels from 1.
        rule: how the answer was asked for.
        grid: (rows, columns) where the places are those of a grid.
        alike: groups of labels that may stand for each other.
    """

    sample: str
    task: str
    difficulty: str
    target: tuple[int, ...]
    rule: AnswerRule = field(default_factory=AnswerRule)
    grid: tuple[int, int] | None = None
    alike: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        check_target(self.target)

    @classmethod
    def of(cls, puzzle: Puzzle) -> Asked:
        """That of a puzzle."""
        grid = tuple(puzzle.about["grid"]) if "grid" in puzzle.about else None
        return cls(
            puzzle.key.sample, puzzle.task, puzzle.key.difficulty, puzzle.target, puzzle.rule, grid, puzzle.alike
        )


@dataclass(frozen=True)
class Reply:
    """What came back.

    Args:
        text: without special tokens; None where nothing came.
        cut: the length limit ended it.
        trouble: why nothing came, in the words of what broke.
    """

    text: str | None
    cut: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class Scored:
    """One answer, judged.

    Args:
        answer: its items; empty where it is no permutation.
        places: right places of a permutation, else 0.
        reward: what the rule pays for it; 0 where nothing came.
    """

    asked: Asked
    reply: Reply
    status: Status
    answer: tuple[int, ...]
    places: int
    reward: float

    @property
    def answered(self) -> bool:
        return self.status not in UNANSWERED

    @property
    def exact(self) -> bool:
        return self.status == "exact"

    @property
    def formatted(self) -> bool:
        """Whether it has the form that the prompt asks for, whatever it says: what the format reward is paid for.

        Without thoughts the answer alone is the form, and it has to be a list of numbers.
        """
        bare = not self.asked.rule.think and self.status == "parse_error"
        return self.status not in FORMLESS and not bare


def score(asked: Asked, reply: Reply | str | None) -> Scored:
    """Judge one reply.

    Args:
        reply: a text alone is one that came whole; None is none.
    """
    given = reply if isinstance(reply, Reply) else Reply(reply)
    if given.text is None:
        return Scored(asked, given, "failed" if given.trouble else "no_reply", (), 0, 0.0)
    paid = asked.rule.score(given.text, asked.target, asked.alike)
    status: Status = paid.reason
    if given.cut and status in {"no_think", "no_container", "parse_error"}:
        status = "truncated"
    return Scored(asked, given, status, permutation(given.text, asked), paid.places, paid.total)


def permutation(text: str, asked: Asked) -> tuple[int, ...]:
    """The items of an answer if they are all labels once; the rule's container, whatever it pays for."""
    K, rule = len(asked.target), asked.rule
    found = read_answer(text, think=rule.think, container=rule.container, most_digits=len(str(K))).numbers
    return exchanged(found, asked) if sorted(found) == list(range(1, K + 1)) else ()


def exchanged(answer: tuple[int, ...], asked: Asked) -> tuple[int, ...]:
    """The answer with labels exchanged within their groups, so that as many as can stand where the target has them."""
    best = list(answer)
    for group in asked.alike:
        places = [place for place, label in enumerate(answer) if label in group]
        right = {place: asked.target[place] for place in places if asked.target[place] in group}
        left = iter([label for label in group if label not in right.values()])
        for place in places:
            best[place] = right[place] if place in right else next(left)
    return tuple(best)


def score_all(asked: Sequence[Asked], replies: Sequence[Reply | str | None]) -> list[Scored]:
    """Judge replies in the order of their puzzles.

    Raises:
        InputError: another number of replies than of puzzles.
    """
    if len(asked) != len(replies):
        raise InputError(
            "each puzzle has one reply, None where nothing came",
            got=f"{len(asked)} puzzles, {len(replies)} replies",
            fix="match them by their ids first",
        )
    return [score(one, reply) for one, reply in zip(asked, replies, strict=True)]


@dataclass(frozen=True)
class Group:
    """All answers to puzzles of one kind and size.

    Args:
        scored: answers, also those that never came.
    """

    task: str
    difficulty: str
    pieces: int
    scored: tuple[Scored, ...]

    @property
    def answered(self) -> list[Scored]:
        return [one for one in self.scored if one.answered]

    @property
    def statuses(self) -> dict[Status, int]:
        """How many of each status, in the order of `STATUSES`."""
        counts = Counter(one.status for one in self.scored)
        return {status: counts[status] for status in STATUSES if counts[status]}

    @property
    def exact(self) -> Proportion:
        """Share in the right order, of all that were answered, with the Wilson interval."""
        return Proportion(sum(one.exact for one in self.answered), len(self.answered))

    @property
    def permutations(self) -> Proportion:
        """Share that could be read as a permutation."""
        return Proportion(sum(one.status in PERMUTATIONS for one in self.answered), len(self.answered))

    @property
    def places(self) -> Estimate | None:
        """Mean right places of all that were answered, unreadable ones with none; bootstrap interval."""
        return mean([one.places for one in self.answered], highest=self.pieces)

    @property
    def chance_exact(self) -> float:
        """Of a uniformly random permutation."""
        return 1 / factorial(self.pieces)

    @property
    def chance_places(self) -> float:
        """Of a uniformly random permutation: one, however many pieces there are."""
        return 1.0

    @property
    def tau(self) -> Estimate | None:
        """Mean Kendall tau of the permutations; chance is 0. None where there is none or only one piece."""
        taus = [kendall(one.answer, one.asked.target) for one in self.scored if one.answer and self.pieces > 1]
        return mean([(tau + 1) / 2 for tau in taus], highest=1, shown=lambda share: 2 * share - 1)

    @property
    def neighbours(self) -> Estimate | None:
        """Of the permutations in a grid: mean share of neighbouring pieces that are neighbours in the answer."""
        shares = [
            neighbours_kept(one.answer, one.asked.target, grid)
            for one in self.scored
            if one.answer and (grid := one.asked.grid) is not None and self.pieces > 1
        ]
        return mean(shares, highest=1)

    @property
    def above_chance(self) -> bool:
        """Whether the interval of the mean right places lies above that of a random permutation."""
        return self.places is not None and self.places.low > self.chance_places

    def as_json(self) -> dict[str, Any]:
        """All of this as numbers and names."""
        return {
            "task": self.task,
            "difficulty": self.difficulty,
            "pieces": self.pieces,
            "asked": len(self.scored),
            "answered": len(self.answered),
            "exact": {"right": self.exact.right, **ends(self.exact if self.answered else None)},
            "chance_exact": self.chance_exact,
            "places": ends(self.places),
            "chance_places": self.chance_places,
            "permutations": ends(self.permutations if self.answered else None),
            "kendall_tau": ends(self.tau),
            "neighbours": ends(self.neighbours),
            "statuses": dict(self.statuses),
        }


def ends(measured: Estimate | Proportion | None) -> dict[str, float | None]:
    """Value and interval; None for what has no value."""
    if measured is None:
        return {"value": None, "low": None, "high": None}
    return {"value": measured.value, "low": measured.low, "high": measured.high}


def summarize(scored: Iterable[Scored]) -> list[Group]:
    """One group for each kind and size, in order of first appearance."""
    found: dict[tuple[str, str, int], list[Scored]] = {}
    for one in scored:
        found.setdefault((one.asked.task, one.asked.difficulty, len(one.asked.target)), []).append(one)
    return [Group(*name, tuple(members)) for name, members in found.items()]


def mean(values: Sequence[float], *, highest: float, shown: Any = float) -> Estimate | None:
    """Mean of values from 0 to `highest`, with its percentile bootstrap interval; None of nothing.

    Where all values are the same, resampling sees no spread. Then the Wilson interval of the share of `highest` stands
    in, which is wide enough: nothing between 0 and 1 varies more than a coin with the same mean.

    Args:
        shown: turns a number into the unit that is reported; rising.
    """
    if not values:
        return None
    kinds, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    total = len(values)
    value = float(kinds @ counts) / total
    if len(kinds) == 1:
        right = value / highest * total
        low = wilson_interval(floor(right + 1e-9), total)[0] * highest
        high = wilson_interval(ceil(right - 1e-9), total)[1] * highest
    else:
        drawn = np.random.default_rng(SEED).multinomial(total, counts / total, size=RESAMPLES) @ kinds / total
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Estimate(shown(value), shown(min(low, value)), shown(max(high, value)), percent=False, digits=2)


def kendall(answer: Sequence[int], target: Sequence[int]) -> float:
    """Kendall's tau of two orders of the same labels: pairs in the same order minus pairs in another, over all."""
    place = {label: number for number, label in enumerate(answer)}
    signs = [1 if place[first] < place[second] else -1 for first, second in combinations(target, 2)]
    return sum(signs) / len(signs)


def neighbours_kept(answer: Sequence[int], target: Sequence[int], grid: tuple[int, int]) -> float:
    """Share of pieces next to each other in the picture that the answer puts next to each other, the same way round."""
    true, given = neighbours(target, grid), neighbours(answer, grid)
    return len(true & given) / len(true)


def neighbours(labels: Sequence[int], grid: tuple[int, int]) -> set[tuple[str, int, int]]:
    """(direction, left or upper, right or lower label) of every inner edge of the grid, labels in raster order."""
    rows, columns = grid
    across = {
        ("across", labels[row * columns + column], labels[row * columns + column + 1])
        for row in range(rows)
        for column in range(columns - 1)
    }
    down = {("down", labels[place], labels[place + columns]) for place in range((rows - 1) * columns)}
    return across | down
