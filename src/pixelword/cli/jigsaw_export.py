"""`pixelword jigsaw export`: the same puzzles for a trainer, an evaluation, or anyone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli.jigsaw_sources import Kind, Layout, samples, task_of

if TYPE_CHECKING:
    from pixelword.jigsaw import Puzzle


class Form(StrEnum):
    trl = "trl"
    verl = "verl"
    verl_cut = "verl-cut"
    jsonl = "jsonl"


def export(
    source: Annotated[Path, typer.Argument(help="A folder of samples, or a .jsonl or .parquet of rows.")],
    to: Annotated[
        Form,
        typer.Option(help="trl and verl-cut hold pictures; verl names files, as released; jsonl is a folder."),
    ],
    out: Annotated[Path, typer.Option(help="The parquet file, or the folder for jsonl.")],
    kind: Annotated[Kind, typer.Option(help="Of puzzle.")] = Kind.image,
    layout: Annotated[Layout, typer.Option(help="How the folder is laid out.")] = Layout.folder,
    depths: Annotated[Path | None, typer.Option(help="Folder of depth maps, for --kind depth.")] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Each so many-th frame of a scan, for --layout scannet.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Puzzles at most.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other puzzles.")] = 0,
    epoch: Annotated[int, typer.Option(min=0, help="Another epoch does, too.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the puzzle: rows=2, rule.container=tag, ..."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that is no puzzle.")] = False,
) -> None:
    """Write puzzles as TRL columns, verl parquet, or a folder of JSON lines and pictures.

    What is refused is counted and named. Rows of --to verl leave the order to the loader, which draws its own.
    """
    from pixelword.jigsaw import Ledger, drawn

    task, ledger = task_of(kind, settings or ()), Ledger("fail" if strict else "skip")
    pairs = islice(
        drawn(samples(source, kind, layout, depths, every), task, seed=seed, epoch=epoch, ledger=ledger), count
    )
    written = write(pairs, to, out, task, source if source.is_dir() else source.parent)
    typer.echo(f"{written} puzzles, {ledger.refused} refused")
    for line in str(ledger).splitlines()[1:]:
        typer.echo(line)
    typer.echo(f"written to {out}")


def write(pairs: Iterable[tuple[Any, Puzzle]], to: Form, out: Path, task: Any, root: Path) -> int:
    """Write the puzzles; how many there were."""
    from pixelword import jigsaw as house

    if to is Form.jsonl:
        return house.write_puzzles((puzzle for _, puzzle in pairs), out)
    if to is Form.trl:
        return house.write_parquet((house.trl_row(puzzle) for _, puzzle in pairs), out, house.trl_columns())
    if to is Form.verl_cut:
        cut = (house.verl_cut_row(puzzle, number) for number, (_, puzzle) in enumerate(pairs))
        return house.write_parquet(cut, out, house.verl_cut_columns())
    return house.write_parquet(verl_rows(pairs, task, root), out, house.verl_row_columns(task))


def verl_rows(pairs: Iterable[tuple[Any, Puzzle]], task: Any, root: Path) -> Iterator[dict[str, Any]]:
    from pixelword.jigsaw import verl_row

    for number, (sample, puzzle) in enumerate(pairs):
        yield verl_row(sample, puzzle, task, number, root)
