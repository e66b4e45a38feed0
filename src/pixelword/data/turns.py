"""One reading of a source for all lanes of a process that take turns at its rows.

With fewer blocks than lanes no lane has a block to itself: of every block a lane takes each so-manieth row. To read
the source once per lane would read, unpack and parse it as often as there are lanes. So the lanes of a process read
it together: rows that another lane will want wait for it. A lane that falls far behind, or that goes on from a state,
reads by itself what did not wait. What a lane gets, and in which order, never depends on this.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice, takewhile
from typing import Any, TypeAlias

from pixelword.data.records import Record, Source

logger = logging.getLogger(__name__)

POOL_BYTES = 2**26
"""A pool is closed when the pictures inside its rows take so much memory, however few rows it has."""

Address: TypeAlias = tuple[int, int, int]
"""Of a row in an epoch: the number of its block in the epoch's order, its number in the block, its place there."""
Found: TypeAlias = tuple[Address, Record]


def held(content: Any) -> int:
    """Bytes of the pictures inside a row."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, str):
        return len(content) if content.startswith("data:") else 0
    if isinstance(content, dict):
        return sum(map(held, content.values()))
    return sum(map(held, content)) if isinstance(content, list) else 0


@dataclass
class _Queue:
    """Rows that wait for one lane; closed when they become too many."""

    most: int
    rows: deque[Found] = field(default_factory=deque)
    held: int = 0
    open: bool = True

    def put(self, found: Found) -> None:
        self.rows.append(found)
        self.held += held(found[1].content)
        if len(self.rows) > self.most or self.held > 2 * POOL_BYTES:
            self.open = False
            self.rows.clear()

    def take(self) -> Found:
        found = self.rows.popleft()
        self.held -= held(found[1].content)
        return found


class _Reading:
    """An epoch as it passes by, from `start` on.

    Attributes:
        whole: the end was reached; an error ends an iterator too.
        queues: of the lanes that have not come to the end.
        unclaimed: those that have not begun.
    """

    def __init__(self, rows: Iterator[Found], start: Address, queues: dict[int, _Queue]) -> None:
        self.start, self.queues, self.unclaimed, self.whole = start, queues, set(queues), False
        self._ahead = self._passing(rows)

    def _passing(self, rows: Iterator[Found]) -> Iterator[Found]:
        yield from rows
        self.whole = True

    def next(self, share: int, lanes: int) -> Found | None:
        """The next row of a share; None at the end, or when its queue was closed."""
        own = self.queues[share]
        if own.rows:
            return own.take()
        while own.open and (found := next(self._ahead, None)) is not None:
            number = found[0][1] % lanes
            if number == share:
                return found
            if number in self.queues and self.queues[number].open:
                self.queues[number].put(found)
        return None


class Turns:
    """Rows of a source with fewer blocks than lanes: lane k takes those whose number in their block is k modulo lanes.

    Args:
        source: what is read.
        lanes: how many lanes there are on all ranks.
        here: the lanes that read in this process; others' rows do not wait.
        most: rows that wait for one lane.
    """

    def __init__(self, source: Source, lanes: int, here: Collection[int], most: int = 2**14) -> None:
        self.source, self.lanes, self.here, self.most = source, lanes, frozenset(here), most
        self._readings: dict[int, _Reading] = {}
        self._longest, self._said = 0, False

    def rows(self, share: int, epoch: int, order: Sequence[int], start: Address) -> Iterator[Found]:
        """The rows of a share, each with its address.

        Args:
            share: the lane whose rows they are.
            epoch: number of the epoch; its order is the same for all lanes.
            order: its blocks.
            start: address of the first row that is wanted, or (0, 0, 0).
        """
        self._say_what_it_costs()
        if share in self.here and epoch > max(self._readings, default=-1):
            self._forget_all_but_the_newest()
            queues = {lane: _Queue(self.most) for lane in self.here}
            self._readings[epoch] = _Reading(self._all(order, start), start, queues)
        reading = self._readings.get(epoch)
        if reading is None or share not in reading.unclaimed:
            yield from self._alone(share, order, start)
            return
        reading.unclaimed.remove(share)
        try:
            yield from self._together(reading, share, order, start)
        finally:
            del reading.queues[share]
            if not reading.queues and self._readings.get(epoch) is reading:
                del self._readings[epoch]

    def _forget_all_but_the_newest(self) -> None:
        """Lanes drift apart, and some shares are never claimed: what waits for those would wait for ever.

        Lanes that are in the midst of an older reading go on with it; others that come to it read by themselves.
        """
        for epoch in sorted(self._readings)[:-1]:
            reading = self._readings.pop(epoch)
            for share in reading.unclaimed:
                del reading.queues[share]
            reading.unclaimed.clear()

    def _together(self, reading: _Reading, share: int, order: Sequence[int], start: Address) -> Iterator[Found]:
        before = self._alone(share, order, start) if start < reading.start else iter(())
        yield from takewhile(lambda found: found[0] < reading.start, before)
        last = None
        for found in iter(partial(reading.next, share, self.lanes), None):
            last = found[0]
            if last >= start:
                yield found
        if not reading.whole or not reading.queues[share].open:
            after = self._alone(share, order, max(start, reading.start, last or start))
            yield from (found for found in after if last is None or found[0] > last)

    def few(self) -> int:
        """Rows of the longest block if no block has one for every lane, otherwise 0.

        Reads at most one row per lane of each block, once.
        """
        return 0 if self._longest >= self.lanes else self._few

    @cached_property
    def _few(self) -> int:
        longest = 0
        for block in range(self.source.blocks()):
            longest = max(longest, sum(1 for _ in islice(self.source.read(block), self.lanes)))
            if longest == self.lanes:
                return 0
        if longest:
            logger.warning(
                "source %r has fewer rows than there are lanes (%d, in its longest block; %d lanes): the lanes go "
                "through all of them in turn, and several read the same row at a time",
                *(self.source.name, longest, self.lanes),
            )
        return longest

    def _say_what_it_costs(self) -> None:
        if self.source.parts and len(self.here) < self.lanes and not self._said:
            self._said = True
            logger.warning(
                "source %r has %d %s for %d lanes, so every process reads all of it; with %d each reads only its own",
                *(self.source.name, self.source.blocks(), self.source.parts, self.lanes, self.lanes),
            )

    def _all(self, order: Sequence[int], start: Address) -> Iterator[Found]:
        for block in range(start[0], len(order)):
            first, place = start[1:] if block == start[0] else (0, 0)
            for row, record in enumerate(self.source.read(order[block], place), start=first):
                self._longest = max(self._longest, row + 1)
                yield (block, row, record.place), record

    def _alone(self, share: int, order: Sequence[int], start: Address) -> Iterator[Found]:
        return (found for found in self._all(order, start) if found[0][1] % self.lanes == share)
