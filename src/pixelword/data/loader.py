"""From recipes to batches: lanes of encoded, packed samples, decoded when a batch is put together.

    source -> stream -> mixture -> encoder -> packer        per lane
                                              rows of all lanes in turn -> pixels -> batch

A batch does not depend on how many ranks there are, as long as their number divides the lanes: each step takes as
many rows from every lane. The state after a batch is exactly what has been handed out; nothing is read ahead of it
but the packers' waiting samples, whose addresses are part of the state.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from pixelword.data.batch import PackedBatch, ReadySample, collate
from pixelword.data.packing import Packer
from pixelword.data.records import BadRows, Record, RowError, Source
from pixelword.data.samples import Encoder, Sample
from pixelword.data.sources import open_source
from pixelword.data.stream import Mixture, Stream, read_again
from pixelword.data.turns import Turns
from pixelword.errors import ConfigError, DataError
from pixelword.model.processing import NeoProcessor
from pixelword.recipe import Recipe

logger = logging.getLogger(__name__)

HOPELESS = 1000
"""Bad rows of a source without a good one in a lane, after which nothing better is expected."""


class Lane:
    """Packed rows of one lane.

    Args:
        mixture: rows as they come.
        encoder: rows to samples.
        packer: where samples wait.
        bad: counts the rows that cannot be used.

    A source that is read for ever and has no usable row for this lane lends it the rows of the next lane. With fewer
    rows than lanes a lane comes to all of them by itself.

    Raises:
        DataError: while reading: a source was read to its end, or for `HOPELESS` rows, and none could be used.
    """

    def __init__(self, mixture: Mixture, encoder: Encoder, packer: Packer[Sample], bad: BadRows) -> None:
        self.mixture, self.encoder, self.packer, self.bad = mixture, encoder, packer, bad
        # Of each source: the epoch, and the samples that it gave in it.
        self._good: dict[str, list[int]] = {}
        # Of each source: its bad rows in this lane before the first good one; None once there was one.
        self._before_good: dict[str, int | None] = {}

    def row(self) -> list[Sample]:
        """The next row; empty when the data has ended."""
        while not self.packer.full and (found := self.mixture.next()) is not None:
            stream, record = found
            if self._barren(stream):
                continue
            try:
                sample = self.encoder.encode(record)
            except RowError as error:
                self.bad.report(record.source, record.name, error)
                self.mixture.refused(stream)
                self._refuse_hopeless(record.source)
                continue
            self._good[record.source][1] += 1
            self._before_good[record.source] = None
            self.packer.add(sample, len(sample))
        return self.packer.row()

    def _refuse_hopeless(self, name: str) -> None:
        """Stop early where not one row is good, rather than after all of a large data set and as many warnings."""
        before = self._before_good.get(name, 0)
        if before is None:
            return
        self._before_good[name] = before + 1
        if before + 1 >= HOPELESS:
            raise DataError(
                f"no row of source {name!r} could be used so far",
                got=dict(self.bad.counts[name]),
                fix="look at the reasons in the log; often the root of its pictures is wrong",
            )

    def _barren(self, stream: Stream) -> bool:
        """Whether the epoch that ended gave no sample; then the stream reads the share of the next lane instead."""
        name = stream.source.name
        epoch, good = self._good.setdefault(name, [stream.epoch, 0])
        if stream.epoch == epoch:
            return False
        rounds = 0 if good or stream.epochs is not None else stream.rounds
        if stream.epoch - epoch < rounds:
            return False
        self._good[name] = [stream.epoch, 0]
        if good or stream.epochs is not None:
            return False
        if rounds or not stream.read_next_share():
            raise DataError(
                f"no row of source {name!r} can be used",
                got=dict(self.bad.counts.get(name, Counter())),
                fix="look at the reasons in the log; often the root of its pictures is wrong",
            )
        logger.warning(
            "source %r: no row of its share for lane %d of %d can be used; from here on it reads that of lane %d",
            *(name, stream.lane, stream.lanes, stream.share),
        )
        return True

    def state(self) -> dict[str, Any]:
        waiting = [
            [sample.source, sample.block, sample.place, sample.checksum] for _, sample in self.packer.state()["waiting"]
        ]
        return {
            "mixture": self.mixture.state(),
            "waiting": waiting,
            "good": {k: list(v) for k, v in self._good.items()},
            "before_good": dict(self._before_good),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; the waiting samples are read again.

        Raises:
            DataError: the data is not what it was.
        """
        self.mixture.load(state["mixture"])
        self._good = {source: list(counts) for source, counts in state["good"].items()}
        self._before_good = dict(state.get("before_good", dict.fromkeys(state["good"])))
        records: dict[tuple[str, int, int], Record] = {}
        for stream in self.mixture.streams:
            name = stream.source.name
            addresses = [(block, place) for source, block, place, _ in state["waiting"] if source == name]
            again = read_again(stream.source, addresses)
            records |= {(name, *address): record for address, record in again.items()}
        self.packer = Packer(self.packer.budget, self.packer.look_ahead)
        for source, block, place, checksum in state["waiting"]:
            sample = self.encoder.encode(records[source, block, place])
            if sample.checksum != checksum:
                raise DataError(
                    f"{sample.name} is not the row that it was when the state was saved",
                    got=f"{len(sample)} tokens with checksum {sample.checksum}, not {checksum}",
                    fix="go on with the same data, tokenizer and image settings, or start anew",
                )
            self.packer.add(sample, len(sample))


