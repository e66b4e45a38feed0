"""Bin packing: samples of any length into rows of a token budget, with a bounded look-ahead.

The packer holds up to `look_ahead` waiting samples. A row starts with the one that waits longest, then takes again
and again the longest that still fits. So nothing is cut or lost, a sample that has k others before it waits for at
most k rows, and the same samples in the same order always give the same rows.

Until the waiting room has settled, rows hold more long samples than the data does; the short ones follow as filling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pixelword.errors import ConfigError, DataError

Item = TypeVar("Item")


@dataclass
class Packer(Generic[Item]):
    """The waiting room.

    Args:
        budget: tokens of a row.
        look_ahead: most samples that wait; more of them fill rows better and take longer to collect.

    Raises:
        ConfigError: either is not positive.
    """

    budget: int
    look_ahead: int = 1024
    _waiting: dict[int, tuple[int, Item]] = field(default_factory=dict, repr=False)
    _arrived: int = field(default=0, repr=False)
    _oldest: deque[int] = field(default_factory=deque, repr=False)
    _of_length: dict[int, deque[int]] = field(default_factory=dict, repr=False)
    # Bit k is set while a sample of k tokens waits: the longest that fits is the highest bit below a mask.
    _lengths: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if self.budget < 1 or self.look_ahead < 1:
            raise ConfigError(
                "a packer needs a positive budget and look-ahead",
                got=f"budget {self.budget}, look_ahead {self.look_ahead}",
                fix="give the tokens of a row, and how many samples may wait",
            )

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a row must leave before the next sample can come in."""
        return len(self._waiting) >= self.look_ahead

    def add(self, item: Item, length: int) -> None:
        """Let a sample wait.

        Args:
            item: whatever stands for the sample; plain data if the packer's state is to be saved.
            length: its tokens.

        Raises:
            DataError: no tokens, or more than the budget.
        """
        if not 1 <= length <= self.budget:
            raise DataError(
                f"a sample must have between 1 and {self.budget} tokens, the budget of a row",
                got=f"{length} tokens",
                fix="raise the budget, lower max_pixels, or leave the sample out",
            )
        number, self._arrived = self._arrived, self._arrived + 1
        self._waiting[number] = (length, item)
        self._oldest.append(number)
        if length not in self._of_length:
            self._of_length[length] = deque()
        self._of_length[length].append(number)
        self._lengths |= 1 << length

    def row(self) -> list[Item]:
        """The next row; empty when nothing waits."""
        while self._oldest and self._oldest[0] not in self._waiting:
            self._oldest.popleft()
        if not self._oldest:
            return []
        length = self._waiting[self._oldest[0]][0]
        row, room = [], self.budget
        while length:
            row.append(self._take(length))
            room -= length
            length = max((self._lengths & ((2 << room) - 1)).bit_length() - 1, 0)
        return row

    def _take(self, length: int) -> Item:
        """The sample of this length that waits longest."""
        same = self._of_length[length]
        number = same.popleft()
        if not same:
            del self._of_length[length]
            self._lengths &= ~(1 << length)
        return self._waiting.pop(number)[1]

    def state(self) -> dict[str, Any]:
        """Who waits, in the order of arrival, as plain data."""
        return {
            "budget": self.budget,
            "look_ahead": self.look_ahead,
            "waiting": [[length, item] for length, item in self._waiting.values()],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Packer[Item]:
        """A packer that goes on exactly where the other one stood."""
        packer = cls(state["budget"], state["look_ahead"])
        for length, item in state["waiting"]:
            packer.add(item, length)
        return packer


def pack(samples: Iterable[tuple[Item, int]], budget: int, look_ahead: int = 1024) -> Iterator[list[Item]]:
    """Rows of a whole stream of (sample, tokens), the last ones less full.

    Raises:
        DataError: a sample without tokens or with more than `budget`.
    """
    packer: Packer[Item] = Packer(budget, look_ahead)
    for item, length in samples:
        packer.add(item, length)
        if packer.full:
            yield packer.row()
    while len(packer):
        yield packer.row()
