"""When a run stops: at what no further call would get past, and where the first calls of a kind all fail alike."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pixelword.errors import ConfigError
from pixelword.realunify.backends.calls import RunStopped
from pixelword.realunify.records import Call, Outcome

T = TypeVar("T")

ALIKE = 5
"""Calls of one kind that fail alike, before any of that kind was answered, after which the run stops."""

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMEOUT})


@dataclass
class Halt:
    """Why a run was stopped, once it was, and what is known of each kind of call.

    A kind is a model, an operation and the settings that are sent: a size that a server refuses is refused for every
    item. Where a call of a kind was answered, its later failures are those of single items.
    """

    reason: RunStopped | None = None
    answered: set[str] = field(default_factory=set)
    failed: dict[str, Counter[str]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises the reason, if there is one."""
        if self.reason is not None:
            raise RunStopped(self.reason.what, got=self.reason.got, fix=self.reason.fix)

    def stop(self, what: str, *, got: object = None, fix: str = "") -> RunStopped:
        """The reason to raise; the first one given stays the reason of the run."""
        stopped = RunStopped(what, got=got, fix=fix)
        self.reason = self.reason or stopped
        return stopped

    def remember(self, calls: Iterable[Call]) -> None:
        """What an earlier start stored: these kinds of calls do work."""
        self.answered |= {kind_of(call) for call in calls}

    def note(self, call: Call) -> None:
        """Count how a call ended.

        Raises:
            RunStopped: as many calls of this kind failed alike, and none was answered yet.
        """
        kind = kind_of(call)
        if call.answered:
            self.answered.add(kind)
        elif call.outcome in FAILURES and kind not in self.answered:
            said = without_numbers(call.error)
            alike = self.failed.setdefault(kind, Counter())
            alike[said] += 1
            if alike[said] >= ALIKE:
                self.stop(
                    f"the first {ALIKE} calls failed alike, and none was answered",
                    got=f"{call.model}, {call.operation}: {call.error.replace(chr(10), ';')}",
                    fix="mend the cause, such as size, settings or address; the same command goes on",
                )
                self.check()


def kind_of(call: Call) -> str:
    return json.dumps([call.model, call.operation, call.settings], sort_keys=True)


def without_numbers(text: str) -> str:
    """A message with every word that holds a digit made one: numbers of requests and items differ each time."""
    return re.sub(r"\S*\d\S*", "#", text)


def made_or_halted(halt: Halt, make: Callable[[], T]) -> T:
    """What a task needs before its first item. A mistake in the settings stops the run: every item would meet it.

    Raises:
        RunStopped: the settings cannot be used.
    """
    try:
        return make()
    except ConfigError as error:
        raise halt.stop(error.what, got=error.got, fix=error.fix) from error
