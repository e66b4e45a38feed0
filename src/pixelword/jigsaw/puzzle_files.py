"""Puzzles as a folder: `puzzles.jsonl`, a line for each, and their pictures in `media/`. Read back, they are the same.

This is how a held-out set is kept, given away, and shown to a model that something else runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import PIL.Image

from pixelword.errors import DataError, InputError
from pixelword.jigsaw.draws import Key
from pixelword.jigsaw.prompts import Part, Slot
from pixelword.jigsaw.puzzle import Clip, Media, Puzzle
from pixelword.jigsaw.rewards import AnswerRule
from pixelword.jigsaw.sources import below

LINES = "puzzles.jsonl"
MEDIA = "media"


def write_puzzles(puzzles: Iterable[Puzzle], folder: Path) -> int:
    """Write a folder of puzzles. The lines come last, so that a folder that has them is complete.

    Returns:
        How many.

    Raises:
        InputError: the folder holds puzzles already, or cannot be written.
    """
    if (folder / LINES).exists():
        raise InputError("this folder holds puzzles already", got=folder, fix="choose another one")
    part, count = folder / f".{LINES}.{os.getpid()}.part", 0
    try:
        (folder / MEDIA).mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as lines:
            for count, puzzle in enumerate(puzzles, start=1):
                line = line_of(puzzle, folder, f"{count - 1:06d}")
                lines.write(json.dumps(line, ensure_ascii=False, default=plain) + "\n")
        part.replace(folder / LINES)
    except OSError as error:
        raise InputError(
            "the puzzles cannot be written here", got=f"{folder}: {error}", fix="choose another folder"
        ) from error
    return count


def line_of(puzzle: Puzzle, folder: Path, number: str) -> dict[str, Any]:
    """One line; the pictures are written on the way."""
    shown = []
    for place, media in enumerate(puzzle.media):
        frames = media.frames if isinstance(media, Clip) else (media,)
        names = []
        for frame, picture in enumerate(frames):
            names.append(f"{MEDIA}/{number}-{place}" + (f"-{frame}" if isinstance(media, Clip) else "") + ".png")
            picture.save(folder / names[-1], compress_level=1)
        shown.append({"frames": names, "rate": media.rate} if isinstance(media, Clip) else {"image": names[0]})
    return {
        "id": puzzle.key.name,
        "task": puzzle.task,
        "k": puzzle.pieces,
        "sample": puzzle.key.sample,
        "seed": puzzle.key.seed,
        "epoch": puzzle.key.epoch,
        "difficulty": puzzle.key.difficulty,
        "prompt": [part if isinstance(part, str) else {part.kind: part.number} for part in puzzle.prompt],
        "media": shown,
        "order": list(puzzle.order),
        "target": list(puzzle.target),
        "alike": [list(group) for group in puzzle.alike],
        "rule": puzzle.rule.model_dump(),
        "about": puzzle.about,
        "sha256": puzzle.digest(),
    }


def plain(value: Any) -> Any:
    """What JSON does not know: measurements that are values of ours or of numpy."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.tolist()


def read_puzzles(folder: str | Path, *, check: bool = True) -> Iterator[Puzzle]:
    """The puzzles of a folder that `write_puzzles` wrote.

    Args:
        check: compare what is read with the stored hash of all that the model sees.

    Raises:
        DataError: no such folder; or a line or a picture is not what was written.
    """
    return (puzzle for puzzle, _ in read_lines(folder, check=check))


def read_lines(folder: str | Path, *, check: bool = True) -> Iterator[tuple[Puzzle, list[Path]]]:
    """As `read_puzzles`, each puzzle with the files of its pictures, in order."""
    place = Path(folder) / LINES
    try:
        lines = place.open(encoding="utf-8")
    except OSError as error:
        raise DataError(
            "this is no folder of puzzles", got=place, fix="write one with pixelword jigsaw export --to jsonl"
        ) from error
    with lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                puzzle, stored = puzzle_of(row, Path(folder)), row["sha256"]
                files = [Path(folder) / name for shown in row["media"] for name in names(shown)]
            except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise DataError(
                    f"{place}, line {number} is no puzzle", got=f"{type(error).__name__}: {error}", fix="export it anew"
                ) from error
            if check and puzzle.digest() != stored:
                raise DataError(
                    f"{place}, line {number} is not the puzzle that was written", got=row["id"], fix="export it anew"
                )
            yield puzzle, files


def names(shown: Mapping[str, Any]) -> list[str]:
    return [shown["image"]] if "image" in shown else list(shown["frames"])


def puzzle_of(row: Mapping[str, Any], folder: Path) -> Puzzle:
    return Puzzle(
        key=Key(row["seed"], row["epoch"], row["sample"], row["difficulty"]),
        task=row["task"],
        media=tuple(read_media(one, folder) for one in row["media"]),
        order=tuple(row["order"]),
        prompt=tuple(read_part(part) for part in row["prompt"]),
        rule=AnswerRule.model_validate(row["rule"]),
        about=row["about"],
        alike=tuple(tuple(group) for group in row.get("alike", ())),
    )


def read_part(part: Any) -> Part:
    if isinstance(part, str):
        return part
    ((kind, number),) = part.items()
    return Slot(int(number), kind)


def read_media(shown: Mapping[str, Any], folder: Path) -> Media:
    if "image" in shown:
        return read_png(folder, shown["image"])
    return Clip(tuple(read_png(folder, name) for name in shown["frames"]), float(shown["rate"]))


def read_png(folder: Path, name: str) -> PIL.Image.Image:
    path = below(folder, name)
    if path is None:
        raise ValueError(f"{name} leads out of the folder of the puzzles")
    with PIL.Image.open(path, formats=["PNG"]) as picture:
        picture.load()
        return picture
