"""How long the samples of a recipe are and how full they make its rows, from headers and texts alone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from pixelword.data import PackedLoader
from pixelword.errors import DataError
from pixelword.model.loss import IGNORED

QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}


@dataclass(frozen=True)
class Lengths:
    """What was read of the mixture.

    Attributes:
        samples, rows: read, and packed from them.
        edges, counts: of the histogram; bin k holds the samples of more than edges[k] and at most edges[k + 1] tokens.
        mean: tokens of a sample.
        quantiles: tokens by name of the quantile.
        longest: tokens of the longest sample.
        packed: share of the rows' tokens that is no padding.
        samples_per_row: mean.
        pictures: share of the tokens that stands for pictures.
        learned: share of the tokens that is learned.
        images_per_sample: mean.
        sources: samples by source.
        bad: rows that could not be used, by source and reason.
        ended: whether the data ended before enough was read.
    """

    samples: int
    rows: int
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


def read_lengths(loader: PackedLoader, *, samples: int, seconds: float) -> Lengths:
    """Read rows of the loader's lanes in turn; no picture is decoded. The loader is used up.

    Args:
        loader: at its start.
        samples: how many are enough.
        seconds: no new row is begun after so long.

    Raises:
        DataError: no sample at all.
    """
    began = time.perf_counter()
    lanes, image_token = list(loader.lanes.values()), loader.encoder.processor.token_ids.context
    lengths: list[int] = []
    rows = pictures = learned = images = 0
    sources: Counter[str] = Counter()
    ended = False
    while len(lengths) < samples and not ended and (not lengths or time.perf_counter() - began < seconds):
        turn = [row for lane in lanes if (row := lane.row())]
        ended = not turn
        rows += len(turn)
        for sample in (sample for row in turn for sample in row):
            lengths.append(len(sample))
            pictures += sample.input_ids.count(image_token)
            learned += len(sample.labels) - sample.labels.count(IGNORED)
            images += len(sample.grids)
            sources[sample.source] += 1
    if not lengths:
        raise DataError("the data gives no sample", got=loader.bad.state(), fix="see the log of bad rows")
    tokens = np.array(lengths)
    edges = histogram_edges(int(tokens.max()))
    counts, _ = np.histogram(tokens, bins=np.array(edges) + 0.5)
    return Lengths(
        samples=len(tokens),
        rows=rows,
        edges=edges,
        counts=tuple(counts.tolist()),
        mean=float(tokens.mean()),
        quantiles={name: int(np.quantile(tokens, share, method="higher")) for name, share in QUANTILES.items()},
        longest=int(tokens.max()),
        packed=float(tokens.sum() / (rows * loader.length)),
        samples_per_row=len(tokens) / rows,
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
