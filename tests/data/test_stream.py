"""Claims of streams and mixtures: every row once per epoch over all lanes, shuffled, by weight, and resumable."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.data.records import Record
from pixelword.data.stream import Mixture, Stream, read_again
from pixelword.data.turns import Turns, held
from pixelword.errors import ConfigError, DataError


class Numbers:
    """Blocks of so many numbered rows; counts how many rows were read."""

    parts = "shards"

    def __init__(self, *sizes: int, name: str = "numbers") -> None:
        self.name, self.sizes, self.seen = name, sizes, 0

    def blocks(self) -> int:
        return len(self.sizes)

    def fingerprint(self) -> str:
        return str(self.sizes)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        for place in range(start, self.sizes[block]):
            self.seen += 1
            yield Record(self.name, block, place, f"{block}.{place}", {"place": place})


SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=6)
CALLS = st.lists(st.integers(0, 4), max_size=60)
OPTIONS = st.fixed_dictionaries({"pool": st.integers(1, 8), "shuffle": st.booleans(), "seed": st.integers(0, 3)})


def names(stream: Stream, most: int = 10**6) -> list[str]:
    found = []
    while len(found) < most and (record := stream.next()) is not None:
        found.append(record.name)
    return found


@given(SIZES, st.integers(1, 4), st.integers(1, 3), OPTIONS)
def test_the_lanes_together_see_every_row_once_per_epoch(sizes, lanes, epochs, options):
    seen: Counter[str] = Counter()
    for lane in range(lanes):
        seen.update(names(Stream(Numbers(*sizes), lane=lane, lanes=lanes, epochs=epochs, **options)))
    assert seen == Counter({f"{b}.{p}": epochs for b, size in enumerate(sizes) for p in range(size)})


@given(SIZES.filter(any), st.integers(0, 30), st.integers(1, 3), OPTIONS)
def test_a_stream_goes_on_from_its_state_written_as_json(sizes, before, lanes, options):
    def stream() -> Stream:
        return Stream(Numbers(*sizes), lane=0, lanes=lanes, epochs=3, **options)

    whole, first, second = stream(), stream(), stream()
    expected = names(whole)
    head = names(first, before)
    second.load(json.loads(json.dumps(first.state())))
    assert head + names(second) == expected
    assert second.epoch == whole.epoch


def test_an_epoch_is_shuffled_and_the_next_one_otherwise_but_always_the_same():
    stream = Stream(Numbers(*[10] * 10), pool=30, epochs=2)
    order = names(stream)
    assert order == names(Stream(Numbers(*[10] * 10), pool=30, epochs=2))
    assert order[:100] != order[100:]
    assert order[:100] != sorted(order[:100])
    assert order != names(Stream(Numbers(*[10] * 10), pool=30, epochs=2, seed=1))


def test_no_more_than_a_pool_and_one_row_are_read_ahead():
    source = Numbers(*[100] * 100)
    Stream(source, pool=50).next()
    assert source.seen == 51


def test_an_endless_stream_without_rows_says_so():
    with pytest.raises(DataError, match="has no rows"):
        Stream(Numbers(0, 0), lane=2, lanes=3).next()
    assert Stream(Numbers(2), lane=2, lanes=3, epochs=1).next() is None


# Lanes that take turns at rows read a source together.


@settings(max_examples=60)
@given(
    SIZES.filter(any),
    st.integers(2, 5),
    st.integers(1, 5),
    OPTIONS,
    st.lists(st.integers(0, 4), max_size=60),
    st.data(),
)
def test_lanes_that_read_together_give_what_each_would_alone_also_after_a_stop(sizes, lanes, most, options, turn, data):
    """Whoever is asked how often, however few rows may wait, and wherever the lanes stood when they stopped."""
    epochs = data.draw(st.sampled_from([None, 2]))

    def several(turns: Turns | None) -> list[Stream]:
        return [
            Stream(Numbers(*sizes), lane=lane, lanes=lanes, epochs=epochs, turns=turns, **options)
            for lane in range(lanes)
        ]

    def asked(streams: list[Stream], lane: int) -> str | None:
        return (record := streams[lane % lanes].next()) and record.name

    alone, together = several(None), several(Turns(Numbers(*sizes), lanes, range(lanes), most))
    stop = data.draw(st.integers(0, len(turn)))
    assert [asked(together, lane) for lane in turn[:stop]] == [asked(alone, lane) for lane in turn[:stop]]
    again = several(Turns(Numbers(*sizes), lanes, range(lanes), most))
    for new, old in zip(again, together, strict=True):
        new.load(json.loads(json.dumps(old.state())))
    rest = [asked(alone, lane) for lane in turn[stop:]]
    assert [asked(again, lane) for lane in turn[stop:]] == rest
    assert [asked(together, lane) for lane in turn[stop:]] == rest


def test_lanes_in_step_read_every_row_once_and_a_lane_far_behind_lets_no_more_wait_than_allowed():
    source = Numbers(400, 200)
    turns = Turns(source, 4, range(4), most=40)
    streams = [Stream(source, lane=lane, lanes=4, pool=20, epochs=1, turns=turns) for lane in range(4)]
    found = [stream.next() for _ in range(150) for stream in streams]
    assert None not in found and [stream.next() for stream in streams] == [None] * 4
    assert source.seen == 600
    behind = Numbers(400)
    turns = Turns(behind, 4, range(4), most=40)
    streams = [Stream(behind, lane=lane, lanes=4, pool=20, epochs=1, turns=turns) for lane in range(4)]
    expected = names(Stream(Numbers(400), lane=3, lanes=4, pool=20, epochs=1))
    assert len(names(streams[0])) == 100
    assert names(streams[3]) == expected


def test_lanes_that_drift_apart_for_ever_let_no_more_wait(caplog):
    """Shares of 3, 3, 2 and 2 rows: after so many rows each the lanes are in different epochs. Witness: each alone."""

    def lanes(turns: Turns | None) -> list[Stream]:
        return [Stream(Numbers(10), lane=lane, lanes=4, pool=3, turns=turns) for lane in range(4)]

    turns = Turns(Numbers(10), 4, range(4), most=40)
    together, alone = lanes(turns), lanes(None)
    for _ in range(30):
        for one, other in zip(together, alone, strict=True):
            assert names(one, 7) == names(other, 7)
        assert len(turns._readings) <= 2
        assert sum(len(queue.rows) for reading in turns._readings.values() for queue in reading.queues.values()) <= 20


def test_an_error_while_one_lane_reads_is_not_the_end_for_another():
    class Breaks(Numbers):
        broken = True

        def read(self, block: int, start: int = 0) -> Iterator[Record]:
            for record in super().read(block, start):
                if record.place == 10 and self.broken:
                    self.broken = False
                    raise DataError("the connection is lost")
                yield record

    source = Breaks(20)
    turns = Turns(source, 2, range(2))
    first, second = (Stream(source, lane=lane, lanes=2, epochs=1, shuffle=False, turns=turns) for lane in range(2))
    with pytest.raises(DataError, match="connection"):
        first.next()
    assert names(second) == [f"0.{place}" for place in range(1, 20, 2)]


def test_a_process_with_some_of_the_lanes_says_once_that_it_reads_everything(caplog):
    source = Numbers(40)
    turns = Turns(source, 4, [1, 3])
    for lane in (1, 3):
        names(Stream(source, lane=lane, lanes=4, epochs=2, turns=turns))
    assert caplog.text.count("has 1 shards for 4 lanes, so every process reads all of it") == 1
    assert source.seen == 80


# A lane for which an endless source has nothing.


@given(st.integers(1, 5), st.integers(1, 9), OPTIONS)
def test_every_lane_comes_to_every_row_of_a_source_with_fewer_rows_than_lanes(rows, lanes, options):
    for lane in range(lanes):
        stream = Stream(Numbers(rows), lane=lane, lanes=lanes, **options)
        if rows < lanes:
            assert names(stream, 2 * rows) == [f"0.{(lane + turn) % rows}" for turn in range(2 * rows)]
        else:
            assert set(names(stream, 3 * rows)) == {f"0.{place}" for place in range(lane, rows, lanes)}


@given(SIZES.filter(any), st.integers(1, 4), st.integers(0, 30), OPTIONS)
def test_a_lane_whose_blocks_are_empty_goes_on_and_resumes(sizes, lanes, before, options):
    for lane in range(lanes):
        whole, first, second = (Stream(Numbers(*sizes), lane=lane, lanes=lanes, **options) for _ in range(3))
        expected = names(whole, before + 20)
        assert len(expected) == before + 20
        head = names(first, before)
        second.load(json.loads(json.dumps(first.state())))
        assert head + names(second, 20) == expected


def test_a_lane_with_empty_blocks_reads_its_own_again_when_they_have_rows():
    """The shuffled order gives lane 0 the empty block in some epochs only."""
    stream = Stream(Numbers(0, 1, 1), lane=0, lanes=3, seed=1)
    assert set(names(stream, 60)) == {"1.0", "2.0"}
    assert stream.share == 0


def test_a_state_of_more_rows_than_there_are_is_refused():
    stream = Stream(Numbers(5), pool=5)
    names(stream, 4)
    with pytest.raises(DataError, match="fewer rows"):
        Stream(Numbers(3), pool=5).load(stream.state())


def mixture(weights: list[float], sizes: tuple[int, ...] = (50,), epochs: int | None = None) -> Mixture:
    streams = [Stream(Numbers(*sizes, name=str(at)), epochs=epochs) for at in range(len(weights))]
    return Mixture(streams, weights)


def drawn(mix: Mixture, most: int) -> list[str]:
    found = []
    while len(found) < most and (item := mix.next()) is not None:
        found.append(item[1].source)
    return found


WEIGHTS = st.lists(st.floats(0, 10) | st.just(0.0), min_size=1, max_size=4).filter(lambda weights: sum(weights) > 0.1)


@settings(max_examples=40)
@given(WEIGHTS, st.integers(1, 60))
def test_every_source_has_its_share_at_any_moment(weights, count):
    counts = Counter(drawn(mixture(weights), count))
    for number, weight in enumerate(weights):
        assert abs(counts[str(number)] - count * weight / sum(weights)) < len(weights)
        assert weight or not counts[str(number)]


@settings(max_examples=40)
@given(WEIGHTS, st.integers(0, 40))
def test_a_mixture_goes_on_from_its_state(weights, before):
    first, second, whole = (mixture(weights, (3, 4), epochs=2) for _ in range(3))
    head = drawn(first, before)
    second.load(json.loads(json.dumps(first.state())))
    assert head + drawn(second, 10**6) == drawn(whole, 10**6)


def test_a_source_that_ends_leaves_its_share_to_the_others():
    streams = [Stream(Numbers(2, name="short"), epochs=1), Stream(Numbers(6, name="long"), epochs=1)]
    assert Counter(drawn(Mixture(streams, [3, 1]), 100)) == {"short": 2, "long": 6}


@pytest.mark.parametrize("weights", [[0.0], [0.0, 0.0], [], [-1.0, 2.0], [float("nan")]])
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(ConfigError, match="a mixture needs sources"):
        Mixture([Stream(Numbers(1)) for _ in weights], weights)


def test_a_state_of_another_mixture_is_refused():
    with pytest.raises(DataError, match="another mixture"):
        mixture([1, 1]).load(mixture([1]).state())


def test_rows_are_read_again_by_their_addresses_and_lost_ones_named():
    source = Numbers(4, 9)
    again = read_again(source, [(1, 7), (0, 2), (1, 3)])
    assert {address: record.name for address, record in again.items()} == {(1, 7): "1.7", (0, 2): "0.2", (1, 3): "1.3"}
    with pytest.raises(DataError, match="no longer has a row"):
        read_again(source, [(0, 4)])


def test_pictures_inside_rows_count_for_the_memory_of_a_pool_in_every_form():
    """Witness: counted by hand; words do not count."""
    picture, uri = b"12345678", "data:image/png;base64,AAAA"
    row = {"image": uri, "images": [{"bytes": picture, "path": "a long name"}, picture], "text": "words " * 100}
    assert held(row) == len(uri) + 2 * len(picture)
    assert held({"messages": [{"content": [{"type": "image_url", "image_url": {"url": uri}}]}]}) == len(uri)
    assert held("words") == held(None) == held(3.5) == 0
