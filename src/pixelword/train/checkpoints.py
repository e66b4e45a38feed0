"""Checkpoints of a run: written beside, marked last, removed only when a newer one is whole.

checkpoint-N/
    weights/, optimizer/   tensors, by `parallel_checkpoint`; optimizer.json: the rest of the optimiser
    rng-R.json             random generators of rank R
    data.json              where the data goes on, merged over all ranks
    trainer_state.json     the Trainer's own
    recipe.yaml            the recipe of the run
    complete               written last, with the sizes of all files; without it, or with other sizes, it does not count
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelword.errors import TrainingError

logger = logging.getLogger(__name__)

MARKER, DATA = "complete", "data.json"
NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Marked:
    """A whole checkpoint.

    Attributes:
        folder: where it is.
        step: optimiser steps that were done.
        ranks: processes that wrote it.
    """

    folder: Path
    step: int
    ranks: int


def all_checkpoints(run: Path) -> list[Path]:
    """Folders of checkpoints, oldest first, cut-off ones included."""
    found = [(int(match[1]), path) for path in run.glob("checkpoint-*") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def newest(run: Path) -> Marked | None:
    """The newest whole checkpoint; newer cut-off ones are named in the log."""
    for folder in reversed(all_checkpoints(run)):
        if (marked := whole(folder)) is not None:
            return marked
        logger.warning("%s was cut off while it was written; it is left out", folder.name)
    return None


def whole(folder: Path) -> Marked | None:
    """The checkpoint of a folder if its marker is there and every file has the size that the marker says."""
    try:
        said = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in said["files"]}
        return Marked(folder, int(said["step"]), int(said["ranks"])) if sizes == said["files"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin(run: Path, step: int) -> Path:
    """An empty folder for the checkpoint of this step; what a cut-off save left there is removed."""
    folder = run / f"checkpoint-{step}"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def finish(folder: Path, step: int, ranks: int) -> None:
    """Mark a checkpoint as whole, after everything in it has reached the disk."""
    (folder / MARKER).unlink(missing_ok=True)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        flush(path)
    said = {
        "step": step,
        "ranks": ranks,
        "files": {str(path.relative_to(folder)): path.stat().st_size for path in files},
    }
    partial = folder / f"{MARKER}.partial"
    partial.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    flush(partial)
    partial.replace(folder / MARKER)


def remove_older(run: Path, keep: int) -> None:
    """Remove all but the newest whole checkpoints, and every cut-off one older than them."""
    marked = [folder for folder in all_checkpoints(run) if whole(folder) is not None]
    kept = set(marked[-keep:])
    for folder in all_checkpoints(run):
        if marked and folder not in kept:
            (folder / MARKER).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def full_disk(folder: Path, error: Exception) -> TrainingError:
    """What to raise when a checkpoint could not be written; what there is of it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    last = newest(folder.parent)
    kept = f"{last.folder.name} is whole and the run goes on from it" if last else "there is no earlier checkpoint"
    return TrainingError(
        f"{folder.name} could not be written; {kept}",
        got=" ".join(str(error).split()),
        fix="make room on the disk or lower `keep`, then give the same command again",
    )


def random_state() -> dict[str, Any]:
    """All random generators of this process as plain data."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [str(kind), np.asarray(keys).tolist(), int(place), int(has_gauss), float(gauss)],
        "torch": as_text(torch.get_rng_state()),
    }
    if torch.cuda.is_available():
        state["cuda"] = as_text(torch.cuda.get_rng_state())
    return state


def set_random_state(state: dict[str, Any]) -> None:
    version, inner, gauss = state["python"]
    random.setstate((version, tuple(inner), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(as_bytes(state["torch"]))
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state(as_bytes(state["cuda"]))


def as_text(state: torch.Tensor) -> str:
    return bytes(state.numpy()).hex()


def as_bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
