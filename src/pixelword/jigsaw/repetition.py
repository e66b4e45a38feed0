"""Whether a response says the same thing again and again."""

from __future__ import annotations

import re
from typing import Literal

Unit = Literal["lines", "sentences"]

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def repeats(text: str, *, min_words: int, max_run: int, period: int = 1, unit: Unit = "lines") -> bool:
    """Whether some passage occurs more than `max_run` times in a row.

    With `period=1` and `unit="lines"` this is the released test: lines are stripped and empty ones dropped, case does
    not count, a line of fewer than `min_words` words ends the run.

    Args:
        period: how many units the passage may have at most; 2 also finds two lines that take turns.
        unit: what is compared; sentences also find repetition without line breaks.

    Takes time in proportion to `period` times the length of the text.
    """
    units = [piece.strip().lower() for line in text.strip().splitlines() for piece in split(line, unit)]
    units = [piece for piece in units if piece]
    # A short unit gets a mark of its own, so that it equals nothing and ends every run.
    marks = [piece if len(piece.split()) >= min_words else number for number, piece in enumerate(units)]
    return any(longest_run(marks, size) > max_run for size in range(1, period + 1))


def split(line: str, unit: Unit) -> list[str]:
    return [line] if unit == "lines" else SENTENCE_END.split(line)


def longest_run(marks: list[str | int], size: int) -> int:
    """How often a passage of `size` marks comes in a row, at most; 1 for a mark that is long enough and alone."""
    longest, equal = 0, 0
    for place, mark in enumerate(marks):
        equal = equal + 1 if place >= size and mark == marks[place - size] else 0
        if isinstance(mark, str):
            longest = max(longest, equal // size + 1)
    return longest
