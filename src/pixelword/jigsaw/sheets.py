"""Puzzles for people: what the model is shown, with its labels, and the same in the right order."""

from __future__ import annotations

from collections.abc import Sequence

from PIL.Image import Image, Resampling, new

from pixelword.jigsaw.markers import mark
from pixelword.jigsaw.puzzle import Clip, Media, Puzzle

GAP = 6
PAPER = (225, 225, 222)
RADIUS = 11
STRIP = 3
"""Frames that stand for a clip: the first, the middle, the last."""


def shown_sheet(puzzle: Puzzle, side: int = 480) -> Image:
    """The elements as the model is shown them, each with its label; a whole picture first where there is one."""
    media, columns = elements(puzzle), across(puzzle)
    if not media:
        return contained(whole(puzzle), side)
    sheet = grid([strip(one) for one in media], columns, side, labels=range(1, len(media) + 1))
    return below(contained(whole(puzzle), side), sheet) if len(media) < len(puzzle.media) else sheet


def solved_sheet(puzzle: Puzzle, side: int = 480) -> Image | None:
    """The elements in their right order, with the labels that the right answer lists; None for points."""
    media = elements(puzzle)
    if not media:
        return None
    right = [strip(media[label - 1]) for label in puzzle.target]
    gap = 0 if puzzle.task == "image" else GAP
    return grid(right, across(puzzle), side, labels=puzzle.target, gap=gap)


def elements(puzzle: Puzzle) -> tuple[Media, ...]:
    """What is put in order. Matching tasks show one more picture first; points are all in one picture."""
    if puzzle.task == "depth":
        return ()
    return puzzle.media[len(puzzle.media) - puzzle.pieces :]


def whole(puzzle: Puzzle) -> Image:
    first = puzzle.media[0]
    return first.frames[0] if isinstance(first, Clip) else first


def across(puzzle: Puzzle) -> int:
    """Columns of a sheet."""
    if puzzle.task == "image":
        return int(puzzle.about["grid"][1])
    return 2


def strip(media: Media) -> Image:
    """A picture, or some frames of a clip side by side."""
    if not isinstance(media, Clip):
        return media
    last = len(media.frames) - 1
    frames = [media.frames[number] for number in sorted({0, last // 2, last})][:STRIP]
    film = new("RGB", (sum(frame.width for frame in frames), frames[0].height))
    left = 0
    for frame in frames:
        film.paste(frame, (left, 0))
        left += frame.width
    return film


def grid(pictures: Sequence[Image], columns: int, side: int, *, labels: Sequence[int], gap: int = GAP) -> Image:
    """Pictures in rows, each with its label in its middle; `side` pixels wide at most."""
    widest = max(picture.width for picture in pictures)
    scale = min(1.0, (side - gap * (columns + 1)) / (widest * columns))
    small = [
        picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Resampling.BOX)
        for picture in pictures
    ]
    rows = [small[start : start + columns] for start in range(0, len(small), columns)]
    width = max(sum(one.width for one in row) + gap * (len(row) + 1) for row in rows)
    height = sum(max(one.height for one in row) for row in rows) + gap * (len(rows) + 1)
    sheet, centres, top = new("RGB", (width, height), PAPER), [], gap
    for row in rows:
        left = gap
        for one in row:
            sheet.paste(one, (left, top))
            centres.append((top + one.height // 2, left + one.width // 2))
            left += one.width + gap
        top += max(one.height for one in row) + gap
    return mark(sheet, centres, labels, radius=RADIUS, alpha=220)


def contained(picture: Image, side: int) -> Image:
    small = picture.copy()
    small.thumbnail((side, side), Resampling.BOX)
    return small


def below(first: Image, second: Image) -> Image:
    sheet = new("RGB", (max(first.width, second.width), first.height + GAP + second.height), PAPER)
    sheet.paste(first, (0, 0))
    sheet.paste(second, (0, first.height + GAP))
    return sheet
