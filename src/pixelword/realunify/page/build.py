"""One page for one run or for several: what it says, the numbers behind it, and every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelword import __version__
from pixelword.errors import InputError
from pixelword.realunify.judge import CalibrationBlock
from pixelword.realunify.page.arms import EvaluatedRun
from pixelword.realunify.page.boxes_section import boxes, funnel
from pixelword.realunify.page.errors_section import Signs, edits_of, errors, signs_of, with_checked_edits
from pixelword.realunify.page.items_gallery import gallery
from pixelword.realunify.page.judge_section import costs, judged
from pixelword.realunify.page.looks import Look, look_at_all
from pixelword.realunify.page.numbers import average, listed
from pixelword.realunify.page.readings import readings
from pixelword.realunify.page.scores_section import scores
from pixelword.realunify.page.steps_section import differences, steps
from pixelword.realunify.page.thumbnails import Wanted
from pixelword.realunify.page.verdict import verdict
from pixelword.realunify.taxonomy import Protocol
from pixelword.report import Code, Page, Paragraph, Piece, Table, Tile, Tiles, format_count
from pixelword.report.pieces import Cell

MOST_RUNS = 6


@dataclass(frozen=True)
class Report:
    """A page, its runs with stage one checked as far as can be, and the signs of their items."""

    page: Page
    runs: Sequence[EvaluatedRun]
    signs: Sequence[Signs]


def build_page(
    runs: Sequence[EvaluatedRun],
    *,
    calibrations: Sequence[CalibrationBlock] = (),
    show_items: bool = False,
) -> Report:
    """The page, with what the export needs.

    Args:
        calibrations: of the judges, one each.
        show_items: put prompts, pictures and replies in also where they are not our own. Those of the mini are always
            in.

    Raises:
        InputError: no run, or more than a page can hold beside each other.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise InputError(
            f"a page shows one to {MOST_RUNS} runs", got=len(runs), fix="compare fewer, or write several pages"
        )
    shown = show_items or all(run.is_mini for run in runs)
    looks = looks_of(runs)
    edits = [edits_of(run, looks) for run in runs]
    runs = [with_checked_edits(run, each) for run, each in zip(runs, edits, strict=True)]
    signs = [signs_of(run, each) for run, each in zip(runs, edits, strict=True)]
    page = Page(title(runs), subtitle(runs), f"pixelword {__version__}, pixelword.realunify")
    page.add(Tiles(tiles(runs)))
    page.section("Verdict", *verdict(runs))
    page.section("Scores", *scores(runs))
    if arrows := steps(runs):
        page.section("From one go to step by step", *arrows)
    page.section("Where it loses", *(boxes(runs) or [needs_both()]))
    if len(runs) > 1:
        page.section("Between the runs", *differences(runs))
    page.section("Errors", *errors(runs, signs))
    page.section("How items ended", *funnel(runs))
    page.section("Judge", *judged(runs, calibrations))
    page.section("Readers", *readings(runs, show_texts=shown))
    page.section("Items", *gallery(runs, signs, looks, show_items=shown))
    page.section("Run", *manifest(runs))
    return Report(page, runs, signs)


def looks_of(runs: Sequence[EvaluatedRun]) -> dict[str, Look]:
    """Every picture that the page shows or compares; those of wrong items first."""
    wanted: dict[str, Wanted] = {}
    records = [(run, record) for run in runs for record in run.records]
    compared = {
        each.sha256 for _, record in records for each in (record.source, record.intermediate) if each is not None
    }
    for run, record in sorted(records, key=lambda each: bool(each[1].right)):
        for picture in (record.source, record.intermediate, record.picture):
            if picture is not None and picture.sha256 not in wanted:
                key = picture.sha256
                wanted[key] = Wanted(run.path(picture), key, run.folder, compared=key in compared)
    return look_at_all(wanted)


def title(runs: Sequence[EvaluatedRun]) -> str:
    benchmark = "RealUnify-mini" if all(run.is_mini for run in runs) else "RealUnify"
    return f"{benchmark}: {listed([run.name for run in runs])}"


def subtitle(runs: Sequence[EvaluatedRun]) -> str:
    if len(runs) > 1:
        return "Does drawing help seeing, and does knowing help drawing? Runs beside each other."
    models = sorted({runs[0].model(role) for role in ("understander", "generator")} - {""})
    who = f" Model: {' with '.join(models)}." if models else ""
    return f"Does drawing help seeing, and does knowing help drawing?{who}"


def tiles(runs: Sequence[EvaluatedRun]) -> list[Tile]:
    """The averages of direct and stepwise, and how many items were asked."""
    found = []
    for run in runs:
        for protocol in (Protocol.DIRECT, Protocol.STEPWISE):
            arm = run.arms.get(protocol)
            for track in arm.tracks if arm is not None else ():
                if arm is not None and (value := average(arm, track)) is not None:
                    label = f"{track} {protocol}"
                    found.append(Tile(value, label, run.name if len(runs) > 1 else ""))
    asked = sum(len(arm.expected) for run in runs for arm in run.arms.values())
    answered = sum(cell.answered for run in runs for arm in run.arms.values() for cell in arm.table.categories.values())
    return found or [Tile(format_count(answered), "items answered", f"of {format_count(asked)} expected")]


def needs_both() -> Piece:
    return Paragraph("The boxes need direct and stepwise on the same items.", tone="note")


def shareable(values: Mapping[str, object]) -> dict[str, object]:
    """Local paths as their last part: a page is made to be shown to others."""
    return {name: Path(v).name if isinstance(v, str) and Path(v).is_absolute() else v for name, v in values.items()}


def manifest(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """What was run: models, data, settings, versions, costs."""
    rows: list[list[Cell]] = []
    for run in runs:
        for start in run.starts:
            facts: dict[str, Mapping[str, object]] = {
                "models": start.models,
                "data": {"source": start.data.source, "revision": start.data.revision, **start.data.mini},
                "settings": start.settings,
                "versions": start.versions,
            }
            text = "; ".join(f"{name}: {mapping_text(shareable(values))}" for name, values in facts.items() if values)
            rows.append([run.name, start.started, f"{start.track} {start.protocol}", len(start.expected), text])
        further = sum(arm.further_samples for arm in run.arms.values())
        if further:
            rows.append([run.name, "", "", further, "records of further samples, which no table counts"])
    blocked: list[list[Cell]] = [[str(item), reason] for run in runs[:1] for item, reason in run.blocked.items()]
    logs = Paragraph("Every sample with its messages is in Inspect's logs, in ", Code("logs"), " of the run's folder.")
    pieces: list[Piece] = [costs(runs), Table(["run", "started", "task", "items", "what"], rows, "Every start."), logs]
    if blocked:
        pieces.append(Table(["item", "reason"], blocked, "Blocked items, in no number of this page."))
    return pieces


def mapping_text(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in ("", None))
