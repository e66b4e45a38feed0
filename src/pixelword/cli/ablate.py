"""`pixelword ablate`: train the rows of an ablation table at tiny scale, and write the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs


def ablate(
    experiment: Annotated[
        str,
        typer.Argument(help="rows (attention x position scheme, A to I), depth (of the pre-Buffer) or reuse (PB1-3)."),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every arm; intervals need two, three are better.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of all runs of one budget.")] = Path("runs/ablate"),
    minutes_per_run: Annotated[
        float, typer.Option(help="CPU minutes of a run on one thread; they set the number of steps.")
    ] = 2.0,
    host: Annotated[
        str, typer.Option(help="reuse: the language model behind the pre-Buffer, parent or other.")
    ] = "parent",
) -> None:
    """Train every arm with the same data and steps, and write a table with intervals.

    Each run is a folder with a final mark. Stopped half way, the same command continues; finished runs are not
    repeated. Set OMP_NUM_THREADS=1: the models are so small that a second thread only costs.
    """
    with needs("train"):
        from pixelword.ablate import run_ablation

    page = run_ablation(experiment, out, seeds=seeds, minutes=minutes_per_run, host=host)
    typer.echo(page.with_suffix(".md").read_text(encoding="utf-8"))
    typer.echo(f"page: {page}")
