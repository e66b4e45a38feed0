"""A model in this process: loaded at its first call, and asked one request at a time in a thread of its own."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pixelword.errors import BackendError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Request

STUMBLES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, OSError)
"""What a library raises at one request, out of memory included; where every request meets it, the run stops."""


class InProcess(Backend):
    """What loads and answers is for the subclass.

    Args:
        lacks: why an operation that it does not have is not supported.
        libraries: those whose versions a reply depends on.
    """

    at_once = 1
    lacks: str
    libraries: tuple[str, ...] = ("torch", "transformers")

    def __init__(self, model: str) -> None:
        self.model = model
        self.loaded: Any = None
        self.turn: Any = None

    async def call(self, request: Request) -> Answer:
        import anyio

        if request.operation not in self.can:
            raise NotSupported(self.lacks, got=request.operation, fix="give the role to another model, or see can=...")
        if self.turn is None:
            self.turn = anyio.Lock()
        async with self.turn:
            return await anyio.to_thread.run_sync(partial(self.answer, request))

    def answer(self, request: Request) -> Answer:
        """Load once, check what would fail for every item, and answer.

        Raises:
            CallFailed: the library stumbles over this request.
            RunStopped: it cannot be loaded, or asked with these settings.
        """
        if self.loaded is None:
            self.loaded = self.load()
        self.check(request)
        try:
            return replace(self.respond(request), reported=self.model, versions=versions_of(self.libraries))
        except BackendError:
            raise
        except STUMBLES as error:
            got = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise CallFailed(
                "the model stumbled", got=got, fix="ask for less, or see the error", again=False
            ) from error

    @abstractmethod
    def load(self) -> Any:
        """The model.

        Raises:
            RunStopped: a library is absent, the model cannot be loaded, or there is no such device or dtype.
        """

    def check(self, request: Request) -> None:
        """Refuse what no request could be answered with.

        Raises:
            RunStopped: names it.
        """

    @abstractmethod
    def respond(self, request: Request) -> Answer:
        """Answer with the loaded model."""


@cache
def versions_of(libraries: tuple[str, ...]) -> str:
    """Of those that are installed."""
    found = []
    for name in libraries:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
