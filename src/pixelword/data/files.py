"""Files that a source is made of: here or elsewhere, by a path, a folder, a pattern or a range of numbers.

    data/rows.jsonl    data/shards/    data/*.tar    data/shard-{000..099}.tar
    https://host/shard-{000..099}.tar    hf://datasets/owner/name/*.tar    s3://bucket/*.tar

What is elsewhere is opened by `datasets`, which knows the hub's tokens and tries again when a connection is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from pixelword.errors import ConfigError, DataError, MissingExtra

BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"

WEB = ("http://", "https://")
MOST_FILES = 1_000_000
"""A pattern that means more is a slip of the pen."""
BRACES = re.compile(r"\{([^{}]*)\}")
NUMBERS = re.compile(r"(\d+)\.\.(\d+)")


def open_file(path: Path) -> BinaryIO:
    """Raises:
    DataError: the file cannot be opened.
    """
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened", got=error, fix="check the path and its permissions") from error


def is_elsewhere(path: str) -> bool:
    """Whether it is a URL."""
    return "://" in path


def open_elsewhere(url: str) -> tuple[Any, bool]:
    """A file behind a URL, and whether any range of its bytes can be asked for.

    Raises:
        DataError: it is not there, or cannot be reached.
        MissingExtra: `datasets` is not installed.
    """
    try:
        from datasets.exceptions import DatasetsError
        from datasets.utils.file_utils import xopen
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error
    try:
        file = xopen(url, "rb")
        if _gives_ranges(file):
            return file, True
        file.close()
        # In one piece; in blocks, a web server without ranges would answer each with the first.
        return xopen(url, "rb", **({"block_size": 0} if url.startswith(WEB) else {})), False
    except (OSError, ValueError, ImportError, DatasetsError) as error:
        raise DataError(
            f"{url} cannot be opened",
            got=f"{type(error).__name__}: {error}",
            fix="check the address, the network, and for the hub the token (hf auth login)",
        ) from error


def _gives_ranges(file: Any) -> bool:
    """Whether the last byte can be read; servers that do not say so, and then refuse, are no rarity."""
    try:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        file.read(1)
        file.seek(0)
    except ValueError:
        return False
    return True


@contextmanager
def connected(name: str) -> Iterator[None]:
    """Around reading: a connection that is lost for good ends the run; the rows behind it are not bad.

    Raises:
        DataError: the connection is lost.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{name} cannot be read on: the connection is lost",
            got=f"{type(error).__name__}: {error}",
            fix="check the network, then give the same command again: it goes on where it stopped",
        ) from error


def files_of(path: str, endings: tuple[str, ...]) -> list[Path] | list[str]:
    """What a path, a folder or a pattern means: files here in order of their names, or URLs.

    Args:
        path: see the top of this file.
        endings: of the files of a folder that count.

    Raises:
        ConfigError: braces that are not understood, or that mean too many files; a pattern that no server can answer.
        DataError: files elsewhere that cannot be listed.
    """
    if not is_elsewhere(path) and Path(path).exists():
        return _here(path, endings)
    several = list(expanded(path))
    if is_elsewhere(path):
        return [url for pattern in several for url in _listed(pattern)]
    return [file for name in several for file in _here(name, endings)]


def expanded(path: str) -> Iterator[str]:
    """`{000..099}` as numbers of that width, `{a,b}` as words; several braces in all combinations.

    Raises:
        ConfigError: braces that are neither, or that mean too many files.
    """
    pieces = BRACES.split(path)
    choices = [[piece] if place % 2 == 0 else _choice(piece, path) for place, piece in enumerate(pieces)]
    if (count := prod(map(len, choices))) > MOST_FILES:
        raise ConfigError(f"{path} means too many files", got=f"{count:,}", fix=f"at most {MOST_FILES:,}")
    return ("".join(words) for words in product(*choices))


def _choice(inner: str, path: str) -> Sequence[str]:
    if match := NUMBERS.fullmatch(inner):
        first, last = int(match[1]), int(match[2])
        if first <= last < first + MOST_FILES:
            return [f"{number:0{len(match[1])}}" for number in range(first, last + 1)]
    elif "," in inner:
        return inner.split(",")
    raise ConfigError(
        f"{path}: these braces are neither a range nor a choice",
        got="{" + inner + "}",
        fix=f"write {{000..099}} with the smaller number first and at most {MOST_FILES:,} numbers, or {{a,b}}",
    )


def _here(path: str, endings: tuple[str, ...]) -> list[Path]:
    if Path(path).is_dir():
        return sorted(file for file in Path(path).iterdir() if file.name.endswith(endings) and file.is_file())
    if Path(path).is_file():
        return [Path(path)]
    return sorted(Path(file) for file in glob(path, recursive=True) if Path(file).is_file())


def _listed(url: str) -> list[str]:
    if "*" not in url:
        return [url]
    if url.startswith(WEB):
        raise ConfigError(
            "a web server does not list its files",
            got=url,
            fix="write the numbers as {000..099}, or the names as {a,b}",
        )
    try:
        from datasets.data_files import resolve_pattern
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error
    try:
        return sorted(resolve_pattern(url, ""))
    except (OSError, ValueError, ImportError) as error:
        raise DataError(
            f"{url} cannot be listed",
            got=f"{type(error).__name__}: {error}",
            fix="check the address, the network, and for the hub the token (hf auth login)",
        ) from error
