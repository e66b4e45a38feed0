"""`pixelword jigsaw eval`: how well any model orders pieces, beside the chance line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count as count_from
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli.extras import needs
from pixelword.cli.jigsaw_sources import Kind, Layout, samples, task_of
from pixelword.errors import BackendError, ConfigError, DataError, PixelWordError

if TYPE_CHECKING:
    from pixelword.jigsaw import Group, Puzzle, Reply
    from pixelword.jigsaw.score_page import Shelf

Ask = Callable[["Puzzle"], "Reply"]
INSPECT = "inspect:"


def evaluate(
    source: Annotated[
        Path, typer.Argument(help="A folder from `export --to jsonl`; or samples, to make puzzles of as export does.")
    ],
    model: Annotated[
        str, typer.Option(help="A folder or hub name, ours or of transformers; or inspect:PROVIDER/NAME.")
    ] = "",
    replies: Annotated[Path | None, typer.Option(help="Instead of a model: JSON lines with id and reply.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the result, the page and the replies.")] = Path("jigsaw_eval"),
    kind: Annotated[Kind, typer.Option(help="Of puzzle.")] = Kind.image,
    layout: Annotated[Layout, typer.Option(help="How the folder is laid out.")] = Layout.folder,
    depths: Annotated[Path | None, typer.Option(help="Folder of depth maps, for --kind depth.")] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Each so many-th frame of a scan, for --layout scannet.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Puzzles at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of the puzzles.")] = 0,
    epoch: Annotated[int, typer.Option(min=0, help="Of the puzzles.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the puzzle: rows=2, rule.think=false, ..."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer; 2048 in the paper.")] = 2048,
    min_pixels: Annotated[int | None, typer.Option(min=1, help="Enlarge smaller pictures to this area.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Shrink larger pictures to this area.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is by default.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; that of the files by default.")] = "",
    base_url: Annotated[str, typer.Option(help="Of an OpenAI-compatible server, with an inspect: model.")] = "",
) -> None:
    """Exact rate and mean right places per kind and size of puzzle, with intervals and what chance gives.

    Writes result.json, report.html and replies.jsonl. The same command goes on where an earlier one stopped.
    """
    from pixelword.jigsaw import Asked, read_puzzles, score, summarize
    from pixelword.jigsaw.score_page import Shelf

    name = name_of(model, replies)
    pixels = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    asked_as = with_settings(name, max_new_tokens=max_new_tokens, **pixels, dtype=dtype, base_url=base_url)
    found = asked_puzzles(source, kind, layout, depths, every, settings or [], seed, epoch, count)
    # Replies of a file are read anew: it may have changed.
    said = None if replies is not None else out / "replies.jsonl"
    if replies is not None:
        ask = from_file(replies)
    elif model.startswith(INSPECT):
        place = stored(found, source, out / "puzzles")
        ask = from_inspect(model, asked_as, place, count, out, max_new_tokens, base_url)
        found = islice(read_puzzles(place), count)
    else:
        ask = from_model(model, max_new_tokens, device, dtype, min_pixels, max_pixels)
    shelf, scored = Shelf(), []
    for puzzle, reply in answered(found, ask, said, asked_as):
        scored.append(score(Asked.of(puzzle), reply))
        shelf.keep(puzzle, scored[-1])
    groups = summarize(scored)
    write_result(out, name, str(source), groups, shelf)
    if not any(one.answered for one in scored):
        raise BackendError(
            "no puzzle was answered, so there is no rate",
            got=next((one.reply.trouble for one in scored if one.reply.trouble), f"{len(scored)} puzzles"),
            fix="see replies.jsonl for what broke",
        )


def name_of(model: str, replies: Path | None) -> str:
    if bool(model) == (replies is not None):
        raise ConfigError(
            "an evaluation has a model or a file of replies", got=model or None, fix="give --model or --replies"
        )
    return model or f"replies of {replies.name if replies else ''}"


def asked_puzzles(
    source: Path,
    kind: Kind,
    layout: Layout,
    depths: Path | None,
    every: int | None,
    settings: list[str],
    seed: int,
    epoch: int,
    count: int | None,
) -> Iterable[Puzzle]:
    """The puzzles of an exported folder, or new ones of samples; what is refused is said.

    Raises:
        ConfigError: settings for puzzles that are made already.
    """
    from pixelword.jigsaw import read_puzzles
    from pixelword.jigsaw.puzzle_files import LINES

    if not (source / LINES).exists():
        return made_puzzles(source, kind, layout, depths, every, settings, seed, epoch, count)
    if settings:
        raise ConfigError("stored puzzles have their settings", got=settings, fix="leave --set out, or export anew")
    return islice(read_puzzles(source), count)


def made_puzzles(
    source: Path,
    kind: Kind,
    layout: Layout,
    depths: Path | None,
    every: int | None,
    settings: list[str],
    seed: int,
    epoch: int,
    count: int | None,
) -> Iterator[Puzzle]:
    """New puzzles; what is refused is said when they end."""
    from pixelword.jigsaw import Ledger, puzzles

    task, ledger = task_of(kind, settings), Ledger()
    yield from islice(
        puzzles(samples(source, kind, layout, depths, every), task, seed=seed, epoch=epoch, ledger=ledger), count
    )
    if ledger.refused:
        typer.echo(str(ledger), err=True)


def answered(found: Iterable[Puzzle], ask: Ask, file: Path | None, name: str) -> Iterator[tuple[Puzzle, Reply]]:
    """Each puzzle with its reply, asked for or known from an earlier run; what broke is asked again.

    Args:
        file: where replies are kept; None keeps none.
    """
    from pixelword.jigsaw.reply_files import append_reply, known_replies

    known = {} if file is None else known_replies(file, name)
    seen: dict[str, str] = {}
    for number, puzzle in enumerate(found, start=1):
        which, digest = puzzle.key.name, puzzle.digest()
        if seen.setdefault(which, digest) != digest:
            raise DataError("two puzzles have the same id", got=which, fix="give the samples ids of their own")
        reply = known.get((which, digest))
        if reply is None or reply.text is None:
            reply = ask(puzzle)
            if file is not None:
                append_reply(file, which, digest, reply, name)
            if number % 50 == 0:
                typer.echo(f"{number} puzzles", err=True)
        yield puzzle, reply


def from_file(path: Path) -> Ask:
    """Replies that something else collected; a puzzle that it does not name has none."""
    from pixelword.jigsaw import Reply
    from pixelword.jigsaw.reply_files import read_replies

    known = read_replies(path)
    return lambda puzzle: known.get(puzzle.key.name, Reply(None))


def from_model(
    model: str, max_new_tokens: int, device: str, dtype: str, min_pixels: int | None, max_pixels: int | None
) -> Ask:
    """A model in this process."""
    with needs("model"):
        import torch

        from pixelword.answering import load_answerer
        from pixelword.answering.devices import device_named, dtype_named
    from pixelword.jigsaw import Reply

    place, kind = device_named(device), dtype_named(dtype)
    bounds = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    answerer = load_answerer(model, max_new_tokens=max_new_tokens, thinks=True, dtype=kind, device=place, **bounds)

    def ask(puzzle: Puzzle) -> Reply:
        try:
            answer = answerer(puzzle.messages(), puzzle.images)
        except (PixelWordError, torch.OutOfMemoryError, ValueError) as error:  # processors refuse with ValueError
            return Reply(None, trouble=" ".join(str(error).split()))
        return Reply(answer.text, cut=answer.cut)

    return ask


def with_settings(name: str, **settings: object) -> str:
    """The model's name with what its replies depend on: other settings are another reply, which is asked for."""
    given = {key: value for key, value in settings.items() if value not in (None, "")}
    return f"{name} {json.dumps(given, sort_keys=True)}"