class PackedLoader:
    """Batches of packed rows, and where to go on after each of them.

    Args:
        lanes: the lanes of this rank by their numbers.
        encoder: decodes what a row refers to.
        rows: rows of a batch.
        length: tokens of a row.
        pad_id: id that fills up.
        weighting: of the loss.
        bad: counts the rows that cannot be used; shared with the lanes.
        threads: threads that decode; 0 decodes where the loader is called.
    """

    def __init__(
        self,
        lanes: dict[int, Lane],
        encoder: Encoder,
        *,
        rows: int,
        length: int,
        pad_id: int,
        weighting: Any,
        bad: BadRows,
        threads: int = 0,
    ) -> None:
        self.lanes, self.encoder, self.bad = lanes, encoder, bad
        self.rows, self.length, self.pad_id, self.weighting = rows, length, pad_id, weighting
        self._turn = self.batches = 0
        self._pool = ThreadPoolExecutor(threads, "decode") if threads else None

    def __iter__(self) -> Iterator[PackedBatch]:
        while (batch := self.next()) is not None:
            yield batch

    def next(self) -> PackedBatch | None:
        """The next batch; a smaller one or None when the data has ended."""
        taken = self._taken_rows()
        ready = self._ready([row for _, row in taken])
        # A row of which nothing could be decoded is replaced from its own lane, so that lanes stay in step.
        for place, (lane, _) in enumerate(taken):
            while not ready[place] and (row := lane.row()):
                ready[place : place + 1] = self._ready([row])
        if not (rows := [row for row in ready if row]):
            return None
        self.batches += 1
        return collate(rows, pad_id=self.pad_id, weighting=self.weighting, length=self.length)

    def _taken_rows(self) -> list[tuple[Lane, list[Sample]]]:
        """Rows of the lanes in turn, fewer only at the end of all data."""
        taken: list[tuple[Lane, list[Sample]]] = []
        lanes, empty = list(self.lanes.values()), 0
        while len(taken) < self.rows and empty < len(lanes):
            lane = lanes[self._turn]
            self._turn = (self._turn + 1) % len(lanes)
            row = lane.row()
            empty = 0 if row else empty + 1
            if row:
                taken.append((lane, row))
        return taken

    def _ready(self, rows: Sequence[Sequence[Sample]]) -> list[list[ReadySample]]:
        """The rows with their pixels, without the samples that turn out to be broken."""
        samples = [sample for row in rows for sample in row]
        decoded = iter(list(self._pool.map(self._decode, samples) if self._pool else map(self._decode, samples)))
        ready = []
        for row in rows:
            kept = []
            for sample in row:
                result = next(decoded)
                if isinstance(result, RowError):
                    self.bad.report(sample.source, sample.name, result)
                else:
                    kept.append(result)
            ready.append(kept)
        return ready

    def _decode(self, sample: Sample) -> ReadySample | RowError:
        try:
            return self.encoder.ready(sample)
        except RowError as error:
            return error

    def state(self) -> dict[str, Any]:
        """Where to go on after the last batch, as plain data that JSON can hold."""
        return {
            "batches": self.batches,
            "turn": self._turn,
            "lanes": {str(number): lane.state() for number, lane in self.lanes.items()},
            "data": dict(self._data),
            "bad": self.bad.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state, or from the states of several ranks put together by `merged`.

        Raises:
            DataError: the data, the lanes or the mixture are not those of the state.
        """
        if state["data"] != self._data:
            changed = sorted(
                key for key in self._data.keys() | state["data"].keys() if self._data.get(key) != state["data"].get(key)
            )
            raise DataError(
                "the data is not what it was when the state was saved",
                got="; ".join(f"{key}: {state['data'].get(key)} then, {self._data.get(key)} now" for key in changed),
                fix="go on with the same data, or start anew",
            )
        of_all = {stream.lanes for lane in self.lanes.values() for stream in lane.mixture.streams}
        kept = set(map(int, state["lanes"]))
        if not kept.issuperset(self.lanes) or max(kept) >= max(of_all):
            raise DataError(
                "the state is of other lanes",
                got=f"lanes {sorted(kept)} there, {sorted(self.lanes)} of {max(of_all)} here",
                fix="merge the states of all ranks, and keep data.lanes as it was",
            )
        self.batches, self._turn = state["batches"], state["turn"] % len(self.lanes)
        # The counts of all ranks go on with the rank that has the first lane, so that they stay a sum.
        self.bad.load(state["bad"] if min(self.lanes) == min(map(int, state["lanes"])) else {})
        for number, lane in self.lanes.items():
            lane.load(state["lanes"][str(number)])

    @cached_property
    def _data(self) -> dict[str, str]:
        """What changes when a source does; asked once, because it looks at every file and states are many."""
        sources = {id(stream.source): stream.source for lane in self.lanes.values() for stream in lane.mixture.streams}
        return {source.name: source.fingerprint() for source in sources.values()}


def merged(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One state from those of all ranks; any number of ranks that divides the lanes can go on from it.

    Raises:
        DataError: the ranks do not stand between the same steps, so that their states do not fit together.
    """
    if any(state["turn"] for state in states) and len(states) > 1:
        raise DataError(
            "the states of several ranks fit together only where every lane gave as many rows",
            got=f"turns {[state['turn'] for state in states]}",
            fix="save between steps, with rows_per_step a multiple of data.lanes",
        )
    lanes = {number: lane for state in states for number, lane in state["lanes"].items()}
    return {**states[0], "lanes": lanes, "bad": bad_rows_of_all([state["bad"] for state in states])}


def bad_rows_of_all(ranks: Sequence[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Bad rows of all ranks, by source and reason."""
    counts: dict[str, Counter[str]] = {}
    for own in ranks:
        for source, reasons in own.items():
            counts.setdefault(source, Counter()).update(reasons)
    return {source: dict(reasons) for source, reasons in counts.items()}


def check_lanes(recipe: Recipe, rank: int, ranks: int) -> None:
    """Raises:
    ConfigError: no sources, or lanes and ranks that do not fit.
    """
    data = recipe.data
    if not data.sources:
        raise ConfigError("the recipe has no data", got="data.sources is empty", fix="name a source under data.sources")
    if data.lanes % ranks or not 0 <= rank < ranks:
        raise ConfigError(
            "the ranks must divide the lanes of the data",
            got=f"rank {rank} of {ranks}, {data.lanes} lanes",
            fix=f"set data.lanes to a multiple of {ranks}",
        )
    if recipe.rows_per_step % data.lanes or recipe.rows_per_step % (ranks * recipe.rows_per_batch):
        raise ConfigError(
            "a step must take as many rows from every lane, in whole micro-batches on every rank",
            got=f"rows_per_step {recipe.rows_per_step}, {data.lanes} lanes, {ranks} x {recipe.rows_per_batch} rows",
            fix="make rows_per_step a multiple of data.lanes and of ranks times rows_per_batch",
        )


def build_loader(
    recipe: Recipe, processor: NeoProcessor, *, rank: int = 0, ranks: int = 1, sources: Sequence[Source] | None = None
) -> PackedLoader:
    """The loader of one rank.

    Args:
        recipe: its data, packing, images, video and rows_per_batch.
        processor: of the model; the recipe's image settings replace its own.
        rank, ranks: which of how many.
        sources: instead of opening those of the recipe, in their order.

    Raises:
        ConfigError: no sources, or lanes and ranks that do not fit.
        DataError: the files of a source do not exist.
    """
    check_lanes(recipe, rank, ranks)
    data, packing = recipe.data, recipe.packing
    images = processor.image_processor.with_settings(**recipe.images.model_dump())
    own = NeoProcessor(images, processor.tokenizer, special_tokens=processor.special_tokens, markup=processor.markup)
    encoder = Encoder(own, packing.max_sample, recipe.video)
    bad = BadRows(data.bad_rows)
    opened = [open_source(source) for source in data.sources] if sources is None else list(sources)
    here = range(rank, data.lanes, ranks)
    turns = [Turns(source, data.lanes, here, 4 * data.pool) for source in opened]

    def lane(number: int) -> Lane:
        streams = [
            Stream(
                source,
                seed=data.seed,
                lane=number,
                lanes=data.lanes,
                pool=data.pool,
                shuffle=data.shuffle,
                epochs=settings.epochs,
                turns=together,
            )
            for source, settings, together in zip(opened, data.sources, turns, strict=True)
        ]
        mixture = Mixture(streams, [settings.weight for settings in data.sources])
        return Lane(mixture, encoder, Packer(packing.budget, packing.look_ahead), bad)

    pad = own.tokenizer.pad_token_id
    return PackedLoader(
        {number: lane(number) for number in here},
        encoder,
        rows=recipe.rows_per_batch,
        length=packing.budget,
        pad_id=own.token_ids.turn_end if pad is None else pad,
        weighting=packing.weighting,
        bad=bad,
        threads=data.threads,
    )
