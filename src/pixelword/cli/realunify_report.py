"""`pixelword realunify report`, `check` and `calibrate`: what runs say, on a page; and what a judge says of texts and
of pictures whose truth is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelword.cli.extras import needs


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folder of a run; several are compared.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("realunify.html"),
    export: Annotated[Path | None, typer.Option(help="Folder for the numbers as CSV and JSON.")] = None,
    scoring: Annotated[str, typer.Option(help="Name of the scoring.")] = "default",
    calibration: Annotated[
        list[Path] | None, typer.Option(help="Trials of a judge, from `calibrate`; may be repeated.")
    ] = None,
    block_list: Annotated[Path | None, typer.Option(help="YAML file of items to leave out, with reasons.")] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Show averages though items wait for the judge.")
    ] = False,
    show_items: Annotated[
        bool, typer.Option("--show-items", help="Put in the data's prompts and pictures. Keep such a page to yourself.")
    ] = False,
    direct: Annotated[
        list[Path] | None,
        typer.Option(help="Finished file in the released layout, to be put into the folder first; may be repeated."),
    ] = None,
    stepwise: Annotated[list[Path] | None, typer.Option(help="The same, of the stepwise protocol.")] = None,
    data: Annotated[Path | None, typer.Option(help="The benchmark's files, for --direct and --stepwise.")] = None,
    model: Annotated[str, typer.Option(help="Whose finished files these are.")] = "",
) -> None:
    """Write one offline page about a run, or about several beside each other.

    With --direct and --stepwise, finished files are first put into the new folder RUNS names, as a run.
    """
    from pixelword.realunify import read_block_list
    from pixelword.realunify.judge import calibration_block, read_trials
    from pixelword.realunify.page import build_page, read_runs, with_incomplete
    from pixelword.realunify.page import export as write_numbers
    from pixelword.realunify.page.half_lines import told_of

    put_in_finished(runs, direct or [], stepwise or [], data, model)
    read = read_runs(runs, scoring=scoring)
    if block_list is not None:
        known = {item for run in read for arm in run.arms.values() for item in arm.expected}
        read = read_runs(runs, scoring=scoring, blocked=read_block_list(block_list, known))
    if allow_incomplete:
        read = [with_incomplete(run) for run in read]
    blocks = [calibration_block(read_trials(path)) for path in calibration or []]
    built = build_page(read, calibrations=blocks, show_items=show_items)
    written = built.page.write(out)
    for name in sorted({name for run in read for name in run.half_written}):
        typer.echo(told_of(name), err=True)
    typer.echo(f"page: {written} ({written.stat().st_size / 1e6:.1f} MB)")
    if show_items and not all(run.is_mini for run in read):
        typer.echo("it holds items of the benchmark: the terms of the data forbid passing them on", err=True)
    if export is not None:
        for path in write_numbers(export, built, show_items=show_items):
            typer.echo(f"numbers: {path}")


def put_in_finished(runs: list[Path], direct: list[Path], stepwise: list[Path], data: Path | None, model: str) -> None:
    """Write finished files into the folder of the one run that is named; nothing where there are none."""
    from pixelword.errors import InputError
    from pixelword.realunify.imported_run import FinishedFile, import_run
    from pixelword.realunify.taxonomy import Protocol

    given = ((Protocol.DIRECT, direct), (Protocol.STEPWISE, stepwise))
    files = [FinishedFile(path, protocol) for protocol, paths in given for path in paths]
    if not files and data is None and not model:
        return
    if len(runs) != 1 or not files or data is None:
        raise InputError(
            "finished files go into one new folder, and their items come from the benchmark's files",
            got=f"{len(runs)} folders, {len(files)} finished files, data {data}",
            fix="give one folder, --direct or --stepwise with a file, and --data with the benchmark's folder",
        )
    for finding in import_run(runs[0], files, data, model):
        typer.echo(f"file: {finding}", err=True)


def calibrate(
    out: Annotated[Path, typer.Argument(help="Folder for the replies and the trials.")],
    judge: Annotated[str, typer.Option(help="The judge: provider/name, or a preset as in `run`.")],
    judge_url: Annotated[str, typer.Option(help="Address of the judge's server, up to /v1.")] = "",
    wording: Annotated[str, typer.Option(help="paper_v1, strict_all_v1, or strict_v1, the default of most.")] = "",
    votes: Annotated[int, typer.Option(min=1, help="Replies to each question, odd.")] = 1,
    number: Annotated[int, typer.Option(min=1, help="Items of each UEG category of the mini.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed gives other items.")] = 0,
    side: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 256,
    at_once: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 16,
    prices: Annotated[str, typer.Option(help="YAML file: model -> input_per_million, ...")] = "",
    max_cost: Annotated[float | None, typer.Option(min=0, help="Stop when it has cost this much.")] = None,
    dry: Annotated[bool, typer.Option("--plan", help="Say what it will take, and ask nobody.")] = False,
) -> None:
    """Put pictures of the mini to a judge, right and faulty ones, whose truth is known; and probes.

    The file trials.jsonl in the folder is what `report --calibration` reads.
    """
    from pixelword.realunify.costs import read_prices
    from pixelword.realunify.judge import (
        PRESETS,
        JudgeSettings,
        calibration_block,
        forecast,
        preset_of,
        write_trials,
    )
    from pixelword.realunify.judge.probes import calibration_trials, questions_of_pictures

    settings: Any = PRESETS.get(judge) or preset_of(judge) or JudgeSettings(model=judge)
    settings = settings.model_copy(update={"wording": wording or settings.wording, "votes": votes})
    listed = read_prices(Path(prices) if prices else None)
    known = listed.get(settings.model) or listed.get(settings.model.partition("/")[2])
    if known is not None:
        settings = settings.model_copy(update={"prices": known})
    trials = calibration_trials(number, seed=seed, side=side)
    typer.echo(str(forecast(questions_of_pictures(trials), settings)))
    if dry:
        return
    with needs("eval"):
        from pixelword.realunify.inspecting.calibrating import ask_trials
    records = ask_trials(out, trials, settings, url=judge_url, prices=listed, max_cost=max_cost, at_once=at_once)
    write_trials(out / "trials.jsonl", records)
    block = calibration_block(records)
    for name, found in (("questions", block.questions), ("items", block.items)):
        low, high = found.sensitivity_interval
        typer.echo(f"{name}: sensitivity {100 * found.sensitivity:.1f} % [{100 * low:.1f}, {100 * high:.1f}]", nl=False)
        low, high = found.specificity_interval
        typer.echo(f", specificity {100 * found.specificity:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    for rate in block.probes:
        typer.echo(f"probe {rate.name}: {rate.errors} wrong of {rate.decided}, {rate.undecided} undecided")
    typer.echo(f"trials: {out / 'trials.jsonl'}")


def check(
    run: Annotated[Path, typer.Argument(help="Folder of a run with stepwise UEG items.")],
    judge: Annotated[str, typer.Option(help="The text judge: provider/name.")],
    judge_url: Annotated[str, typer.Option(help="Address of the judge's server, up to /v1.")] = "",
    votes: Annotated[int, typer.Option(min=1, help="Replies to each question, odd.")] = 1,
    at_once: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 16,
    prices: Annotated[str, typer.Option(help="YAML file: model -> input_per_million, ...")] = "",
    max_cost: Annotated[float | None, typer.Option(min=0, help="Stop when the whole run has cost this much.")] = None,
) -> None:
    """Ask a text judge whether the rewritten prompts were right.

    `report` then tells understanding from generation in UEG. The true prompts of GEU's pictures need no judge.
    """
    from pixelword.realunify.costs import read_prices
    from pixelword.realunify.page.half_lines import mend, told_of

    with needs("eval"):
        from pixelword.realunify.inspecting.calibrating import check_rewrites
    for name in mend(run):
        typer.echo(told_of(name), err=True)
    listed = read_prices(Path(prices) if prices else None)
    found = check_rewrites(run, judge, votes=votes, url=judge_url, prices=listed, max_cost=max_cost, at_once=at_once)
    right, wrong = (sum(each.right is value for each in found) for value in (True, False))
    typer.echo(f"{len(found)} rewritten prompts: {right} right, {wrong} wrong, {len(found) - right - wrong} undecided")
