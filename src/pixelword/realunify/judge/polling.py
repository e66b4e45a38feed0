"""Polling of one picture: every question, all votes, failures retried, and nothing turned into a no."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pixelword.errors import DataError
from pixelword.realunify.dataset import Question
from pixelword.realunify.judge.settings import JudgeSettings
from pixelword.realunify.judge.wordings import WORDINGS, Request, Verdict, Wording
from pixelword.realunify.records import Call, Outcome, Polled, Vote
from pixelword.realunify.taxonomy import Status

T = TypeVar("T")
P_contra = TypeVar("P_contra", contravariant=True)
Pause = Callable[[float], Awaitable[object]]


@dataclass(frozen=True)
class Attempt:
    """Which vote a request is for, and the how-manieth request for it: part of what makes a request another one."""

    vote: int = 0
    number: int = 0


class Ask(Protocol[P_contra]):
    """Sends one request with one picture to the judge.

    Returns the call whatever became of it; a failure on the way is an outcome. What must stop a run at once (a wrong
    key, a missing model) is raised and passes through.
    """

    def __call__(self, picture: P_contra, request: str, attempt: Attempt, /) -> Awaitable[Call]: ...


async def poll(
    ask: Ask[P_contra],
    picture: P_contra,
    questions: Sequence[Question],
    settings: JudgeSettings,
    *,
    pause: Pause = asyncio.sleep,
    wording: Wording | None = None,
) -> tuple[Polled, ...]:
    """Every question about one picture, none left out because an earlier one failed.

    Args:
        wording: in the place of the one that the settings name.
        pause: waits so many seconds before a retry.

    Raises:
        DataError: no questions; the released code would call any picture right.
    """
    if not questions:
        raise DataError("a polled picture has questions", got="none", fix="correct the item or block it")
    wording = wording or WORDINGS[settings.wording]
    requests = wording.requests([question.question for question in questions])
    jobs = [(request, vote) for vote in range(settings.votes) for request in requests]
    answers = await every_one(answered(ask, picture, request, vote, settings, wording, pause) for request, vote in jobs)
    votes: list[list[Vote]] = [[] for _ in questions]
    for (request, _), (call, verdicts) in zip(jobs, answers, strict=True):
        for place, verdict in zip(request.places, verdicts, strict=True):
            votes[place].append(Vote(judge=settings.model, prompt_version=wording.name, verdict=verdict, call=call))
    return tuple(
        Polled(
            question=question.question,
            expected="yes" if question.answer == "yes" else "no",
            verdict=majority([vote.verdict for vote in given]),
            votes=tuple(given),
        )
        for question, given in zip(questions, votes, strict=True)
    )


async def answered(
    ask: Ask[P_contra],
    picture: P_contra,
    request: Request,
    vote: int,
    settings: JudgeSettings,
    wording: Wording,
    pause: Pause,
) -> tuple[Call, list[Verdict | None]]:
    """One vote: the last call, and a verdict for each question of the request."""
    undecided: list[Verdict | None] = [None] * len(request.places)
    failures, unread, text = 0, 0, request.text
    while True:
        call = await ask(picture, text, Attempt(vote, failures + unread))
        if not call.answered:
            failures += 1
            if failures > settings.retries:
                return call, undecided
            await pause(settings.pause * 2 ** (failures - 1))
            continue
        verdicts = wording.read(call.text, len(request.places)) if call.outcome == Outcome.REPLY else undecided
        unread += None in verdicts
        if None not in verdicts or unread > settings.repairs:
            return call, verdicts
        text = f"{request.text}\n\n{wording.repair}" if wording.repair else request.text


async def every_one(asked: Iterable[Awaitable[T]]) -> list[T]:
    """All results. What stops one of them is raised when the others have ended: a reply on its way is paid for."""
    ended = await asyncio.gather(*asked, return_exceptions=True)
    found: list[T] = []
    for each in ended:
        if isinstance(each, BaseException):
            raise each
        found.append(each)
    return found


def majority(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """What more than half of all votes say; None when no verdict has that many. An unread vote stays in the whole."""
    counts = Counter(verdict for verdict in verdicts if verdict is not None)
    return next((verdict for verdict, number in counts.items() if 2 * number > len(verdicts)), None)


def decide(polled: Sequence[Polled]) -> tuple[Status, bool | None]:
    """Status of a polled item, and right or wrong where every question is decided.

    `cannot_tell` decides nothing. An item with one undecided question is open even if another question failed.

    Raises:
        DataError: no questions.
    """
    if not polled:
        raise DataError("a polled item has questions", got="none", fix="correct the item or block it")
    undecided = [each for each in polled if each.verdict not in {"yes", "no"}]
    if not undecided:
        return Status.OK, all(each.passed for each in polled)
    calls = [vote.call for each in undecided for vote in each.votes]
    failed = not calls or any(not call.answered for call in calls)
    return Status.JUDGE_FAILED if failed else Status.JUDGE_UNPARSED, None
