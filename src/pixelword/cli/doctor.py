"""`pixelword doctor`: examine a recipe before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli.extras import needs, refuse_folder

if TYPE_CHECKING:
    from rich.table import Table

    from pixelword.train.doctor import Diagnosis

FAULTY = 1
"""Exit code of an examination that found something."""
STYLES = {"sound": "green", "warning": "yellow", "faulty": "bold red", "not applicable": "dim"}


def doctor(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the stage.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A value of the recipe, as a.b=c; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is by default.")] = "",
    trial: Annotated[bool, typer.Option(help="Run 2 + 2 steps in a temporary folder, whole and resumed.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write the findings too, e.g. findings.json.")] = None,
) -> None:
    """Look for faults that would spoil the training.

    On the recipe's own model and data, in about a minute: what trains and what gets gradient, leaks between packed
    samples, shifted labels, placeholders without patches, a resume that is none, and text that the surgery changed.
    Exit code 1 if a fault was found; warnings are shown and let it be 0.
    """
    with needs("train"):
        from rich.console import Console

        from pixelword.answering.devices import device_named
        from pixelword.recipe import load_recipe
        from pixelword.train import write_json
        from pixelword.train.doctor import examine_recipe

    refuse_folder(out)
    diagnosis = examine_recipe(load_recipe(recipe, setting or []), device=device_named(device), trial=trial)
    console = Console()
    console.print(outcomes(diagnosis))
    for finding in diagnosis.findings + diagnosis.warnings:
        style = STYLES["faulty" if finding in diagnosis.findings else "warning"]
        console.print(f"\n[{style}]{finding.check}[/]", finding.what, sep=": ", highlight=False)
        console.print("  where:", finding.where, highlight=False, markup=False)
        console.print("  fix:  ", finding.fix, highlight=False, markup=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, diagnosis.as_json())
    if diagnosis.findings:
        raise typer.Exit(FAULTY)


def outcomes(diagnosis: Diagnosis) -> Table:
    """One line per check."""
    from rich.table import Table
    from rich.text import Text

    from pixelword.train.doctor import CHECKS

    table = Table(box=None)
    for name in ("check", "outcome", "looked at, or why not"):
        table.add_column(name)
    table.add_column("s", justify="right")
    for outcome in diagnosis.checks:
        status = Text(outcome.status, style=STYLES[outcome.status])
        table.add_row(CHECKS[outcome.check], status, outcome.note, f"{outcome.seconds:.1f}")
    return table
