"""What commands look at before they work: a missing library, a place that cannot be written, as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelword.errors import ConfigError, MissingExtra


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


def refuse_folder(file: Path | None) -> None:
    """For a file that is written after long work.

    Raises:
        ConfigError: a folder lies there.
    """
    if file is not None and file.is_dir():
        raise ConfigError(
            "the file to write is a folder", got=file, fix=f"name a file in it, such as {file / 'it.json'}"
        )
