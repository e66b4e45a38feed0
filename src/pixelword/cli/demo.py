"""`pixelword demo`: teach a tiny model to see on this machine, and write a page about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; an existing one is continued.")] = Path("runs/demo"),
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs to read; default: those inside scikit-image.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A much shorter run that only shows that all parts work.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world, the weights and the order of training.")] = 0,
) -> None:
    """Train a tiny model on a drawn world, question it, and write a report.

    Needs no download, no key and no GPU. Stopped half way, the same command continues.
    """
    with needs("demo"):
        from pixelword.demo import run_demo

    run_demo(out, photos, fast, seed)
    typer.echo(f"report: {out / 'report.html'}")
