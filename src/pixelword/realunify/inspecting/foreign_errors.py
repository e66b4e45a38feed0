"""Errors of the libraries that Inspect's own providers use, as ours: by the HTTP status that they carry, if they do."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from types import TracebackType

from inspect_ai._util.error import PrerequisiteError
from tenacity import RetryError

from pixelword.errors import PixelWordError
from pixelword.realunify.backends.calls import CallFailed, RunStopped
from pixelword.realunify.backends.http import Refused, looks_like_a_key, meaning
from pixelword.realunify.records import Outcome


class AsOurs(AbstractContextManager[None]):
    """Raises our error in the place of a library's. Our own and Inspect's, which stop or limit a sample, pass."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and (ours := as_ours(error)) is not error:
            raise ours from error


def as_ours(error: BaseException) -> BaseException:
    """What a library's error means to us. One without a status is a failure of this call; five alike stop the run."""
    if isinstance(error, PixelWordError | RetryError | Refused):
        return error
    said = without_keys(" ".join(str(error).split()))[:300]
    if isinstance(error, PrerequisiteError):
        return RunStopped(
            "Inspect cannot ask this model", got=without_keys(str(error.message)), fix="install or set it"
        )
    if type(error).__module__.partition(".")[0] == "inspect_ai":
        return error
    status = status_of(error)
    if status is not None:
        return meaning(status, f"{status} {said}", str(error), {})
    timeout = "Timeout" in type(error).__name__
    got = f"{type(error).__name__}: {said}"
    outcome = Outcome.TIMEOUT if timeout else Outcome.FAILED
    return CallFailed("the provider failed", got=got, fix="see Inspect's log", again=False, outcome=outcome)


def status_of(error: BaseException) -> int | None:
    """The status in the error, as openai, anthropic, google and httpx hold it."""
    response = getattr(error, "response", None)
    for held in (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(error, "code", 0),
    ):
        if type(held) is int and 400 <= held < 600:
            return held
    return None


def without_keys(text: str) -> str:
    """A text without any key that stands in the environment."""
    for name, value in os.environ.items():
        if looks_like_a_key(name) and len(value) >= 8:
            text = text.replace(value, "[key]")
    return text
