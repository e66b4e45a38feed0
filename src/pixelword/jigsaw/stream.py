"""Puzzles one after another: every sample becomes a puzzle or is counted with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from pixelword.errors import ConfigError
from pixelword.jigsaw.puzzle import Puzzle, Task
from pixelword.jigsaw.refusals import Ledger, Refusal
from pixelword.jigsaw.verdicts import Verdicts

T = TypeVar("T")


def puzzles(
    samples: Iterable[T | Refusal],
    task: Task[T],
    *,
    seed: int,
    epoch: int = 0,
    ledger: Ledger | None = None,
    verdicts: Verdicts | None = None,
    shard: int = 0,
    shards: int = 1,
) -> Iterator[Puzzle]:
    """The puzzles of one epoch, as `drawn` makes them, without their samples."""
    made = drawn(samples, task, seed=seed, epoch=epoch, ledger=ledger, verdicts=verdicts, shard=shard, shards=shards)
    return (puzzle for _, puzzle in made)


def drawn(
    samples: Iterable[T | Refusal],
    task: Task[T],
    *,
    seed: int,
    epoch: int = 0,
    ledger: Ledger | None = None,
    verdicts: Verdicts | None = None,
    shard: int = 0,
    shards: int = 1,
) -> Iterator[tuple[T, Puzzle]]:
    """The samples of one epoch with their puzzles.

    A puzzle hangs on its sample's id, never on its neighbours, so sharding changes none.

    Args:
        samples: what a source gives; refusals among them are counted like those of the task.
        ledger: counts; its policy decides whether a bad sample is skipped or stops everything.
        verdicts: screenings of earlier epochs, read and added to where they do not hang on the epoch.
        shard, shards: take every `shards`-th sample from number `shard` on.

    Raises:
        ConfigError: a shard that does not exist.
        DataError: a sample is refused and the ledger's policy is `fail`.
    """
    if not 0 <= shard < shards:
        raise ConfigError(
            "a shard is one of the shards, from 0", got=f"{shard} of {shards}", fix="use 0 <= shard < shards"
        )
    counted = ledger if ledger is not None else Ledger()
    for number, sample in enumerate(samples):
        if number % shards != shard:
            continue
        if isinstance(sample, Refusal):
            counted.refuse(sample)
            continue
        made = task.puzzle(sample, seed=seed, epoch=epoch, verdicts=verdicts)
        if isinstance(made, Refusal):
            counted.refuse(made)
        else:
            counted.made += 1
            yield sample, made
