"""One call of a model: what is asked, what comes back, and the three ways it can go wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pixelword.errors import BackendError, ConfigError, nearest
from pixelword.realunify.records import Outcome


class Operation(StrEnum):
    """What a model can be asked for. `interleave` is a reply in which the model may draw before it answers."""

    UNDERSTAND = "understand"
    GENERATE = "generate"
    EDIT = "edit"
    INTERLEAVE = "interleave"


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        operation: decides what the reply has to hold: a text, or a picture.
        pictures: files, in the order in which the model sees them.
        settings: `size` ("1024x1024"), `temperature`, `max_tokens`, and what a backend takes beyond these.
    """

    operation: Operation
    prompt: str
    pictures: tuple[Path, ...] = ()
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back. A model that declines is an answer, not a failure.

    Args:
        reported: the model name or version that the other side states; empty where it states none.
        versions: what it states beside the name, such as a fingerprint or the versions of its libraries.
    """

    text: str | None = None
    picture: bytes | None = None
    reported: str = ""
    versions: str = ""
    refused: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


class CallFailed(BackendError):
    """A call that brought no usable answer.

    Args:
        again: whether the same call may succeed a moment later.
        after: seconds that the other side asked to wait.
        outcome: what is written down when no further try is made.
        busy: whether the other side is overloaded, so that fewer calls at once would help.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        fix: str = "",
        again: bool = True,
        after: float | None = None,
        outcome: Outcome = Outcome.FAILED,
        busy: bool = False,
    ) -> None:
        super().__init__(what, got=got, fix=fix)
        self.again, self.after, self.outcome, self.busy = again, after, outcome, busy


class NotSupported(BackendError):
    """The model has no such operation; the item says so and gets no score."""


class RunStopped(BackendError):
    """Every further call would fail alike: a wrong key, a missing model, an exhausted quota, a reached cap."""


class Backend(ABC):
    """A model that can be asked.

    Args:
        can: the operations it has.
        at_once: how many calls it takes at the same time.
    """

    can: frozenset[Operation] = frozenset(Operation)
    at_once: int = 16

    @abstractmethod
    async def call(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            CallFailed: no usable answer; says whether to try again.
            NotSupported: the model has no such operation.
            RunStopped: no further call would succeed.
        """

    async def close(self) -> None:  # noqa: B027  (most have nothing to give back)
        """Give back connections and processes."""


def operations(words: str) -> frozenset[Operation]:
    """The operations that "understand,generate" names.

    Raises:
        ConfigError: a word that is none.
    """
    names = [word.strip() for word in words.split(",") if word.strip()]
    for name in names:
        if name not in set(Operation):
            raise ConfigError("there is no such operation", got=name, fix=nearest(name, Operation))
    return frozenset(Operation(name) for name in names)
