"""Replies in a file, a JSON line each: written as they come, so that an interrupted evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixelword.errors import DataError, InputError
from pixelword.jigsaw.scoring import Reply


def read_replies(path: Path) -> dict[str, Reply]:
    """Replies by the id of their puzzle; of several to one puzzle, the last.

    A line has `id` and `reply`, and may have `cut` (the length limit ended it) and `trouble` (why there is none).

    Raises:
        DataError: the file cannot be read, or a line is none.
    """
    return {str(row["id"]): reply_of(row) for row in reply_lines(path, whole=True)}


def known_replies(path: Path, model: str) -> dict[tuple[str, str], Reply]:
    """What this model has said to just these puzzles, by id and hash; nothing where there is no file.

    A line that a killed process left half written is not there.
    """
    rows = reply_lines(path, whole=False) if path.exists() else iter(())
    return {(row["id"], row["sha256"]): reply_of(row) for row in rows if row.get("model") == model}


def reply_lines(path: Path, *, whole: bool) -> Iterator[dict[str, Any]]:
    """The lines of a file, checked.

    Args:
        whole: the last line, too, must be one.
    """
    # Not splitlines: a reply may hold other signs that end a line, which JSON does not escape.
    try:
        lines = path.read_text(encoding="utf-8", errors="strict" if whole else "replace").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("these replies cannot be read", got=f"{path}: {error}", fix="check the path") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["id"], reply_of(row)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if not whole:
                continue
            raise DataError(
                f"{path}, line {number} is no reply",
                got=f"{type(error).__name__}: {error}",
                fix='write {"id": "...", "reply": "..."}',
            ) from error
        yield row


def reply_of(row: dict[str, Any]) -> Reply:
    text = row["reply"]
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a reply is text or null, not {type(text).__name__}")
    return Reply(text, cut=bool(row.get("cut", False)), trouble=str(row.get("trouble", "")))


def append_reply(path: Path, name: str, digest: str, reply: Reply, model: str) -> None:
    """Add one line.

    Args:
        name, digest: of the puzzle.

    Raises:
        InputError: the file cannot be written.
    """
    named = {"id": name, "sha256": digest, "model": model}
    row = {**named, "reply": reply.text, "cut": reply.cut, "trouble": reply.trouble}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as lines:
            # A line that a killed process left unfinished must not swallow this one.
            if lines.seek(0, 2) and lines.seek(-1, 2) >= 0 and lines.read(1) != b"\n":
                lines.write(b"\n")
            lines.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise InputError(
            "replies cannot be written here", got=f"{path}: {error}", fix="choose another folder"
        ) from error
