"""`pixelword posttrain`: GRPO or SFT on puzzles or questions, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs


def posttrain(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/jigsaw/image.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an existing one is continued.")] = Path(
        "runs/posttrain"
    ),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: steps=200, grpo.algorithm=dapo, ..."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the resolved recipe and its fingerprint; train nothing.")
    ] = False,
) -> None:
    """Post-train a model on puzzles, or on questions about drawn scenes.

    On several GPUs start it with torchrun or accelerate launch. Stopped half way, the same command continues.
    """
    from pixelword.posttrain import read_posttrain_recipe
    from pixelword.recipe import fingerprint, resolved

    read = read_posttrain_recipe(recipe, settings or ())
    if show:
        typer.echo(resolved(read))
        typer.echo(f"# fingerprint {fingerprint(read)}")
        return
    with needs("rl"):
        from pixelword.posttrain.run import posttrain as run

    done = run(read, out)
    for name in ("before", "after"):
        if done[name] is not None:
            typer.echo(f"held out, step {done[name]['step']}: {done[name]['exact']:.3f} exact")
    if "verdict" in done:
        typer.echo(f"health: {done['verdict']}")
    typer.echo(f"written to {out}")
