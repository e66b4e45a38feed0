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
from pixelword.errors import ConfigError, DataError


class Numbers:
    """Blocks of so many numbered rows; counts how many rows were read."""

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
    with pytest.raises(DataError, match="no rows for lane 2 of 3"):
        Stream(Numbers(2), lane=2, lanes=3).next()
    assert Stream(Numbers(2), lane=2, lanes=3, epochs=1).next() is None


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
