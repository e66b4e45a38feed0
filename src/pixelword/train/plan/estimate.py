"""The whole run from what was read and measured: hours, speed, memory and disk, before it starts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelword.data import build_loader
from pixelword.errors import ConfigError
from pixelword.recipe import Recipe, fingerprint
from pixelword.train.lengths import Lengths, read_lengths, steps_of_data
from pixelword.train.plan.probe import Probe, probe


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes:
        recipe: its name.
        fingerprint: of the recipe.
        steps: of the run; fewer than the recipe's where the data was read and ends before them.
        wanted_steps: of the recipe.
        ranks: processes that it is planned for; their exchange of gradients is not in the times.
        lengths: what the data is like.
        probe: what was measured.
        step_seconds: time of a step.
        tokens_per_second, images_per_second: over all ranks.
        use: share of the machine's peak (MFU).
        hours: of the whole run, checkpoints included where their time is known.
        memory, gpu_memory: most bytes of a process, and of a GPU.
        tokens, samples: that the whole run reads.
        checkpoint_bytes: of one checkpoint.
        disk_bytes: most that lies on the disk at a time: `keep` checkpoints and the next one, or the result.
        free_bytes: on the disk where the run would write.
    """

    recipe: str
    fingerprint: str
    steps: int
    wanted_steps: int
    ranks: int
    lengths: Lengths
    probe: Probe
    step_seconds: float
    tokens_per_second: float
    images_per_second: float
    use: float
    hours: float
    memory: int
    gpu_memory: int
    tokens: float
    samples: float
    checkpoint_bytes: int
    disk_bytes: int
    free_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return asdict(self)


def plan_recipe(
    recipe: Recipe,
    *,
    where: Path = Path(),
    ranks: int = 1,
    steps: int = 10,
    samples: int = 4000,
    seconds: float = 60.0,
) -> Plan:
    """Run a few steps in a temporary folder, read samples, and count up.

    Args:
        recipe: what to plan.
        where: a folder on the disk that the run would write to.
        ranks: processes of the real run; the probe runs in this one alone.
        steps: measured ones.
        samples: read for the histogram.
        seconds: most for the reading (a quarter of it) and for the steps.

    Raises:
        ConfigError: the ranks do not divide a step.
        PixelWordError: the recipe does not start; each says why.
    """
    whole_step = recipe.rows_per_step // recipe.rows_per_batch
    if ranks < 1 or whole_step % ranks:
        raise ConfigError(
            "the processes must share the micro-batches of a step equally",
            got=f"{whole_step} micro-batches, {ranks} processes",
            fix="choose a number of processes that divides rows_per_step / rows_per_batch",
        )
    with tempfile.TemporaryDirectory(prefix="pixelword-plan-") as folder:
        measured, processor = probe(recipe, Path(folder), steps=steps, seconds=seconds)
    lengths = read_lengths(build_loader(recipe, processor), samples=samples, seconds=seconds / 4)
    return estimate(recipe, lengths, measured, ranks=ranks, free=shutil.disk_usage(existing(where)).free)


def estimate(recipe: Recipe, lengths: Lengths, measured: Probe, *, ranks: int, free: int) -> Plan:
    """Pure arithmetic over what was read and measured."""
    micro_batches = recipe.rows_per_step // recipe.rows_per_batch
    own = micro_batches // ranks
    step_seconds = own * measured.micro_seconds + measured.other_seconds
    checkpoint = measured.weights + measured.optimizer
    steps = steps_of_data(lengths, recipe, ranks)
    saves = steps // recipe.save_every
    seconds = steps * step_seconds + saves * (measured.save_seconds or 0.0)
    probed = measured.micro_batches * measured.micro_seconds + measured.other_seconds
    tokens = micro_batches * measured.tokens
    return Plan(
        recipe=recipe.name,
        fingerprint=fingerprint(recipe),
        steps=steps,
        wanted_steps=recipe.steps,
        ranks=ranks,
        lengths=lengths,
        probe=measured,
        step_seconds=step_seconds,
        tokens_per_second=tokens / step_seconds,
        images_per_second=micro_batches * measured.images / step_seconds,
        # The probe's operations over the time that so many micro-batches take in a whole step.
        use=measured.use * (probed / measured.micro_batches) / (step_seconds / own),
        hours=seconds / 3600,
        memory=measured.memory,
        gpu_memory=measured.gpu_memory,
        tokens=steps * tokens,
        samples=steps * tokens / lengths.mean,
        checkpoint_bytes=checkpoint,
        disk_bytes=max((recipe.keep + 1) * checkpoint, recipe.keep * checkpoint + measured.model),
        free_bytes=free,
    )


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
