"""The order of rows: shuffled without an index, mixed by weight, dealt out to lanes, and resumed where it stopped.

A lane is one of a fixed number of independent streams. Ranks own lanes, so the same lanes give the same rows however
many ranks there are. In an epoch a stream draws the blocks of its source in random order, collects a pool of rows
from successive blocks, and shuffles the pool. Only the pool is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from pixelword.data.records import Record, Source
from pixelword.data.turns import POOL_BYTES, Turns, held
from pixelword.errors import ConfigError, DataError

BEGINNING = {"epoch": 0, "block": 0, "place": 0, "row": 0}
"""Of a stream; a later epoch begins with the same but its number."""


class Stream:
    """The rows of one source as one lane sees them.

    Args:
        source: what to read.
        seed: of the order.
        lane, lanes: which of how many; together the lanes see every row once per epoch. They take turns at blocks,
            or at rows if there are fewer blocks than lanes.
        pool: rows that are shuffled together.
        shuffle: false keeps the order of the source.
        epochs: how often the source is read; None for ever. A lane for which an epoch of an endless stream has no
            row reads that of the next lane; with fewer rows than lanes all lanes go through all rows in turn.
        turns: how the lanes of this process take turns at rows; None where this lane is the only one.

    Attributes:
        share: the lane whose rows are read: its own, until `read_next_share`.

    Raises:
        DataError: while reading: an endless stream has no rows at all.
    """

    def __init__(
        self,
        source: Source,
        *,
        seed: int = 42,
        lane: int = 0,
        lanes: int = 1,
        pool: int = 4096,
        shuffle: bool = True,
        epochs: int | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.source, self.seed, self.lane, self.lanes = source, seed, lane, lanes
        self.pool, self.shuffle, self.epochs = pool, shuffle, epochs
        self.turns = turns or Turns(source, lanes, {lane})
        self.share = lane
        # The share that is read in this epoch; None until the epoch is opened.
        self._turn: int | None = None
        # Where the pool starts: the number of its block in this epoch's order, the place there, the row there.
        self._start, self._taken = dict(BEGINNING), 0
        self._rows: list[Record] = []
        self._ahead: Iterator[tuple[dict[str, int], Record]] | None = None
        self._next: tuple[dict[str, int], Record] | None = None

    @property
    def epoch(self) -> int:
        """How often the source has been read to its end."""
        return self._start["epoch"]

    @property
    def rounds(self) -> int:
        """Epochs in which this lane comes to all rows, if there are fewer rows than lanes; otherwise 0."""
        return self.turns.few() if self.epochs is None and not self._by_block() else 0

    def next(self) -> Record | None:
        """The next row, or None after the last epoch."""
        while self._taken >= len(self._rows):
            if self.epochs is not None and self.epoch >= self.epochs:
                return None
            if self._rows or self._ahead is not None:
                self._move_on()
            else:
                self._fill()
        self._taken += 1
        return self._rows[self._taken - 1]

    def read_next_share(self) -> bool:
        """Read what belongs to the next lane from here on, from the start of this epoch; that lane reads it too.

        Returns:
            False when the shares of all lanes have had their turn.
        """
        self.share = (self.share + 1) % self.lanes
        self._go_to({**BEGINNING, "epoch": self.epoch}, None)
        return self.share != self.lane

    def state(self) -> dict[str, int | None]:
        """Where the next row is, as plain data."""
        return {**self._start, "taken": self._taken, "share": self.share, "turn": self._turn}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the rows of its pool are read again.

        Raises:
            DataError: there are fewer rows than there were.
        """
        self.share = state.get("share", self.lane)
        self._go_to({key: state[key] for key in BEGINNING}, state.get("turn", self.share))
        if state["taken"]:
            self._fill()
            if len(self._rows) < state["taken"]:
                raise DataError(
                    f"source {self.source.name!r} has fewer rows than when the state was saved",
                    got=f"{len(self._rows)} rows in a pool of which {state['taken']} were used",
                    fix="go on with the same data, or start anew",
                )
            self._taken = state["taken"]

    def _go_to(self, start: dict[str, int], turn: int | None) -> None:
        self._start, self._turn = start, turn
        self._rows, self._ahead, self._next, self._taken = [], None, None, 0

    def _move_on(self) -> None:
        """To the next pool, or to the next epoch."""
        self._rows, self._taken = [], 0
        if self._next is not None:
            self._start = self._next[0]
            self._fill()
            return
        self._go_to({**BEGINNING, "epoch": self.epoch + 1}, None)

    def _fill(self) -> None:
        """Read a pool and look at the row behind it, where the next one starts."""
        if self._ahead is None:
            self._open()
        pictures = 0
        if self._next is not None:
            self._start = self._next[0]
        assert self._ahead is not None, "opened"
        while self._next is not None and len(self._rows) < self.pool and pictures < POOL_BYTES:
            self._rows.append(self._next[1])
            pictures += held(self._next[1].content)
            self._next = next(self._ahead, None)
        if self.shuffle:
            where = " ".join(str(self._start[key]) for key in ("epoch", "block", "place"))
            Random(f"{self.seed} {self.source.name} {self.lane} {where}").shuffle(self._rows)

    def _open(self) -> None:
        """Find the first row from the pool's start on, and at the start of an epoch the share that it is of."""
        begins = not any(self._start[key] for key in ("block", "place", "row"))
        for turn in self._shares() if begins else (self._turn if self._turn is not None else self.share,):
            self._turn, self._ahead = turn, self._in_order(turn)
            self._next = next(self._ahead, None)
            if self._next is not None:
                return
        if self.epochs is None:
            raise DataError(
                f"source {self.source.name!r} has no rows" if begins else f"source {self.source.name!r} has lost rows",
                got=f"{self.source.blocks()} blocks",
                fix="check its files" if begins else "go on with the same data, or start anew",
            )

    def _shares(self) -> Iterator[int]:
        """The shares that may be read in this epoch; the first that has a row is."""
        if self.epoch == 0 or self.epochs is not None:
            yield self.share
        if self.epochs is None:
            if rounds := self.rounds:
                yield (self.share + self.epoch) % rounds
            else:
                yield from ((self.share + more) % self.lanes for more in range(self.lanes))

    def _by_block(self) -> bool:
        return self.source.blocks() >= self.lanes

    def _in_order(self, share: int) -> Iterator[tuple[dict[str, int], Record]]:
        """The share's rows of this epoch from the pool's start on, each with its address."""
        start, epoch = dict(self._start), self.epoch
        order = list(range(self.source.blocks()))
        if self.shuffle:
            Random(f"{self.seed} {self.source.name} {epoch}").shuffle(order)
        if not self._by_block():
            found = self.turns.rows(share, epoch, order, (start["block"], start["row"], start["place"]))
            for (block, row, place), record in found:
                yield {"epoch": epoch, "block": block, "place": place, "row": row}, record
            return
        order = order[share :: self.lanes]
        for block in range(start["block"], len(order)):
            first, place = (start["row"], start["place"]) if block == start["block"] else (0, 0)
            for row, record in enumerate(self.source.read(order[block], place), start=first):
                yield {"epoch": epoch, "block": block, "place": record.place, "row": row}, record


