"""The main job, put together from the world, the model, training and the page toolkit."""

from __future__ import annotations

import os
from pathlib import Path


def run_demo(out: Path, photos: Path | None = None, fast: bool = False, seed: int = 0) -> None:
    """Teach a tiny model to see and write a page about it; a folder that was begun is continued.

    Args:
        out: folder of the run; the page is `report.html` in it.
        photos: folder of photographs to read at their own resolutions; those inside scikit-image when None.
        fast: a run of a minute or two that promises no accuracy.
        seed: of the world, the weights and the exam.

    Raises:
        ConfigError: the folder belongs to a run with another seed or plan.
        InputError: the folder of photographs is not there or empty.
    """
    # Threads that spin while they wait make two threads slower than one as soon as anything else runs (measured: six
    # times on a busy machine). Read when torch's threads first start, so it comes before the import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pixelword.demo.run import run

    run(out, photos, fast, seed)


__all__ = ["run_demo"]
