"""`pixelword chat`: one question about image files, or a conversation in the terminal."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli.extras import needs
from pixelword.errors import ConfigError, PixelWordError, nearest

if TYPE_CHECKING:
    from pixelword.cli.conversation import Conversation

COMMANDS = {
    "/image PATH": "show a picture with the next question; several may be added",
    "/reset": "forget the conversation",
    "/help": "this list",
    "/quit": "leave (as does the end of input)",
}


def chat(
    model: Annotated[str, typer.Argument(help="A folder, or owner/name on the hub.")],
    image: Annotated[list[Path] | None, typer.Option(help="A picture; may be given several times.")] = None,
    question: Annotated[str, typer.Option(help="Ask this, print the answer and leave.")] = "",
    system: Annotated[str, typer.Option(help="A system message before the first turn.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token each time.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="With a temperature: share to sample among.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Of the sampling.")] = None,
    min_pixels: Annotated[int | None, typer.Option(min=1, help="Enlarge smaller pictures to this area.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Shrink larger pictures to this area.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is by default.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; that of the files by default.")] = "",
) -> None:
    """Ask a model about pictures, once or in a conversation.

    With --question, the answer alone goes to standard output. Without, a conversation starts; type /help in it.
    Ctrl-C stops an answer, not the conversation.
    """
    with needs("model"):
        import torch
        from transformers.utils.logging import disable_progress_bar

        from pixelword.answering.devices import device_named, dtype_named
        from pixelword.cli.conversation import Conversation, Manner
        from pixelword.convert import load_released

    if top_p == 0:
        raise ConfigError("--top-p must be above 0", got=top_p, fix="use --temperature 0 for the likeliest token")
    place, kind = device_named(device), dtype_named(dtype)
    bounds = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    disable_progress_bar()  # the answer alone is printed
    network, processor = load_released(model, dtype=kind, **{k: v for k, v in bounds.items() if v is not None})
    network.to(place)  # type: ignore[arg-type]
    if seed is not None:
        torch.manual_seed(seed)
    manner = Manner(max_new_tokens, temperature, top_p, system)
    conversation = Conversation(network, processor, manner)
    if question:
        if answer(conversation, question, image or []) == "interrupt":
            raise typer.Exit(130)
        return
    converse(conversation, image or [])


def converse(conversation: Conversation, images: list[Path]) -> None:
    """Read lines until the end of input or /quit; a mistake is told and the conversation goes on."""
    with suppress(ImportError):
        import readline  # noqa: F401  (gives `input` its line editing)
    typer.echo("Ask about pictures. /image PATH shows one, /help lists the commands, Ctrl-C stops an answer.")
    waiting = [path for path in images if attach(conversation, path)]
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo("\ntype /quit to leave")
            continue
        word, _, rest = line.partition(" ")
        if word == "/quit":
            return
        if word == "/image":
            waiting += [path for path in paths_of(rest) if attach(conversation, path)]
        elif word == "/reset":
            conversation.reset()
            waiting = []
            typer.echo("forgotten")
        elif word.startswith("/"):
            say_commands(word)
        elif line:
            try:
                answer(conversation, line, waiting)
                waiting = []
            except PixelWordError as error:
                typer.echo(f"{error}", err=True)


def answer(conversation: Conversation, question: str, images: list[Path]) -> str:
    """Print one answer while it is written, and a note where it did not end by itself; return how it ended."""
    pictures = [str(path) for path in images]
    reply = conversation.ask(question, pictures, lambda text: typer.echo(harmless(text), nl=False))
    typer.echo()
    if reply.end == "interrupt":
        typer.echo("(stopped)", err=True)
    elif reply.end == "length":
        typer.echo("(cut off: --max-new-tokens or the context is reached)", err=True)
    return reply.end


def harmless(text: str) -> str:
    """Text without characters that command a terminal."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def attach(conversation: Conversation, path: Path) -> bool:
    """Read a picture once, so that a bad one is told at once; say how many tokens it will be."""
    processor = conversation.processor.image_processor
    try:
        _, rows, columns = processor(str(path))["image_grid_thw"][0]
    except PixelWordError as error:
        typer.echo(f"{error}", err=True)
        return False
    rows, columns = rows // processor.merge_size, columns // processor.merge_size
    typer.echo(f"{path.name}: {rows} x {columns} tokens, shown with the next question")
    return True


def paths_of(text: str) -> list[Path]:
    """The paths of a line: separated by spaces, quoted where they hold some."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = [text]
    if not words:
        typer.echo("write /image PATH", err=True)
    return [Path(word).expanduser() for word in words]


def say_commands(word: str) -> None:
    if word != "/help":
        names = [command.split()[0] for command in COMMANDS]
        typer.echo(f"no command {word}; {nearest(word, names)}", err=True)
        return
    for command, meaning in COMMANDS.items():
        typer.echo(f"  {command:<12} {meaning}")