class Mixture:
    """Rows of several streams by weight: always the one that lags most behind its share.

    Shares are exact at any moment, and nothing has to be drawn. They are shares of usable rows: one that is given back
    as refused does not count. A stream that ends leaves its share to the others.

    Args:
        streams: one per source.
        weights: share of each; 0 never reads it.

    Raises:
        ConfigError: no streams, a negative weight, or none above zero.
    """

    def __init__(self, streams: Sequence[Stream], weights: Sequence[float]) -> None:
        if len(streams) != len(weights) or min(weights, default=0.0) < 0 or not sum(weights) > 0:
            raise ConfigError(
                "a mixture needs sources whose weights are not negative and not all zero",
                got=f"{len(streams)} sources, weights {list(weights)}",
                fix="give every source a weight",
            )
        self.streams, self.weights = list(streams), list(weights)
        self._taken = [0] * len(streams)
        self._ended = [weight == 0 for weight in weights]

    def next(self) -> tuple[Stream, Record] | None:
        """The next row and the stream it comes from, or None when all have ended."""
        while not all(self._ended):
            total = sum(weight for weight, ended in zip(self.weights, self._ended, strict=True) if not ended)
            due = (sum(self._taken) + 1) / total
            alive = [number for number, ended in enumerate(self._ended) if not ended]
            chosen = max(alive, key=lambda number: (self.weights[number] * due - self._taken[number], -number))
            record = self.streams[chosen].next()
            if record is not None:
                self._taken[chosen] += 1
                return self.streams[chosen], record
            self._ended[chosen] = True
            self._taken = [0] * len(self.streams)
        return None

    def refused(self, stream: Stream) -> None:
        """The row that `next` has just given cannot be used; its stream is due again."""
        self._taken[self.streams.index(stream)] -= 1

    def state(self) -> dict[str, Any]:
        return {
            "taken": list(self._taken),
            "ended": list(self._ended),
            "streams": {stream.source.name: stream.state() for stream in self.streams},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            DataError: it is of other sources.
        """
        names = [stream.source.name for stream in self.streams]
        if sorted(names) != sorted(state["streams"]):
            raise DataError(
                "the state is of another mixture",
                got=f"{sorted(state['streams'])} there, {sorted(names)} here",
                fix="go on with the same sources, or start anew",
            )
        self._taken, self._ended = list(state["taken"]), list(state["ended"])
        for stream in self.streams:
            stream.load(state["streams"][stream.source.name])


def read_again(source: Source, addresses: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Record]:
    """Rows by their (block, place), each block read once.

    Raises:
        DataError: a row is no longer there.
    """
    found: dict[tuple[int, int], Record] = {}
    for block in sorted({block for block, _ in addresses}):
        wanted = {place for number, place in addresses if number == block}
        for record in source.read(block, min(wanted)):
            if record.place in wanted:
                found[block, record.place] = record
                wanted.remove(record.place)
            if not wanted:
                break
        if wanted:
            raise DataError(
                f"source {source.name!r} no longer has a row that was waiting when the state was saved",
                got=f"block {block}, place {min(wanted)}",
                fix="go on with the same data, or start anew",
            )
    return found
