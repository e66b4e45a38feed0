"""Several judges on the same pictures: their verdicts one by one, the panel's majority, and how far they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from pixelword.errors import ConfigError
from pixelword.realunify.agreement import kappa, kappa_interval
from pixelword.realunify.dataset import Question
from pixelword.realunify.intervals import Interval, wilson
from pixelword.realunify.judge.polling import Ask, P_contra, Pause, every_one, majority, poll
from pixelword.realunify.judge.settings import JudgeSettings
from pixelword.realunify.judge.wordings import Verdict
from pixelword.realunify.records import ItemRecord, Polled

Key = TypeVar("Key")


async def poll_panel(
    asks: Sequence[Ask[P_contra]],
    picture: P_contra,
    questions: Sequence[Question],
    judges: Sequence[JudgeSettings],
    *,
    pause: Pause = asyncio.sleep,
) -> tuple[Polled, ...]:
    """Every judge on every question. The verdict is what more than half of the judges say, each after its own votes.

    Raises:
        ConfigError: no judge, or several of one name.
    """
    check_names(judges)
    every = await every_one(
        poll(ask, picture, questions, judge, pause=pause) for ask, judge in zip(asks, judges, strict=True)
    )
    return tuple(
        same[0].model_copy(
            update={
                "verdict": majority([each.verdict for each in same]),
                "votes": tuple(vote for each in same for vote in each.votes),
            }
        )
        for same in zip(*every, strict=True)
    )


def check_names(judges: Sequence[JudgeSettings]) -> None:
    """Refuse a panel whose votes could not be told apart.

    Raises:
        ConfigError: no judge, or one name twice.
    """
    names = [judge.model for judge in judges]
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            "a panel has judges of different names",
            got=names,
            fix="name every judge once, or use `votes` for several replies of one",
        )


def judge_verdicts(polled: Polled) -> dict[str, Verdict | None]:
    """Judge -> its own majority on one question."""
    by_judge: dict[str, list[Verdict | None]] = {}
    for vote in polled.votes:
        by_judge.setdefault(vote.judge, []).append(vote.verdict)
    return {judge: majority(verdicts) for judge, verdicts in by_judge.items()}


@dataclass(frozen=True)
class Agreement:
    """Two judges on the questions that both decided.

    Args:
        same: questions on which they agree, of `questions`.
        kappa: agreement beyond chance; None where both always say one same word.
        yes: how often each said yes.
    """

    first: str
    second: str
    questions: int
    same: int
    kappa: float | None
    interval: Interval | None
    yes: tuple[int, int]

    @property
    def share_interval(self) -> Interval:
        return wilson(self.same, self.questions)


def agreements(records: Iterable[ItemRecord]) -> list[Agreement]:
    """Every pair of judges over all questions of some records."""
    columns: dict[tuple[str, str], list[tuple[Verdict, Verdict]]] = {}
    for verdicts in (judge_verdicts(polled) for record in records for polled in record.polled):
        decided = {judge: verdict for judge, verdict in verdicts.items() if verdict in {"yes", "no"}}
        for one, other in combinations(sorted(decided), 2):
            columns.setdefault((one, other), []).append((decided[one], decided[other]))
    return [agreement(*judges, pairs) for judges, pairs in sorted(columns.items())]


def beside(ones: Mapping[Key, ItemRecord], others: Mapping[Key, ItemRecord]) -> list[ItemRecord]:
    """The records of two scorings of one run in one, each question with the votes of both, for their agreement.

    Empty where a judge took part in both: its votes could not be told apart.
    """
    judges = [
        {vote.judge for record in records.values() for each in record.polled for vote in each.votes}
        for records in (ones, others)
    ]
    if judges[0] & judges[1]:
        return []
    found = []
    for key in ones.keys() & others.keys():
        questions = {each.question: each for each in others[key].polled}
        polled = tuple(
            each.model_copy(update={"votes": each.votes + questions[each.question].votes})
            for each in ones[key].polled
            if each.question in questions
        )
        found.append(ones[key].model_copy(update={"polled": polled}))
    return found


def agreement(first: str, second: str, pairs: Sequence[tuple[Verdict, Verdict]]) -> Agreement:
    """Of one pair of judges."""
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    return Agreement(
        first,
        second,
        len(pairs),
        sum(one == other for one, other in pairs),
        kappa(ones, others),
        kappa_interval(ones, others),
        (ones.count("yes"), others.count("yes")),
    )


def disagreement(records: Iterable[ItemRecord]) -> Mapping[str, tuple[int, int]]:
    """Judge -> (questions on which its own votes differ, questions with several votes)."""
    found: dict[str, tuple[int, int]] = {}
    for polled in (polled for record in records for polled in record.polled):
        for judge in {vote.judge for vote in polled.votes}:
            votes = [vote.verdict for vote in polled.votes if vote.judge == judge]
            if len(votes) > 1:
                differ, asked = found.get(judge, (0, 0))
                found[judge] = (differ + (len(set(votes)) > 1), asked + 1)
    return found
