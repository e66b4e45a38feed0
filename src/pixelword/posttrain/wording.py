"""How a puzzle is put to a model: in the paper's words, or in the few words that a tiny model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pixelword.errors import ConfigError
from pixelword.jigsaw import Puzzle
from pixelword.posttrain.questions import ONE_WORD, Item, SceneQuestion
from pixelword.world import REGIONS

Wording = Literal["paper", "short"]

PLACES: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 2): ("left", "right"),
    (2, 1): ("top", "bottom"),
    (2, 2): ("top-left", "top-right", "bottom-left", "bottom-right"),
    (3, 3): REGIONS,
}
"""Grid -> words of the drawn world for its places, in raster order."""


def worded(puzzle: Item, wording: Wording) -> Item:
    """The puzzle as it is asked.

    `short` shows the tiles and asks `where top-left , top-right , ... ?`; the answer is the bare list of numbers. It
    is for models with a closed vocabulary, in which none of the paper's sentences could be written.

    Raises:
        ConfigError: short words for a puzzle that they cannot name.
    """
    if isinstance(puzzle, SceneQuestion):
        return replace(puzzle, told=ONE_WORD) if wording == "paper" else puzzle
    if wording == "paper":
        return puzzle
    grid = puzzle.about.get("grid")
    if grid not in PLACES:
        raise ConfigError(
            "there are no short words for this puzzle",
            got=f"{puzzle.task} {puzzle.key.difficulty}",
            fix=f"use wording: paper, or image puzzles of {', '.join(f'{rows}x{columns}' for rows, columns in PLACES)}",
        )
    rule = puzzle.rule.model_copy(update={"think": False})
    return replace(puzzle, prompt=(*puzzle.slots, f"where {' , '.join(PLACES[grid])} ?"), rule=rule)


def right_answer(puzzle: Item, wording: Wording) -> str:
    """What supervised training teaches: the right order in the form that earns everything."""
    return listed(puzzle.target) if wording == "short" and isinstance(puzzle, Puzzle) else puzzle.answer


def listed(labels: Sequence[int]) -> str:
    """Numbers and commas as words of their own, which is how a closed vocabulary holds them."""
    return " , ".join(map(str, labels))
