"""Chance that is a pure function of its key: the same bits in every process, on every machine, in every version.

A key is (seed, epoch, sample, difficulty). The bits come from BLAKE2b over the key and a purpose, so that no
library's generator has to stay the same, and no draw depends on one before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from math import factorial

BLOCK = 512  # bits of one hash
WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Key:
    """What a puzzle depends on, besides its sample's content.

    Args:
        seed: of the run.
        epoch: a new one gives a new puzzle of the same sample.
        sample: id of the sample, such as its path below the folder.
        difficulty: name of the puzzle's size and settings, such as `3x3`.
    """

    seed: int
    epoch: int
    sample: str
    difficulty: str

    @property
    def name(self) -> str:
        """One line that tells this key from others."""
        return f"{self.sample} | {self.difficulty} | seed {self.seed} | epoch {self.epoch}"

    def blocks(self, purpose: str) -> Iterator[int]:
        """Endless uniform numbers below 2^512."""
        name = json.dumps((self.seed, self.epoch, self.sample, self.difficulty, purpose)).encode()
        return (int.from_bytes(blake2b(b"%d %b" % (number, name)).digest()) for number in count())

    def words(self, purpose: str) -> Iterator[int]:
        """Endless uniform numbers below 2^64, eight of each block."""
        return (block >> shift & WORD for block in self.blocks(purpose) for shift in range(0, BLOCK, 64))

    def below(self, limit: int, purpose: str) -> Iterator[int]:
        """Endless uniform numbers from 0 to limit - 1, without the bias of a remainder."""
        fair = (WORD + 1) // limit * limit
        return (word % limit for word in self.words(purpose) if word < fair)

    def permutation(self, K: int, purpose: str = "order", *, identity: bool = True) -> tuple[int, ...]:
        """A uniform order of 0 to K - 1: a uniform number below K!, whose digits choose the exchanges.

        Args:
            identity: whether the sorted order may come out, as in the released code; without, the others are uniform.
        """
        ways, blocks = factorial(K), self.blocks(purpose)
        parts = -(-(ways.bit_length() + 64) // BLOCK)
        fair = (1 << parts * BLOCK) // ways * ways
        while True:
            number = sum(next(blocks) << part * BLOCK for part in range(parts))
            if number >= fair:
                continue
            order = list(range(K))
            for last in range(K - 1, 0, -1):
                number, chosen = divmod(number, last + 1)
                order[last], order[chosen] = order[chosen], order[last]
            if identity or K == 1 or order != sorted(order):
                return tuple(order)


def target_of(order: Sequence[int]) -> tuple[int, ...]:
    """The right answer: entry i is the label, from 1, of the element that belongs at place i.

    It is the inverse of the shuffle (Visual Jigsaw, section 3.1.2). The list of `order[j] + 1`, where each shown piece
    belongs, is the frequent wrong reading.

    Args:
        order: `order[j]` is the original place, from 0, of what is shown at place j.
    """
    labels = [0] * len(order)
    for shown, original in enumerate(order):
        labels[original] = shown + 1
    return tuple(labels)