def from_inspect(
    model: str, asked_as: str, folder: Path, count: int | None, out: Path, max_new_tokens: int, base_url: str
) -> Ask:
    """A model that Inspect AI knows: all puzzles that have no reply yet at once, each reply kept as it comes.

    Args:
        folder: of stored puzzles, of which at most `count` are asked.

    Returns:
        What to say of a puzzle that has no kept reply: why.
    """
    with needs("eval"):
        from inspect_ai._util.error import PrerequisiteError
        from inspect_ai.model import get_model

        # Its import tells Inspect of our own way to a server.
        from pixelword.jigsaw import chat_server  # noqa: F401
        from pixelword.jigsaw.inspect_task import ask_all, sample_of
    from pixelword.jigsaw import Reply
    from pixelword.jigsaw.puzzle_files import read_lines
    from pixelword.jigsaw.reply_files import append_reply, known_replies

    file = out / "replies.jsonl"
    known, left, digests = known_replies(file, asked_as), [], dict[str, str]()
    for puzzle, pictures in islice(read_lines(folder), count):
        which, digest = puzzle.key.name, puzzle.digest()
        if which not in digests and known.get((which, digest), Reply(None)).text is None:
            left.append(sample_of(puzzle, pictures))
        digests.setdefault(which, digest)
    if not left:
        return lambda puzzle: Reply(None)
    try:
        asked = get_model(model.removeprefix(INSPECT), base_url=base_url or None)
    except (PrerequisiteError, ValueError, ImportError) as error:
        raise BackendError(
            "Inspect cannot make this model",
            got=f"{model}: {getattr(error, 'message', error)}",
            fix="give inspect:PROVIDER/NAME; for a server, inspect:pixelword-chat/NAME and --base-url",
        ) from error
    done = count_from(1)

    def keep(which: str, reply: Reply) -> None:
        append_reply(file, which, digests[which], reply, asked_as)
        if (number := next(done)) % 50 == 0:
            typer.echo(f"{number} of {len(left)} replies", err=True)

    got = ask_all(left, asked, max_tokens=max_new_tokens, logs=out / "logs", keep=keep)
    return lambda puzzle: got.get(puzzle.key.name, Reply(None))


