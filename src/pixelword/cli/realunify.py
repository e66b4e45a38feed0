"""`pixelword realunify`: ask, score, plan and compare; each command goes on where it was stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli.extras import needs
from pixelword.cli.realunify_report import calibrate, check, report
from pixelword.cli.realunify_summary import summary

if TYPE_CHECKING:
    from pixelword.realunify.run_settings import RunPlan

realunify = typer.Typer(help="RealUnify: does drawing help seeing, and does knowing help drawing?")
realunify.command()(report)
realunify.command()(check)
realunify.command()(calibrate)

Out = Annotated[Path, typer.Argument(help="Folder of the run.")]
Data = Annotated[str, typer.Option(help="`mini`, `hub`, or a folder with the benchmark's files.")]
ModelName = Annotated[
    str, typer.Option("--model", help="Does everything: provider/name, see docs/realunify_models.md.")
]
Understander = Annotated[str, typer.Option(help="Reads and rewrites, in the place of --model.")]
Generator = Annotated[str, typer.Option(help="Draws and edits, in the place of --model.")]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        help="Answers the questions about pictures; several make a panel. Also a preset: qwen3-vl-32b, "
        "qwen2.5-vl-72b, paper. The mini has its own.",
    ),
]
Url = Annotated[str, typer.Option(help="Address of the server of --model, up to /v1.")]
JudgeUrls = Annotated[
    list[str] | None, typer.Option("--judge-url", help="Address of the judge's server; one for each of several.")
]
Protocols = Annotated[list[str] | None, typer.Option("--protocol", help="May be repeated. Default: direct, stepwise.")]
Tracks = Annotated[list[str] | None, typer.Option("--track", help="UEG, GEU; both by default.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Items of each category.")]
MiniNumber = Annotated[int | None, typer.Option(min=1, help="Items of each category of the mini.")]
AtOnce = Annotated[int | None, typer.Option(min=1, help="Calls of one model at a time.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Stop when the whole run has cost this much.")]
PriceFile = Annotated[str, typer.Option("--prices", help="YAML file: model -> input_per_million, per_request, ...")]
Accept = Annotated[bool, typer.Option("--accept-data-license", help="You agree to the terms of the data.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="YAML file with models, tracks, protocols and run.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="Any value, as a.b=c; may be repeated.")]
Display = Annotated[str, typer.Option(help="Inspect's display: full, rich, plain, log or none.")]


PLACES = {
    "out": "run.out",
    "data": "run.data",
    "model": "models.model.name",
    "url": "models.model.args.base_url",
    "understander": "models.understander.name",
    "generator": "models.generator.name",
    "protocol": "protocols",
    "track": "tracks",
    "limit": "run.limit",
    "mini_number": "run.mini_number",
    "at_once": "run.at_once",
    "max_cost": "run.max_cost",
    "prices": "run.prices",
    "accept_data_license": "run.accept_data_license",
}
"""Option -> the setting of `RunPlan` that it stands for."""


def read_plan(options: Mapping[str, Any]) -> RunPlan:
    """The plan from its file, then the options of a command, then `--set`."""
    from pixelword.config import load_settings
    from pixelword.realunify.run_settings import RunPlan

    words = {PLACES[name]: str(value) if name == "out" else value for name, value in options.items() if name in PLACES}
    words |= judge_words(options.get("judge") or [], options.get("judge_url") or [])
    given = [f"{key}={json.dumps(value)}" for key, value in words.items() if said(value)]
    return load_settings(RunPlan, options.get("plan"), [*given, *(options.get("setting") or [])])


def judge_words(judges: list[str], urls: list[str]) -> dict[str, Any]:
    """The settings that `--judge` and `--judge-url` stand for; a preset brings its wording.

    Raises:
        ConfigError: another number of addresses than of judges.
    """
    from pixelword.errors import ConfigError
    from pixelword.realunify.judge import PRESETS

    wordings = {PRESETS[name].wording for name in judges if name in PRESETS}
    names = [PRESETS[name].model if name in PRESETS else name for name in judges]
    words: dict[str, Any] = {"run.judge_wording": next(iter(wordings)) if len(wordings) == 1 else ""}
    if len(names) <= 1 and len(urls) <= 1:
        return words | {"models.judge.name": "".join(names), "models.judge.args.base_url": "".join(urls)}
    if urls and len(urls) != len(names):
        fix = 'give --judge-url as often as --judge, in the same order; "" where a judge needs none'
        raise ConfigError("each judge has an address of its own", got=f"{len(names)} and {len(urls)}", fix=fix)
    several = zip(names, urls or [""] * len(names), strict=True)
    return words | {"models.judge": [{"name": name, "args": {"base_url": url} if url else {}} for name, url in several]}


def said(value: Any) -> bool:
    """Whether an option was given; a cap of 0 was, and lets nothing be spent."""
    return value is not None and value is not False and value not in ("", [], ())


@realunify.command()
def run(
    context: typer.Context,
    out: Out,
    data: Data = "",
    model: ModelName = "",
    url: Url = "",
    understander: Understander = "",
    generator: Generator = "",
    judge: Judges = None,
    judge_url: JudgeUrls = None,
    protocol: Protocols = None,
    track: Tracks = None,
    limit: Limit = None,
    mini_number: MiniNumber = None,
    at_once: AtOnce = None,
    max_cost: MaxCost = None,
    prices: PriceFile = "",
    accept_data_license: Accept = False,
    plan: PlanFile = None,
    setting: Setting = None,
    display: Display = "",
) -> None:
    """Ask the models and score what they answer.

    Stopped half way, by a signal, a full quota or the cap, the same command continues and asks nothing twice.
    """
    with needs("eval"):
        from pixelword.realunify.inspecting.running import run_plan
    run_plan(read_plan(context.params), display=display or ("full" if sys.stdout.isatty() else "plain"))
    for line in summary(out):
        typer.echo(line)


@realunify.command()
def score(
    context: typer.Context,
    out: Out,
    name: Annotated[str, typer.Option(help="Name of this scoring; the run's own stays.")],
    judge: Judges = None,
    judge_url: JudgeUrls = None,
    at_once: AtOnce = None,
    max_cost: MaxCost = None,
    prices: PriceFile = "",
    plan: PlanFile = None,
    setting: Setting = None,
    display: Display = "",
) -> None:
    """Judge the stored pictures and read the stored replies again, without asking the model."""
    with needs("eval"):
        from pixelword.realunify.inspecting.running import score_again
    score_again(read_plan(context.params), name, display=display or "plain")
    for line in summary(out, name):
        typer.echo(line)


@realunify.command("plan")
def plan_command(
    context: typer.Context,
    out: Out,
    data: Data = "",
    model: ModelName = "",
    understander: Understander = "",
    generator: Generator = "",
    judge: Judges = None,
    protocol: Protocols = None,
    track: Tracks = None,
    limit: Limit = None,
    mini_number: MiniNumber = None,
    prices: PriceFile = "",
    accept_data_license: Accept = False,
    plan: PlanFile = None,
    setting: Setting = None,
) -> None:
    """Say what a run will take, and ask nobody."""
    from pixelword.realunify.costs import Purse, read_prices
    from pixelword.realunify.planning import cost_of, needs_of, without_price
    from pixelword.realunify.sources import MiniSize, read_source

    read = read_plan(context.params)
    wanted = read.run
    source = read_source(
        wanted.data,
        out,
        MiniSize(wanted.mini_number, wanted.mini_seed, wanted.mini_side),
        accept_license=wanted.accept_data_license,
        revision=wanted.revision,
    )
    purse = Purse(read_prices(Path(wanted.prices) if wanted.prices else None))
    total = 0.0
    for need in needs_of(read, source):
        each = {"judge": "each judge"} if len(read.models.judge) > 1 else {}
        calls = ", ".join(f"{number} calls of {each.get(role, f'the {role}')}" for role, number in need.calls.items())
        cost = cost_of(need, read, purse)
        total += cost
        typer.echo(f"{need.track} {need.protocol}: {need.items} items, {calls}{f', about {cost:.2f}' if cost else ''}")
    for finding in source.record.findings:
        typer.echo(f"data: {finding}")
    if missing := without_price(read, purse) if wanted.prices else []:
        typer.echo(f"no price, so not counted: {', '.join(missing)}")
    typer.echo(f"about {total:.2f} in all" if total else "no price given; see --prices")


@realunify.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Another, or the same with another protocol.")],
    protocol: Annotated[str, typer.Option(help="Of the first run.")] = "direct",
    against: Annotated[str, typer.Option(help="Protocol of the second run; the same by default.")] = "",
    scoring: Annotated[str, typer.Option(help="Name of the scoring.")] = "default",
) -> None:
    """Compare two runs, or two protocols of one, on the items that both answered."""
    from pixelword.errors import InputError
    from pixelword.realunify import CATEGORIES, Track
    from pixelword.realunify.differences import compare as differences
    from pixelword.realunify.differences import compare_all
    from pixelword.realunify.run_settings import RunSettings
    from pixelword.realunify.store import Store, results_of
    from pixelword.realunify.taxonomy import categories_of

    kinds = [RunSettings.model_validate({"protocol": name}).protocol for name in (protocol, against or protocol)]
    runs = [
        results_of(Store(folder).items(scoring).values(), kind)
        for folder, kind in zip((first, second), kinds, strict=True)
    ]
    cells = differences(runs[0], runs[1])
    if not cells:
        raise InputError("the two have no answered item in common", got=f"{first}, {second}", fix="check the protocols")
    typer.echo("category  items  gained  lost  difference (95 %)         p     p after Holm")
    for name, cell in cells.items():
        typer.echo(difference_line(CATEGORIES[name].short, cell))
    for track in Track:
        names = [name for name in categories_of(track) if name in cells]
        if names:
            typer.echo(difference_line(str(track), compare_all(runs[0], runs[1], names)))


def difference_line(name: str, cell: Any) -> str:
    low, high = cell.change.percentile
    change = f"{100 * cell.change.value:+6.1f} [{100 * low:+6.1f}, {100 * high:+6.1f}]"
    pairs = cell.pairs
    return f"{name:9} {pairs.asked:5} {pairs.gained:7} {pairs.lost:5}  {change}  {cell.p:7.4f}  {cell.adjusted_p:7.4f}"
