"""The command `pixelword`: its table of commands, and how it ends.

Exit codes: 0 done, 2 a mistake the user can fix (told without traceback), 130 interrupted. Any other failure is a
mistake of this package and keeps its traceback.

Import rule: this package imports nothing at the top but typer and `pixelword.errors`, so that `--help` answers at
once. A command imports what it calls inside its function.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from pixelword import __version__
from pixelword.cli.ablate import ablate
from pixelword.cli.chat import chat
from pixelword.cli.convert import convert
from pixelword.cli.demo import demo
from pixelword.cli.doctor import doctor
from pixelword.cli.explain import explain
from pixelword.cli.jigsaw import jigsaw
from pixelword.cli.plan import plan
from pixelword.cli.posttrain import posttrain
from pixelword.cli.realunify import realunify
from pixelword.cli.tiny import tiny
from pixelword.cli.train import train
from pixelword.errors import BackendError, PixelWordError, is_out_of_memory

USER_ERROR = 2
INTERRUPTED = 130
PLACES = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
)
"""How a disk or folder that the user named refuses; every other OSError is our mistake."""

SMALLER = {
    "ablate": "close what else runs, or take a GPU",
    "chat": "lower --max-pixels or --max-new-tokens, or give --dtype bfloat16",
    "doctor": "--set rows_per_batch=1, a smaller packing.budget and packing.max_sample, or --device cpu",
    "explain": "lower --max-pixels, give --dtype bfloat16 or --device cpu, or --rule-only, which runs no model",
    "plan": "--set rows_per_batch=1, or a smaller packing.budget and packing.max_sample",
    "posttrain": "lower rows_per_batch or max_tokens; the same command goes on from its newest checkpoint",
}
"""What takes less memory, by command."""

# A new command is one line here: its name, and a function, or a `typer.Typer` for a group of commands.
COMMANDS: dict[str, Callable[..., None] | typer.Typer] = {
    "ablate": ablate,
    "chat": chat,
    "convert": convert,
    "demo": demo,
    "doctor": doctor,
    "explain": explain,
    "jigsaw": jigsaw,
    "plan": plan,
    "posttrain": posttrain,
    "realunify": realunify,
    "tiny": tiny,
    "train": train,
}


def build(commands: dict[str, Callable[..., None] | typer.Typer]) -> typer.Typer:
    """The application that offers these commands."""
    app = typer.Typer(
        help="Native multimodal models: one decoder reads pixels and words.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: drawing it with rich costs as much as everything else
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(front_door)
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, no_args_is_help=True)
        else:
            app.command(name)(command)
    return app


def front_door(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"pixelword {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str] | None = None) -> None:
    """Run one command line and leave the process with its exit code.

    Args:
        arguments: the words after `pixelword`; those of this process when absent.
    """
    try:
        build(COMMANDS)(arguments, prog_name="pixelword")
    except PixelWordError as error:
        refuse(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        got = str(error).splitlines()[0] if str(error) else None
        command = next(iter(sys.argv[1:] if arguments is None else arguments), "")
        fix = SMALLER.get(command, "take smaller or fewer things at a time, or close what else runs")
        refuse(BackendError("the device is out of memory", got=got, fix=fix))
    except OSError as error:
        if error.errno not in PLACES:
            raise
        got = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        fix = "choose another place, or make room there; the same command goes on where it can"
        refuse(PixelWordError("a file cannot be used or written", got=got, fix=fix))
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code and says nothing.
        if leaving.code == INTERRUPTED:
            print("pixelword: interrupted before the command was done", file=sys.stderr)
        raise


def refuse(error: PixelWordError) -> NoReturn:
    """Say it without a traceback, and leave."""
    print(f"pixelword: {error}", file=sys.stderr)
    sys.exit(USER_ERROR)


if __name__ == "__main__":  # torchrun -m pixelword.cli.main
    run()
