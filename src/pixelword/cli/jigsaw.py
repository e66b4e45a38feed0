"""`pixelword jigsaw`: puzzles out of folders of pictures, films and depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli.extras import needs
from pixelword.cli.jigsaw_eval import evaluate
from pixelword.cli.jigsaw_export import export
from pixelword.cli.jigsaw_sources import Kind, Layout, samples, task_of

if TYPE_CHECKING:
    from pixelword.jigsaw import Ledger, Puzzle
    from pixelword.report import Page, Piece

jigsaw = typer.Typer(help="Puzzles out of folders of pictures, films and depth maps.")
jigsaw.command("export")(export)
jigsaw.command("eval")(evaluate)


@jigsaw.command("preview")
def preview(
    folder: Annotated[Path, typer.Argument(help="Pictures, films, or a dataset's own folder.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("jigsaw.html"),
    kind: Annotated[Kind, typer.Option(help="Of puzzle.")] = Kind.image,
    layout: Annotated[Layout, typer.Option(help="How the folder is laid out.")] = Layout.folder,
    depths: Annotated[Path | None, typer.Option(help="Folder of depth maps, for --kind depth.")] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Each so many-th frame of a scan, for --layout scannet.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Puzzles on the page.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed gives other puzzles.")] = 0,
    epoch: Annotated[int, typer.Option(min=0, help="Another epoch does, too.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the puzzle: rows=2, rule.container=tag, ..."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that is no puzzle.")] = False,
) -> None:
    """A page of puzzles with their solutions, and what was refused.

    Reads the folder until it has as many puzzles as asked for.
    """
    from itertools import islice

    from pixelword.jigsaw import Ledger, puzzles

    task = task_of(kind, settings or ())
    ledger = Ledger("fail" if strict else "skip")
    source = samples(folder, kind, layout, depths, every)
    made = list(islice(puzzles(source, task, seed=seed, epoch=epoch, ledger=ledger), count))
    path = page(made, ledger, f"{task.kind} jigsaw, {task.difficulty}", f"seed {seed}, epoch {epoch}").write(out)
    typer.echo(str(ledger))
    typer.echo(f"written to {path}")


def page(made: list[Puzzle], ledger: Ledger, title: str, subtitle: str) -> Page:
    """What was made and what was refused, on one page."""
    with needs("demo"):
        from pixelword.report import Page, Table, Tile, Tiles
    from pixelword.jigsaw import REASONS

    written = Page(title[:1].upper() + title[1:], subtitle)
    tiles = [Tile(str(ledger.made), "puzzles"), Tile(str(ledger.refused), "samples refused")]
    if made:
        tiles.append(Tile(f"{chance(made[0]):.3f}", "total reward of a random guess", "with the right form"))
    written.add(Tiles(tiles))
    for puzzle in made:
        written.section(puzzle.key.sample).add(*pieces(puzzle))
    if ledger.refused:
        rows: list[list[str | int]] = [
            [reason, count, REASONS[reason], "; ".join(map(named, ledger.first(reason)[:3]))]
            for reason, count in ledger.counts.items()
        ]
        written.section("Refused").add(Table(["reason", "samples", "meaning", "such as"], rows))
    return written


def named(refusal: Any) -> str:
    return f"{refusal.sample} ({refusal.detail})" if refusal.detail else refusal.sample


def chance(puzzle: Puzzle) -> float:
    """What a random permutation earns on average, with the right form and without repetition."""
    from math import factorial

    rule, K = puzzle.rule, puzzle.pieces
    solved = 1 / factorial(K)
    partial = rule.gamma * (1 / K - solved) if rule.partial_min_k <= K else 0.0
    return rule.exact_reward * solved + partial + (rule.format_reward if rule.think else 0.0)


def pieces(puzzle: Puzzle) -> list[Piece]:
    """One puzzle: as shown, solved, the answer, and the prompt behind a fold."""
    from pixelword.jigsaw.sheets import shown_sheet, solved_sheet
    from pixelword.report import Code, Fold, Listing, Paragraph, Picture, SideBySide

    pictures: list[Piece] = [Picture(shown_sheet(puzzle), "as the model is shown it, with its labels")]
    solved = solved_sheet(puzzle)
    if solved is not None:
        pictures.append(Picture(solved, "in the right order"))
    reward = puzzle.reward(puzzle.answer)
    return [
        SideBySide(pictures),
        Paragraph("Answer ", Code(", ".join(map(str, puzzle.target))), f", reward {reward.total:g}."),
        Fold("The prompt", [Listing(puzzle.text()), Listing(puzzle.answer, "A response that earns everything")]),
    ]
