"""Pages about every command and every public name, written from their own words while mkdocs builds."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

PACKAGES = (
    "pixelword",
    "pixelword.model",
    "pixelword.convert",
    "pixelword.data",
    "pixelword.recipe",
    "pixelword.train",
    "pixelword.jigsaw",
    "pixelword.posttrain",
    "pixelword.realunify",
    "pixelword.realunify.mini",
    "pixelword.realunify.judge",
    "pixelword.realunify.backends",
    "pixelword.report",
    "pixelword.world",
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the menu."""
    pages = [{"Commands": "reference/commands.md"}, *({name: f"reference/{name}.md"} for name in PACKAGES)]
    assert config.nav is not None
    config.nav.append({"Reference": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    for name in PACKAGES:
        files.append(File.generated(config, f"reference/{name}.md", content=package(name)))
    return files


def commands() -> str:
    from pixelword.cli.main import COMMANDS, build

    app, runner, pages = build(COMMANDS), CliRunner(), ["# Commands"]
    for words in walk(typer.main.get_command(app), ()):
        said = runner.invoke(app, [*words, "--help"], prog_name="pixelword", env={"COLUMNS": "100"})
        pages.append(f"## {' '.join(('pixelword', *words))}\n\n```text\n{said.output}```")
    return "\n\n".join(pages) + "\n"


def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from walk(inner, (*words, name))


def package(name: str) -> str:
    module = importlib.import_module(name)
    parts = [f"# {name}", block(inspect.getdoc(module) or "")]
    for public in sorted(module.__all__, key=str.casefold):
        parts.append(f"## {public}")
        parts.append(described(getattr(module, public)))
    return "\n\n".join(parts) + "\n"


def described(thing: object) -> str:
    """Signature and docstring of a class with its public methods, or of a function; the value of anything else."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        shown = repr(thing)
        return block(shown if len(shown) < 500 else shown[:500] + " ...")
    lines = [f"{thing.__name__}{signature(thing)}", "", inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        for name, method in vars(thing).items():
            function = getattr(method, "__func__", method)
            if not name.startswith("_") and inspect.isfunction(function):
                lines += ["", f"    {name}{signature(function)}", indented(inspect.getdoc(function) or "")]
    return block("\n".join(lines))


def signature(thing: object) -> str:
    try:
        return str(inspect.signature(thing))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"


def indented(text: str) -> str:
    return "\n".join(f"        {line}".rstrip() for line in text.splitlines())


def block(text: str) -> str:
    """Docstrings are set as they are written: shapes and legends keep their columns."""
    return f"````text\n{text.rstrip()}\n````"
