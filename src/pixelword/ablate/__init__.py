"""Ablations at tiny scale: which parts of the native design earn their place, on a budget of minutes.

    run_ablation("rows", Path("runs/ablate"), seeds=3, minutes=2.0)

Three experiments: `rows` (attention pattern x position scheme, rows A to I of the paper), `depth` (pre-Buffer layers)
and `reuse` (a trained pre-Buffer in front of a fresh language model, beside one from scratch and beside an image
encoder with a projector). Every run is a folder; a finished one is never repeated.
"""

from __future__ import annotations

import os
from pathlib import Path


def run_ablation(experiment: str, out: Path, *, seeds: int = 3, minutes: float = 2.0, host: str = "parent") -> Path:
    """Train what is missing, then write the table, the plots and the numbers.

    Args:
        experiment: `rows`, `depth` or `reuse`.
        out: folder of all runs of one budget; experiments share it, and what they have in common.
        seeds: how many, from 0 on.
        minutes: CPU minutes for one run, on one thread of a CPU with AMX. They set the number of steps at a fixed
            rate, so that the same minutes are the same training everywhere.
        host: for `reuse`, the language model behind the pre-Buffer: `parent`, the one it was trained with, before that
            training (as in the paper), or `other`, one of another seed.

    Returns:
        The page; beside it lie a Markdown table, the plots as SVG and the numbers as JSON.

    Raises:
        ConfigError: an unknown experiment or host, no seed, too short a budget, or a folder of another budget.
        BackendError: another ablation is writing into the folder.
        CheckpointError: a file of the folder is damaged.
        InputError: the folder cannot be written: rights, or a full disk. What is finished stays.
        TrainingError: the disk is full while a checkpoint is written.
    """
    # Threads that spin while they wait slow each other down as soon as anything else runs. Read when torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pixelword.ablate.run import run

    return run(experiment, out, seeds, minutes, host)


__all__ = ["run_ablation"]
