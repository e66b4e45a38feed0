"""The judge as an instrument: what it said, how far judges agree, its errors, the corrected score, and the costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pixelword.realunify.agreement import Calibration
from pixelword.realunify.imported_run import IMPORTED
from pixelword.realunify.judge import CalibrationBlock, agreements, corrected_score, disagreement, judge_verdicts
from pixelword.realunify.page.arms import EvaluatedRun
from pixelword.realunify.page.numbers import listed
from pixelword.realunify.page.scores_section import arms_of
from pixelword.realunify.records import Call, Outcome
from pixelword.realunify.taxonomy import Track
from pixelword.report import Code, Estimate, Heading, Paragraph, Piece, Proportion, Table
from pixelword.report.pieces import Cell

NOT_JUDGED = "No picture was judged in this run."


def judged(runs: Sequence[EvaluatedRun], calibrations: Sequence[CalibrationBlock]) -> list[Piece]:
    """Everything about the judge; a sentence where no picture was judged."""
    pieces: list[Piece] = []
    if not any(record.polled for run in runs for record in run.records):
        imported = any(IMPORTED in start.settings for run in runs for start in run.starts)
        told = "The scores came with imported files, which do not say who judged." if imported else NOT_JUDGED
        return [Paragraph(told, tone="note")]
    for run in runs:
        text = f"{run.name + ': j' if len(runs) > 1 else 'J'}udged by {listed(run.judges)}."
        pieces.append(Paragraph(text))
    pieces.append(verdicts_table(runs))
    pieces += agreement_tables(runs)
    for block in calibrations:
        pieces += calibration_pieces(block)
    if calibrations:
        corrected = corrected_table(runs, calibrations)
        other = "No score was corrected: the calibrated judges, with their wordings, judged none of these runs alone."
        pieces.append(corrected if corrected.rows else Paragraph(other, tone="note"))
    else:
        told = "How often this judge errs was not measured. Pictures of the mini, whose truth is known, tell it: "
        pieces.append(Paragraph(told, Code("pixelword realunify calibrate"), ".", tone="note"))
    return pieces


def verdicts_table(runs: Sequence[EvaluatedRun]) -> Table:
    """What each judge said where a yes and where a no was expected, and what it left open."""
    rows: list[list[Cell]] = []
    for run in runs:
        counts: dict[str, Counter[tuple[str, str | None]]] = {}
        for polled in (polled for record in run.records for polled in record.polled):
            for judge, verdict in judge_verdicts(polled).items():
                counts.setdefault(judge, Counter())[polled.expected, verdict] += 1
        votes = disagreement(run.records)
        for judge, count in sorted(counts.items()):
            asked = {expected: sum(n for (e, _), n in count.items() if e == expected) for expected in ("yes", "no")}
            undecided = sum(n for (_, verdict), n in count.items() if verdict not in {"yes", "no"})
            differ = votes.get(judge)
            rows.append(
                [
                    f"{run.name}, {judge}" if len(runs) > 1 else judge,
                    sum(asked.values()),
                    Proportion(count["yes", "yes"], asked["yes"]),
                    Proportion(count["no", "no"], asked["no"]),
                    undecided,
                    None if differ is None else Proportion(*differ),
                ]
            )
    columns = ["judge", "questions", "yes where expected", "no where expected", "undecided", "votes differ"]
    caption = "What the judge said. A judge that likes to say yes shows it where a no is expected."
    return Table(columns, rows, caption)


def agreement_tables(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """Every pair of judges of each run."""
    rows: list[list[Cell]] = []
    for run in runs:
        for pair in agreements(run.records):
            known = pair.kappa is not None and pair.interval is not None
            kappa: Cell = "none: both always say the same"
            if known and pair.kappa is not None and pair.interval is not None:
                low, high = pair.interval
                kappa = Estimate(pair.kappa, min(low, pair.kappa), max(high, pair.kappa), percent=False, digits=2)
            names = f"{pair.first} and {pair.second}"
            rows.append(
                [
                    f"{run.name}, {names}" if len(runs) > 1 else names,
                    pair.questions,
                    Proportion(pair.same, pair.questions),
                    kappa,
                    Proportion(pair.yes[0], pair.questions),
                    Proportion(pair.yes[1], pair.questions),
                ]
            )
    if not rows:
        return []
    columns = ["judges", "questions", "agree", "kappa", "first says yes", "second says yes"]
    return [Table(columns, rows, "Agreement of judges, question by question; kappa is agreement beyond chance.")]


def calibration_pieces(block: CalibrationBlock) -> list[Piece]:
    """The errors of one judge where the truth is known."""
    told = (
        f"{block.judge} ({block.wording}, {block.votes} {'vote' if block.votes == 1 else 'votes'}) on pictures whose "
        "truth a program knows."
    )
    rows: list[list[Cell]] = [
        ["question by question", *rates(block.questions)],
        ["whole items", *rates(block.items)],
    ]
    errors: list[list[Cell]] = [
        [rate.name, Proportion(rate.errors, rate.decided), rate.decided, rate.undecided] for rate in block.rates
    ]
    probes: list[list[Cell]] = [
        [f"probe: {rate.name}", Proportion(rate.errors, rate.decided), rate.decided, rate.undecided]
        for rate in block.probes
    ]
    columns = ["", "sensitivity", "specificity", "undecided"]
    return [
        Heading("Calibration"),
        Paragraph(told),
        Table(columns, rows, "How often it says yes to what is so, and no to what is not."),
        Table(["", "wrong", "decided", "undecided"], [*errors, *probes], "Wrong verdicts by truth, picture and probe."),
    ]


def rates(found: Calibration) -> list[Cell]:
    return [Proportion(found.hits, found.positives), Proportion(found.rejections, found.negatives), found.undecided]


def corrected_table(runs: Sequence[EvaluatedRun], calibrations: Sequence[CalibrationBlock]) -> Table:
    """UEG as judged, and corrected for the errors of the judge that judged it alone."""
    rows: list[list[Cell]] = []
    for label, arm in arms_of(runs):
        polls = [polled for record in arm.records.values() for polled in record.polled]
        judges = {(vote.judge, vote.prompt_version) for polled in polls for vote in polled.votes}
        cells = [arm.table.categories[name] for name in arm.categories(Track.UEG)]
        counts = [(cell.right, cell.expected) for cell in cells if cell.supported]
        for block in calibrations:
            if judges != {(block.judge, block.wording)} or not counts or arm.headline(Track.UEG) is None:
                continue
            found = corrected_score(counts, block.items)
            raw = 100 * sum(right / asked for right, asked in counts) / len(counts)
            value: Cell = "the judge may be no better than a coin"
            if found is not None:
                value = Estimate(found.value, *found.interval)
            rows.append([label, block.judge, f"{raw:.1f} %", value])
    caption = (
        "UEG as judged and CORRECTED for the judge's errors on whole items (Rogan and Gladen); the interval holds the "
        "uncertainty of both. It is an estimate that is as good as the mini's plain drawings resemble these pictures, "
        "and it never takes the place of the raw score."
    )
    return Table(["", "judge", "UEG as judged", "UEG corrected (estimate)"], rows, caption)


def costs(runs: Sequence[EvaluatedRun]) -> Table:
    """What the calls of each role took, as far as servers report it."""
    rows: list[list[Cell]] = []
    for run in runs:
        by_role: dict[tuple[str, str], list[Call]] = {}
        for call in calls_of(run):
            by_role.setdefault((call.role, call.model), []).append(call)
        for (role, model), calls in sorted(by_role.items()):
            rows.append(
                [
                    f"{run.name}, {role}" if len(runs) > 1 else role,
                    model,
                    len(calls),
                    sum(call.outcome != Outcome.REPLY for call in calls),
                    sum(call.usage.input_tokens for call in calls),
                    sum(call.usage.output_tokens for call in calls),
                    round(sum(call.seconds for call in calls)),
                    sum(call.usage.cost for call in calls),
                ]
            )
    columns = ["role", "model", "calls", "without a reply", "tokens in", "tokens out", "seconds", "cost"]
    return Table(columns, rows, "Calls, each counted once. Zero tokens or cost: nothing was reported.", digits=2)


def calls_of(run: EvaluatedRun) -> Iterable[Call]:
    """Every call of a run once: items share some (a judge's reply to the same picture)."""
    found: dict[str, Call] = {}
    for record in run.records:
        for call in record.calls:
            found[call.key] = call
        for polled in record.polled:
            for vote in polled.votes:
                found[vote.call.key] = vote.call
    return found.values()
