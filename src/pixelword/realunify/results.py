"""One item's result. A failure has a status and no score, and nothing here can turn the one into the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelword.errors import DataError, InputError
from pixelword.realunify.letters import Mode, check_mode, read_letter
from pixelword.realunify.taxonomy import ItemId, Protocol, Status
from pixelword.realunify.verdicts import read_verdict, reference_verdict_outcome


@dataclass(frozen=True)
class ItemResult:
    """How one item ended under one protocol.

    Args:
        right: whether it was solved; set exactly when the status is `ok`.
        passed, questions: how many of the judge's questions of a UEG item came out as expected, of how many.
        stage_one_right: whether the rewritten prompt (UEG) or the edited image (GEU) was right, where that is known.
        subtask: where known.

    Raises:
        InputError: a failure with a score, or a score without a decision.
    """

    item: ItemId
    protocol: Protocol
    status: Status
    right: bool | None = None
    passed: int = 0
    questions: int = 0
    stage_one_right: bool | None = None
    subtask: str | None = None

    def __post_init__(self) -> None:
        if (self.status == Status.OK) != (self.right is not None):
            raise InputError(
                "right or wrong goes with the status ok and with no other",
                got=f"{self.item}: {self.status}, right={self.right}",
                fix="leave `right` away for a failure, and decide it for ok",
            )
        if not 0 <= self.passed <= self.questions:
            raise InputError("passed questions are among those asked", got=self, fix="count every question once")

    @property
    def point(self) -> int | None:
        """1 or 0 where the model answered (a reply without a decision is a wrong answer), None for any failure."""
        if self.status == Status.ANSWER_UNPARSED:
            return 0
        return None if self.right is None else int(self.right)


@dataclass(frozen=True)
class Reading:
    """What replies came to: a status, right or wrong where it is decided, and what was read."""

    status: Status
    right: bool | None
    read: tuple[str | None, ...]


def score_choice(reply: object, answer: str, *, mode: Mode = "strict", options: Sequence[str] | None = None) -> Reading:
    """A multiple-choice reply against its letter.

    Raises:
        DataError: the item's own answer is no letter; the released code would give an unread reply a point for it.
    """
    if answer not in {"A", "B", "C", "D"}:
        raise DataError("an item's answer is a letter from A to D", got=answer, fix="correct the item or block it")
    letter = read_letter(reply, mode=mode, options=options)
    if letter is None:
        return Reading(Status.ANSWER_UNPARSED, None, (None,))
    return Reading(Status.OK, letter == answer, (letter,))


def score_polling(replies: Sequence[object], expected: Sequence[str], *, mode: Mode = "strict") -> Reading:
    """A picture's polling: right when every question got its expected verdict.

    `strict` leaves the item open (`judge_unparsed`) while any reply decides nothing. `reference` counts such a reply
    as a failed question, as the released code does; an empty reply loses the item there (`judge_failed`).

    Raises:
        DataError: no question (the released code would call any picture right), another number of replies than
            questions, or an expected verdict other than yes and no.
    """
    check_mode(mode)
    if not expected or len(replies) != len(expected) or not set(expected) <= {"yes", "no"}:
        raise DataError(
            "a polled item has questions, each with an expected yes or no and one reply",
            got=f"{len(replies)} replies, expected {list(expected)}",
            fix="ask every question of the item once, and correct or block an item without questions",
        )
    read = tuple(read_verdict(reply, mode=mode) for reply in replies)
    if mode == "reference":
        if "item_dropped" in {reference_verdict_outcome(reply) for reply in replies}:
            return Reading(Status.JUDGE_FAILED, None, read)
    elif None in read:
        return Reading(Status.JUDGE_UNPARSED, None, read)
    return Reading(Status.OK, read == tuple(expected), read)
