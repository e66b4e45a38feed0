"""A missing optional library becomes a sentence that says what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pixelword.errors import MissingExtra


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Put this around a command's imports, and only around them.

    Args:
        extra: the extra of this package that installs everything imported inside.

    Raises:
        MissingExtra: a third-party library is absent. An absent module of our own is our bug and passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "pixelword"):
            raise
        raise MissingExtra(library, extra) from error
