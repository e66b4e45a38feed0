"""`pixelword realunify`: ask, score, plan and compare; each command goes on where it was stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelword.cli.extras import needs
from pixelword.cli.realunify_report import calibrate, check, report

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
Judge = Annotated[str, typer.Option(help="Answers the questions about pictures. The mini has its own.")]
Url = Annotated[str, typer.Option(help="Address of the server of --model, up to /v1.")]
JudgeUrl = Annotated[str, typer.Option(help="Address of the judge's server.")]
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


def read_plan(file: Path | None, words: dict[str, Any], settings: list[str] | None) -> RunPlan:
    """The plan from its file, then the options, then `--set`."""
    import json

    from pixelword.config import load_settings
    from pixelword.realunify.run_settings import RunPlan

    given = [f"{key}={json.dumps(value)}" for key, value in words.items() if said(value)]
    return load_settings(RunPlan, file, [*given, *(settings or [])])


def said(value: Any) -> bool:
    """Whether an option was given; a cap of 0 was, and lets nothing be spent."""
    return value is not None and value is not False and value not in ("", [])


@realunify.command()
def run(
    out: Out,
    data: Data = "",
    model: ModelName = "",
    url: Url = "",
    understander: Understander = "",
    generator: Generator = "",
    judge: Judge = "",
    judge_url: JudgeUrl = "",
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
    words = {
        "run.out": str(out),
        "run.data": data,
        "models.model.name": model,
        "models.model.args.base_url": url,
        "models.understander.name": understander,
        "models.generator.name": generator,
        "models.judge.name": judge,
        "models.judge.args.base_url": judge_url,
        "protocols": protocol,
        "tracks": track,
        "run.limit": limit,
        "run.mini_number": mini_number,
        "run.at_once": at_once,
        "run.max_cost": max_cost,
        "run.prices": prices,
        "run.accept_data_license": accept_data_license,
    }
    run_plan(read_plan(plan, words, setting), display=display or ("full" if sys.stdout.isatty() else "plain"))
    for line in summary(out):
        typer.echo(line)


@realunify.command()
def score(
    out: Out,
    name: Annotated[str, typer.Option(help="Name of this scoring; the run's own stays.")],
    judge: Judge = "",
    judge_url: JudgeUrl = "",
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
    words = {
        "run.out": str(out),
        "models.judge.name": judge,
        "models.judge.args.base_url": judge_url,
        "run.at_once": at_once,
        "run.max_cost": max_cost,
        "run.prices": prices,
    }
    score_again(read_plan(plan, words, setting), name, display=display or "plain")
    for line in summary(out, name):
        typer.echo(line)


@realunify.command("plan")
def plan_command(
    out: Out,
    data: Data = "",
    model: ModelName = "",
    understander: Understander = "",
    generator: Generator = "",
    judge: Judge = "",
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
    words = {
        "run.out": str(out),
        "run.data": data,
        "models.model.name": model,
        "models.understander.name": understander,
        "models.generator.name": generator,
        "models.judge.name": judge,
        "protocols": protocol,
        "tracks": track,
        "run.limit": limit,
        "run.mini_number": mini_number,
        "run.prices": prices,
        "run.accept_data_license": accept_data_license,
    }
    from pixelword.realunify.costs import Purse, read_prices
    from pixelword.realunify.planning import cost_of, needs_of
    from pixelword.realunify.sources import MiniSize, read_source

    read = read_plan(plan, words, setting)
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
        calls = ", ".join(f"{number} calls of the {role}" for role, number in need.calls.items())
        cost = cost_of(need, read, purse)
        total += cost
        typer.echo(f"{need.track} {need.protocol}: {need.items} items, {calls}{f', about {cost:.2f}' if cost else ''}")
    for finding in source.record.findings:
        typer.echo(f"data: {finding}")
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


def summary(out: Path, scoring: str = "default") -> list[str]:
    """The scores of a folder, one line for each protocol and track."""
    from pixelword.realunify import Protocol, Status, Track, score_table
    from pixelword.realunify.store import Store, results_of
    from pixelword.realunify.taxonomy import CATEGORIES

    store = Store(out)
    records = list(store.items(scoring).values())
    found = []
    for protocol in Protocol:
        expected = store.expected(protocol)
        wanted = [result for result in results_of(records, protocol) if result.item in expected]
        if not expected:
            continue
        table = score_table(wanted, expected, protocol)
        for track in Track:
            cells = {name: cell for name, cell in table.categories.items() if CATEGORIES[name].track == track}
            if not cells:
                continue
            headline = table.headline(track)
            row = table.row()
            shown = ", ".join(f"{CATEGORIES[name].short} {row[CATEGORIES[name].short] or '-'}" for name in cells)
            statuses = {status: sum(cell.statuses.get(status, 0) for cell in cells.values()) for status in Status}
            counted = ", ".join(f"{number} {status}" for status, number in statuses.items() if number)
            missing = sum(cell.missing for cell in cells.values())
            found.append(
                f"{protocol} {track}: {headline or 'no headline'} ({shown}); {counted}"
                + (f", {missing} missing" if missing else "")
            )
    spent = sum(call.usage.cost for call in store.calls())
    calls = sum(1 for _ in store.calls())
    found.append(f"{calls} stored replies{f', {spent:.2f} spent' if spent else ''}; folder: {out}")
    return found
