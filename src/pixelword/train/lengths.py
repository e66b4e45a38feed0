"""How long the samples of a recipe are and how full they make its rows, from headers and texts alone."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from pixelword.data import PackedLoader, Sample, build_loader
from pixelword.data.files import is_elsewhere
from pixelword.data.packing import Packer
from pixelword.errors import DataError
from pixelword.model import NeoProcessor
from pixelword.model.loss import IGNORED
from pixelword.recipe import Recipe, SourceSettings
from pixelword.train.rates import rate_share

SOON, SECONDS, SMALL_POOL = 4000, 5.0, 64
"""Samples, seconds and rows of a pool of the look ahead of a run at whether its data ends early."""

QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}


@dataclass(frozen=True)
class Lengths:
    """What was read of the mixture.

    Attributes:
        samples, rows: read, and packed from them; some samples may still wait for a row.
        rows_of_lanes: the rows of each lane.
        edges, counts: of the histogram; bin k holds the samples of more than edges[k] and at most edges[k + 1] tokens.
        mean: tokens of a sample.
        quantiles: tokens by name of the quantile.
        longest: tokens of the longest sample.
        packed: share of the rows' tokens that is no padding.
        samples_per_row: mean, once as many samples leave the packers as come in.
        pictures: share of the tokens that stands for pictures.
        learned: share of the tokens that is learned.
        images_per_sample: mean.
        sources: samples by source.
        bad: rows that could not be used, by source and reason.
        ended: whether the data ended before enough was read.
    """

    samples: int
    rows: int
    rows_of_lanes: tuple[int, ...]
    edges: tuple[int, ...]
    counts: tuple[int, ...]
    mean: float
    quantiles: dict[str, int]
    longest: int
    packed: float
    samples_per_row: float
    pictures: float
    learned: float
    images_per_sample: float
    sources: dict[str, int]
    bad: dict[str, dict[str, int]]
    ended: bool


class Listening(Packer[Sample]):
    """A packer that remembers what came in. What leaves first are the long ones, so counting those would mislead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.heard: list[Sample] = []

    def add(self, item: Sample, length: int) -> None:
        super().add(item, length)
        self.heard.append(item)


def read_lengths(loader: PackedLoader, *, samples: int, seconds: float, rows: float = math.inf) -> Lengths:
    """Read rows of the loader's lanes in turn; no picture is decoded. The loader is used up.

    Args:
        loader: at its start.
        samples: how many are enough.
        seconds: no new row is begun after so long, if there is one.
        rows: how many are enough.

    Raises:
        DataError: no sample at all.
    """
    began = time.perf_counter()
    lanes, image_token = list(loader.lanes.values()), loader.encoder.processor.token_ids.context
    packers = [Listening(lane.packer.budget, lane.packer.look_ahead) for lane in lanes]
    for lane, packer in zip(lanes, packers, strict=True):
        lane.packer = packer
    lengths: list[int] = []
    packed = pictures = learned = images = 0
    rows_of = [0] * len(lanes)
    sources: Counter[str] = Counter()
    ended = False
    while len(lengths) < samples and sum(rows_of) < rows and not ended:
        turn = []
        for number, lane in enumerate(lanes):
            if sum(rows_of) and time.perf_counter() - began > seconds:
                break
            if row := lane.row():
                turn.append(row)
                rows_of[number] += 1
        late = time.perf_counter() - began > seconds
        ended = not turn and not late
        packed += sum(len(sample) for row in turn for sample in row)
        for sample in (sample for packer in packers for sample in packer.heard):
            lengths.append(len(sample))
            pictures += sample.input_ids.count(image_token)
            learned += len(sample.labels) - sample.labels.count(IGNORED)
            images += len(sample.grids)
            sources[sample.source] += 1
        for packer in packers:
            packer.heard.clear()
        if late:
            break
    if not lengths:
        raise DataError("the data gives no sample", got=loader.bad.state(), fix="see the log of bad rows")
    tokens = np.array(lengths)
    edges = histogram_edges(int(tokens.max()))
    counts, _ = np.histogram(tokens, bins=np.array(edges) + 0.5)
    return Lengths(
        samples=len(tokens),
        rows=sum(rows_of),
        rows_of_lanes=tuple(rows_of),
        edges=edges,
        counts=tuple(counts.tolist()),
        mean=float(tokens.mean()),
        quantiles={name: int(np.quantile(tokens, share, method="higher")) for name, share in QUANTILES.items()},
        longest=int(tokens.max()),
        packed=packed / (sum(rows_of) * loader.length),
        samples_per_row=packed / sum(rows_of) / float(tokens.mean()),
        pictures=pictures / int(tokens.sum()),
        learned=learned / int(tokens.sum()),
        images_per_sample=images / len(tokens),
        sources=dict(sources),
        bad=loader.bad.state(),
        ended=ended,
    )


def histogram_edges(longest: int) -> tuple[int, ...]:
    """0, 32, 48, 64, 96, 128, ...: powers of two and the middles between them, until the longest sample has its bin."""
    edges = [0, 32]
    while edges[-1] < longest:
        edges.append(edges[-1] * 3 // 2 if edges[-1] & (edges[-1] - 1) == 0 else edges[-1] * 4 // 3)
    return tuple(edges)


def steps_of_data(lengths: Lengths, recipe: Recipe, ranks: int) -> int:
    """Steps of the recipe, or fewer where all data was read: until the first rank has no rows for one."""
    if not lengths.ended:
        return recipe.steps
    own = [sum(lengths.rows_of_lanes[rank::ranks]) for rank in range(ranks)]
    return min(recipe.steps, min(own) // (recipe.rows_per_step // ranks))


def said_end(recipe: Recipe, steps: int) -> str:
    """What it means that the data ends before the schedule does."""
    share = rate_share(recipe, max(0, steps - 1))
    return (
        f"the data ends after about {steps:,} of {recipe.steps:,} steps, at {share:.0%} of the peak rate: set"
        f" steps={steps} (and optimizer.warmup_steps below it), or more epochs"
    )


def early_end(recipe: Recipe, processor: NeoProcessor, ranks: int) -> str:
    """`said_end` if a short look ahead meets the end of all data, else nothing.

    Sources that are read for ever have none, and those elsewhere are not read twice.
    """
    if any(source.weight and (source.epochs is None or is_far(source)) for source in recipe.data.sources):
        return ""
    data = recipe.data.model_copy(update={"pool": min(recipe.data.pool, SMALL_POOL)})
    loader = build_loader(recipe.model_copy(update={"data": data}), processor)
    loader.bad.silent, loader.bad.policy = True, "skip"
    try:
        lengths = read_lengths(loader, samples=SOON, seconds=SECONDS, rows=recipe.steps * recipe.rows_per_step)
    except DataError:  # the run itself will meet it, and say what became of it
        return ""
    steps = steps_of_data(lengths, recipe, ranks)
    return said_end(recipe, steps) if 0 < steps < recipe.steps else ""


def is_far(source: SourceSettings) -> bool:
    """Whether reading a source takes a network."""
    return source.kind == "huggingface" or is_elsewhere(source.path)
