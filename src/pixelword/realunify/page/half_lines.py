"""Half a last line in a file of a run, which a killed process leaves: it is said, passed over, and blocks nothing."""

from __future__ import annotations

import os
from pathlib import Path

from pixelword.realunify.judge import StageOne
from pixelword.realunify.judge.stage_one import FILE
from pixelword.realunify.store import Store, cut_half_line, lines


def half_written(folder: Path) -> list[str]:
    """Names of the files of a run whose last line has no end."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                found += [path.name] * (file.read(1) != b"\n")
    return found


def told_of(name: str) -> str:
    """The sentence about one of them."""
    return (
        f"The last line of {name} is only half there: the process that wrote it was stopped, or is still writing. "
        "It is passed over."
    )


def checked_rewrites(folder: Path) -> dict[tuple[str, int], StageOne]:
    """(item, sample) -> what a text judge said last of a rewritten prompt; empty where nothing was checked.

    Raises:
        DataError: a whole line that is not JSON.
        ConfigError: a line that is no verdict on a rewritten prompt.
    """
    return {(said.item, said.sample): said for said in lines(folder / FILE, StageOne)}


def mend(folder: Path) -> list[str]:
    """Cut half a last line off the verdicts on rewritten prompts, so that further ones may follow.

    The other files are mended by whoever opens the run for writing.

    Returns:
        The names of all files that had one.

    Raises:
        BackendError: another process is writing into the folder.
    """
    found = half_written(folder)
    if FILE in found:
        with Store(folder):
            cut_half_line(folder / FILE)
    return found
