"""`pixelword tiny`: write the small world that the recipes in recipes/tiny train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs


def tiny(
    folder: Annotated[Path, typer.Argument(help="New folder; recipes/tiny expect data/tiny.")] = Path("data/tiny"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and of the language model.")] = 0,
) -> None:
    """Draw pictures, write texts and questions, and let a small language model read; a minute or two on one CPU.

    Then: pixelword train recipes/tiny/pretrain.yaml, midtrain.yaml, sft.yaml.
    """
    with needs("train"):
        from pixelword.demo.tiny import write_tiny

    write_tiny(folder, seed=seed)
    typer.echo(f"written: {folder}")
