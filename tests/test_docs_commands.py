"""Commands in README, docs and recipes are read by the real command line, and their settings by the real classes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import pytest
import typer
from typer.main import get_command

from pixelword.cli.jigsaw_sources import task_of
from pixelword.cli.main import COMMANDS, build
from pixelword.cli.realunify import read_plan
from pixelword.errors import ConfigError
from pixelword.posttrain.settings import PosttrainRecipe, read_posttrain_recipe
from pixelword.realunify.run_settings import RunPlan
from pixelword.recipe import Recipe, load_recipe

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)+")
SPAN = re.compile(r"`([^`\n]+)`")
OURS = re.compile(r"(?:^|.*[\s/])pixelword(?:\.cli\.main)?(?=\s+[a-z-])\s+")
TOOLS = re.compile(r"(?:^|[\s/])python3? +(-m +)?(tests\S*|benchmarks\S*)")
MADE = re.compile(r"^make ((?:[a-z]+ ?)+)$")


class Line(NamedTuple):
    """A command line and where it stands; a whole one is in a block, one in the running text may leave things out."""

    page: Path
    text: str
    whole: bool


def lines_of(page: Path) -> Iterator[Line]:
    """Every line of fenced and indented blocks that hold no Python, and every span of code in the running text."""
    text = page.read_text(encoding="utf-8")
    blocks = [body for kind, body in FENCED.findall(text) if kind in {"", "bash", "sh", "console"}]
    text = FENCED.sub("", text)
    blocks += INDENTED.findall(text)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield Line(page, re.split(r"\s{2,}[(#]", line.strip())[0], True)
    for span in SPAN.findall(re.sub(r"\n(?! *\n)", " ", INDENTED.sub("", text))):
        yield Line(page, span, False)


def comments_of(recipe: Path) -> Iterator[Line]:
    for line in recipe.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and OURS.match(line[2:]):
            yield Line(recipe, line[2:], True)


ALL = [line for page in PAGES for line in lines_of(page)]
ALL += [line for recipe in sorted((ROOT / "recipes").rglob("*.yaml")) for line in comments_of(recipe)]
COMMAND_LINES = [line for line in ALL if OURS.match(line.text)]
MODELS = ROOT / "docs" / "realunify_models.md"
REST = [line for line in ALL if line.page == MODELS and re.match(r"--(?!set models.model.args.$)", line.text)]


def words_of(line: str) -> list[str]:
    return shlex.split(OURS.sub("", line, count=1), comments=True)


@cache
def root() -> Any:
    return get_command(build(COMMANDS))


def command_of(words: list[str], line: str) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after it."""
    command = root()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not words or not getattr(command, "commands", {}) or words[0].startswith("-"), f"{line}: {words[0]}"
    return command, words


def parsed(text: str) -> dict[str, Any]:
    """The values of a command line, after everything that the real one checks; `--set` under that name."""
    command, words = command_of(words_of(text), text)
    try:
        values = dict(command.make_context("pixelword", list(words)).params)
    except typer.Exit:
        return {}  # --help and --version end here
    of_set = [one.name for one in command.params if "--set" in one.opts]
    return values | ({"--set": values[of_set[0]]} if of_set else {})


def id_of(line: Line) -> str:
    return f"{line.page.name}: {line.text[:60]}"


def test_there_are_commands_of_every_kind():
    assert sum(line.whole for line in COMMAND_LINES) > 40 and len(REST) > 10
    assert any(line.text.startswith("torchrun") for line in COMMAND_LINES)
    assert any("--set" in line.text and line.page.name == "posttraining.md" for line in COMMAND_LINES)


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if line.whole], ids=id_of)
def test_a_whole_command_line_is_taken_with_all_its_settings(line):
    values = parsed(line.text)
    recipe, settings = values.get("recipe"), values.get("--set") or []
    if recipe is not None and Path(recipe).parts[0] == "recipes":
        read = read_posttrain_recipe if "posttrain" in words_of(line.text)[:1] else load_recipe
        read(ROOT / recipe, [setting for setting in settings if "..." not in setting])
    elif "realunify" in words_of(line.text)[:1] and "--set" in values:
        read_plan(values)
    elif "jigsaw" in words_of(line.text)[:1] and settings:
        task_of(values["kind"], settings)
    else:
        assert not settings, f"nobody reads the settings of {line.text}"


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if not line.whole], ids=id_of)
def test_a_command_in_the_running_text_has_options_that_exist(line):
    command, words = command_of(words_of(line.text), line.text)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        assert not word.startswith("--") or word.partition("=")[0] in known | {"--help", "--version"}, word


@pytest.mark.parametrize("line", REST, ids=id_of)
def test_how_a_model_is_reached_is_a_plan(line):
    """The page on models gives the rest of `realunify run`; `ARGS` stands for the start of a setting."""
    rest = line.text.replace("ARGS ", "--set models.model.args.")
    rest = rest.replace(" ...", " pixelword-openai/NAME").replace('="..."', "=SCRIPT")
    read_plan(parsed(f"pixelword realunify run OUT {rest}"))


def test_scripts_modules_and_targets_that_a_page_names_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in ALL:
        if found := TOOLS.search(line.text):
            path = found[2].replace(".", "/") + ".py" if found[1] else found[2]
            assert (ROOT / path).is_file(), f"{line.page.name}: {line.text}"
        if found := MADE.match(line.text):
            assert set(found[1].split()) <= targets, f"{line.page.name}: {line.text}"


def test_a_wrong_option_and_a_wrong_setting_would_be_found():
    page = ROOT / "README.md"
    for wrong in ("train recipes/tiny/sft.yaml --ouut x", "train", "trian recipes/tiny/sft.yaml"):
        with pytest.raises((typer.BadParameter.__base__, AssertionError)):  # click's UsageError, which typer brings
            parsed(f"pixelword {wrong}")
    for wrong in ("train recipes/tiny/sft.yaml --set optimiser.rate=1", "posttrain recipes/jigsaw/tiny.yaml --set a=1"):
        with pytest.raises(ConfigError):
            test_a_whole_command_line_is_taken_with_all_its_settings(Line(page, f"pixelword {wrong}", True))


SETTINGS = {
    (line.page.name, found): found
    for line in ALL
    if not OURS.match(line.text) and line.page != MODELS
    for found in re.findall(r"--set ([a-z_]+(?:\.[a-z_]+)+)=", line.text)
}


@pytest.mark.parametrize(("page", "key"), list(SETTINGS), ids=" ".join)
def test_a_setting_in_the_running_text_is_one_of_the_recipes_or_of_a_plan(page, key):
    """Followed through the fields by hand; below a dictionary any key goes."""
    assert key == "a.b" or any(has(kind, key.split(".")) for kind in (Recipe, PosttrainRecipe, RunPlan)), page


def has(kind: Any, path: list[str]) -> bool:
    if not path:
        return True
    inner = [kind, *get_args(kind), *(two for one in get_args(kind) for two in get_args(one))]
    if any(get_origin(one) is dict or one is dict for one in inner):
        return True
    fields = [one.model_fields[path[0]] for one in inner if path[0] in getattr(one, "model_fields", {})]
    return any(has(field.annotation, path[1:]) for field in fields)
