"""Replies that the released reader and the strict one read differently, and whether that changes the score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixelword.realunify.letters import read_letter
from pixelword.realunify.verdicts import read_verdict


@dataclass(frozen=True)
class Asked:
    """A reply with what it should say: a letter with the option texts, or "yes" or "no" of a judge's question."""

    item: str
    reply: object
    truth: str
    options: Sequence[str] | None = None

    @property
    def is_verdict(self) -> bool:
        return self.truth in {"yes", "no"}


@dataclass(frozen=True)
class Flip:
    """One reply read in two ways; None means that no decision was found."""

    asked: Asked
    reference: str | None
    strict: str | None

    @property
    def changes_score(self) -> bool:
        """Whether one of the two readings is right and the other is not."""
        return (self.reference == self.asked.truth) != (self.strict == self.asked.truth)


def flips(replies: Iterable[Asked]) -> list[Flip]:
    """The replies that the two modes read differently, in their order."""
    found = []
    for asked in replies:
        if asked.is_verdict:
            reference, strict = read_verdict(asked.reply, mode="reference"), read_verdict(asked.reply, mode="strict")
        else:
            reference = read_letter(asked.reply, mode="reference")
            strict = read_letter(asked.reply, mode="strict", options=asked.options)
        if reference != strict:
            found.append(Flip(asked, reference, strict))
    return found
