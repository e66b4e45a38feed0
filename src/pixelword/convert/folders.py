"""Folders that models come from and go to: found locally or on the hub, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from pixelword.errors import CheckpointError, InputError

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
"""What is taken from the hub: no pickles and no code."""


def local_folder(source: str | Path) -> Path:
    """The folder of a model: a local one as it stands, or a hub repository after its download.

    Raises:
        CheckpointError: neither a folder nor a repository that can be had.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError("a model is a folder", got=f"{source}, a file", fix="name the folder that holds it")
    try:
        return Path(snapshot_download(str(source), allow_patterns=PATTERNS))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "no such folder, and the hub does not give a repository of this name",
            got=f"{source} ({str(error).splitlines()[0]})",
            fix="check the path; a repository is written owner/name and needs a network",
        ) from error


def read_json(file: Path) -> dict[str, Any]:
    """One JSON object from a file.

    Raises:
        CheckpointError: no such file, no JSON, or no object.
    """
    if not file.is_file():
        below = sorted(file.parent.glob(f"*/{file.name}"))  # the folder of a run, say, that holds model/
        fix = f"did you mean {' or '.join(str(other.parent) for other in below)}?" if below else "check the path"
        raise CheckpointError(f"no {file.name} in {file.parent.name}", got="no such file", fix=fix)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file.name} is not JSON", got=error, fix="download or save it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{file.name} must hold one object", got=type(content).__name__, fix="download or save it again"
        )
    return content


def check_new(target: str | Path) -> Path:
    """The target itself, if nothing is there yet; worth asking before long work.

    Raises:
        InputError: it exists and is not an empty folder.
    """
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError("the target exists already", got=target, fix="choose a new folder; nothing is overwritten")
    return target


@contextmanager
def written_whole(target: str | Path) -> Iterator[Path]:
    """A new folder that appears under its name when everything is in it, and never before.

    Yields a hidden sibling to write into. It is renamed at the end, and removed when anything fails.

    Raises:
        InputError: the target exists and is not empty, or cannot be written.
    """
    target = check_new(target)
    part = target.absolute().with_name(f".{target.absolute().name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        part.rename(target)
    except OSError as error:
        raise InputError(
            "the folder cannot be written here", got=f"{target}: {error}", fix="check space and rights, or go elsewhere"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