def stored(found: Iterable[Puzzle], source: Path, folder: Path) -> Path:
    """The folder that holds these puzzles as files: the source itself, or one that is written here.

    Raises:
        ConfigError: other puzzles are there already.
    """
    from pixelword.jigsaw import read_puzzles, write_puzzles
    from pixelword.jigsaw.puzzle_files import LINES

    if (source / LINES).exists():
        return source
    if not (folder / LINES).exists():
        write_puzzles(found, folder)
        return folder
    digests = ((one.digest() for one in some) for some in (read_puzzles(folder), found))
    if any(one != other for one, other in zip_longest(*digests)):
        raise ConfigError("another run's puzzles are stored here", got=folder, fix="choose another --out")
    return folder


def write_result(out: Path, model: str, source: str, groups: list[Group], shelf: Shelf) -> None:
    """The numbers as JSON, the page, and a line per group."""
    with needs("demo"):
        from pixelword.jigsaw.score_page import score_page
    from pixelword import __version__

    result = {
        "model": model,
        "source": source,
        "pixelword": __version__,
        "groups": [group.as_json() for group in groups],
    }
    page = score_page("Jigsaw evaluation", f"{model} on {source}", groups, shelf, f"pixelword {__version__}")
    path = page.write(out / "report.html")
    (out / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for group in groups:
        exact = str(group.exact) if group.answered else "none answered"
        typer.echo(
            f"{group.difficulty}: exact {exact} (chance {group.chance_exact:.2g}), "
            f"right places {group.places} of {group.pieces} (chance 1), {group.statuses}"
        )
    typer.echo(f"written to {path}")
