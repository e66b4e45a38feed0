"""What a run says about itself: losses by modality and source, speed, use of the machine, norms of the gradient."""

from __future__ import annotations

import math
import time
from collections import defaultdict

import torch
from torch import Tensor

from pixelword.data import PackedBatch
from pixelword.train.flops import needed_flops, peak_flops
from pixelword.train.learns import part_of
from pixelword.train.placement import Placement
from pixelword.train.ranks import summed
from pixelword.train.setting_up import Prepared

MODALITIES = ("text", "image")
COUNTS = ("stop", "tokens", "places", "images", "flops", "bad rows")


class Measures:
    """Sums over micro-batches, ranks and steps until they are reported.

    Args:
        prepared: of the run.
        placement: of the ranks.

    Attributes:
        step_loss: the weighted loss of the last step, over all ranks.
        stop_agreed: whether a rank was asked to stop.
    """

    def __init__(self, prepared: Prepared, placement: Placement) -> None:
        self.prepared, self.placement = prepared, placement
        self.sources = [source.name for source in prepared.recipe.data.sources]
        self.kinds = [f"loss/{name}" for name in MODALITIES] + [f"loss/source/{name}" for name in self.sources]
        self.counted = [*COUNTS, *(f"samples/{name}" for name in self.sources)]
        self.config = prepared.model.config
        self.depth = self.config.llm_config.extra_num_layers
        self.step_loss, self.stop_agreed = 0.0, False
        self._fresh()
        self._norms: dict[str, float] = {}
        self._clear()

    def _fresh(self) -> None:
        """A new step."""
        self._sums = torch.zeros(2 * len(self.kinds), dtype=torch.float64, device=self.placement.device)
        self._counts = dict.fromkeys(self.counted, 0.0)

    def _clear(self) -> None:
        """A new line of the log."""
        self._seconds, self._since, self._steps = 0.0, time.perf_counter(), 0
        self._total: dict[str, float] = defaultdict(float)

    def count(self, batch: PackedBatch, losses_BN: Tensor) -> None:
        """Add a micro-batch.

        Args:
            batch: as the loader gave it.
            losses_BN: cross-entropy of every label, on the device.
        """
        source_BN, modality_BN = kinds_of(batch, self.sources, self.config.image_token_id)
        device = losses_BN.device
        weights = batch.inputs["loss_weights"].to(device, torch.float64).flatten()
        weighted = losses_BN.double().flatten() * weights
        places = torch.cat((modality_BN.flatten(), source_BN.flatten() + len(MODALITIES))).to(device)
        half = len(self.kinds)
        self._sums[:half].index_add_(0, places, weighted.repeat(2))
        # The first label of a row is nobody's next token and has no weight.
        self._sums[half:].index_add_(0, places, weights.repeat(2))
        self._counts["tokens"] += batch.tokens
        self._counts["places"] += batch.inputs["input_ids"].numel()
        self._counts["images"] += len(batch.inputs.get("image_grid_thw", ()))
        self._counts["flops"] += needed_flops(self.prepared.model, batch)
        for name in (name for row in batch.sources for name in row):
            self._counts[f"samples/{name}"] += 1

    def exchange(self, stop: bool) -> None:
        """End a step: add up what all ranks counted."""
        self._counts["stop"] = float(stop)
        self._counts["bad rows"] = float(self.prepared.loader.bad.total)
        own = [*self._sums.tolist(), *self._counts.values()]
        total = summed(own, self.placement)
        half = len(self.kinds)
        modalities = range(len(MODALITIES))
        weight = sum(total[half + kind] for kind in modalities)
        self.step_loss = sum(total[kind] for kind in modalities) / max(weight, 1e-5)
        counts = dict(zip(self.counted, total[2 * half :], strict=True))
        self.stop_agreed = self.stop_agreed or counts["stop"] > 0
        for name, value in counts.items():
            self._total[name] += value
        self._total["bad rows"] = counts["bad rows"]  # counted since the run began, not since the last step
        for number, kind in enumerate(self.kinds):
            self._total[kind] += total[number]
            self._total[f"weight of {kind}"] += total[half + number]
        self._steps += 1
        self._fresh()

    def pause_begins(self) -> None:
        """The step is done; what follows (logs, saving, measuring) is not part of its time."""
        self._seconds += time.perf_counter() - self._since

    def pause_ends(self) -> None:
        """The next step begins."""
        self._since = time.perf_counter()

    def norms(self, names: list[str], norms: list[float], total: float) -> None:
        """Norms of the gradients of the last step, before clipping, by part of the model."""
        squares: dict[str, float] = defaultdict(float)
        for name, norm in zip(names, norms, strict=True):
            squares[part_of(name, self.depth)] += norm**2
        self._norms = {f"gradient/{part}": math.sqrt(square) for part, square in squares.items()}
        self._norms["gradient"] = total

    def report(self) -> dict[str, float]:
        """Means and rates since the last report; norms are those of the last step.

        The loss is the mean over the weights of all labels since then, so that it is also the mean of its parts.
        """
        seconds, total = max(self._seconds, 1e-9), self._total
        peak = peak_flops(self.placement.device, self.prepared.recipe.model.dtype) * self.placement.ranks
        weight = {kind: total[f"weight of {kind}"] for kind in self.kinds}
        modalities = self.kinds[: len(MODALITIES)]
        found = {"loss": sum(total[kind] for kind in modalities) / max(sum(weight[kind] for kind in modalities), 1e-5)}
        found |= {kind: total[kind] / weight[kind] for kind in self.kinds if weight[kind] > 0}
        samples = {name: total[f"samples/{name}"] for name in self.sources}
        found |= {f"share/source/{name}": count / max(sum(samples.values()), 1.0) for name, count in samples.items()}
        found |= self._norms
        found |= {
            "tokens/s": total["tokens"] / seconds,
            "images/s": total["images"] / seconds,
            "MFU": total["flops"] / seconds / peak,
            "packed": total["tokens"] / max(total["places"], 1),
            "seconds/step": seconds / max(self._steps, 1),
            "tokens": total["tokens"],
            "bad rows": total["bad rows"],
        }
        if self.placement.device.type == "cuda":
            found["peak GiB"] = torch.cuda.max_memory_allocated(self.placement.device) / 2**30
        self._clear()
        return found


def kinds_of(batch: PackedBatch, sources: list[str], image_token: int) -> tuple[Tensor, Tensor]:
    """Of every token: the number of its source, and 1 where its sample has pictures; both (B, N), 0 for padding."""
    sample_ids, ids = batch.inputs["sample_ids"], batch.inputs["input_ids"]
    most = max(len(row) for row in batch.sources)
    source_BS = torch.zeros(len(batch.sources), most, dtype=torch.long)
    for row, names in enumerate(batch.sources):
        source_BS[row, : len(names)] = torch.tensor([sources.index(name) for name in names])
    which = sample_ids.clamp(min=0)
    pictures_BS = torch.zeros(len(batch.sources), most, dtype=torch.long)
    pictures_BS.scatter_reduce_(1, which, ((ids == image_token) & (sample_ids >= 0)).long(), "amax")
    return source_BS.gather(1, which), pictures_BS.gather(1, which)
