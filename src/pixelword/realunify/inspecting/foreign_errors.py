"""Errors of the libraries that Inspect's own providers use, by the HTTP status that they carry."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from types import TracebackType

from pixelword.realunify.backends.http import looks_like_a_key, meaning


class ErrorsByStatus(AbstractContextManager[None]):
    """Raises ours in the place of an error with an HTTP status; what has none passes through as it is."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (ours := by_status(error)) is not error:
            raise ours from error


def by_status(error: BaseException) -> BaseException:
    """What the HTTP status of an error means to us; the error itself where it has none."""
    status = status_of(error)
    if status is None:
        return error
    return meaning(status, f"{status} {without_keys(' '.join(str(error).split()))[:300]}", str(error), {})


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
