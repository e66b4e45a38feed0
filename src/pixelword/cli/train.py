"""`pixelword train`: run a recipe, on one process or under torchrun; the same command continues."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs

STOPPED = {"SIGINT": 130, "SIGTERM": 143}
"""Exit codes of a run that a signal ended; its state is kept."""


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the stage, such as recipes/tiny/pretrain.yaml.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A value of the recipe, as a.b=c; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/<folder of the recipe>/<its name>.")
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although the recipe changed; what changed is said.")
    ] = False,
) -> None:
    """Train one stage.

    Stopped half way, by Ctrl-C, SIGTERM or a power cut, the same command continues. Several GPUs or nodes:
    torchrun --nproc-per-node 8 -m pixelword.cli.main train RECIPE
    """
    with needs("train"):
        from pixelword.recipe import load_recipe
        from pixelword.train.run import run_recipe
    first = os.environ.get("RANK", "0") == "0"  # torchrun tells every process its rank; one of them speaks
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("pixelword").setLevel(logging.INFO if first else logging.ERROR)
    logging.getLogger("pixelword.data.records").setLevel(logging.WARNING)  # each process names its own bad rows
    folder = out or Path("runs") / recipe.resolve().parent.name / recipe.stem
    outcome = run_recipe(load_recipe(recipe, setting or []), folder, accept_changes=accept_changes)
    said = f"model: {outcome.folder / 'model'} ({outcome.step} steps)"
    if outcome.stopped:
        said = f"stopped by {outcome.stopped} after step {outcome.step}; the same command continues"
    if first:
        for source, reasons in outcome.bad_rows.items():
            counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
            typer.echo(f"rows of {source} left out: {counts}")
        typer.echo(said)
    if outcome.stopped:
        raise typer.Exit(STOPPED.get(outcome.stopped, 1))
