"""Where a model loses: every item in one of five boxes, the three skills, the derived numbers, and how items ended."""

from __future__ import annotations

from collections.abc import Sequence

from pixelword.realunify.bottleneck import CRITICAL
from pixelword.realunify.diagnosis import Box, Boxes, Derived, derive, sort_into_boxes, synergy_index
from pixelword.realunify.page.arms import EvaluatedRun
from pixelword.realunify.page.numbers import category_name, within
from pixelword.realunify.page.scores_section import arms_of
from pixelword.realunify.page.verdict import bottleneck_of
from pixelword.realunify.taxonomy import CATEGORIES, OPEN, Protocol, Status, Track
from pixelword.report import Estimate, Fold, Heading, Paragraph, Piece, StackedBars, Table
from pixelword.report.pieces import Cell
from pixelword.report.plots import Colour

BOX_COLOURS: tuple[Colour, ...] = ("green", "amber", "orange", "blue", "purple", "grey")

FAILURES = tuple(status for status in Status if status != Status.OK)
STATUS_PARTS = ("right", "wrong", *(status.value.replace("_", " ") for status in FAILURES), "no result")


def status_colour(status: Status) -> Colour:
    """One colour for what waits for the judge, for what the model would not say, for no score, and for the rest."""
    if status in OPEN:
        return "purple"
    if status == Status.NOT_SUPPORTED:
        return "blue"
    return "amber" if status in {Status.REFUSED, Status.ANSWER_UNPARSED} else "grey"


def run_boxes(run: EvaluatedRun) -> Boxes | None:
    """The boxes of a run that has direct and stepwise."""
    direct, stepwise = run.arms.get(Protocol.DIRECT), run.arms.get(Protocol.STEPWISE)
    return None if direct is None or stepwise is None else sort_into_boxes(direct.results, stepwise.results)


def boxes(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """Every item in one of five boxes, the derived numbers, and the three skills."""
    pieces: list[Piece] = []
    for run in runs:
        sorted_items = run_boxes(run)
        if sorted_items is None or not sorted_items.items:
            continue
        pieces += [Heading(run.name)] * (len(runs) > 1)
        rows = [
            (category_name(name), list(counts.values()))
            for name in CATEGORIES
            if sum((counts := sorted_items.counts(name)).values())
        ]
        caption = f"Every item that both protocols answered; {len(sorted_items.left_out)} are left out."
        pieces.append(StackedBars([kind.value for kind in Box], rows, caption, BOX_COLOURS))
        pieces += [skills_table(run), derived_table(run)]
    if pieces:
        pieces.append(Fold("what the boxes and numbers mean", [Paragraph(line, tone="note") for line in MEANINGS]))
    return pieces


MEANINGS = (
    "Solved: right directly and step by step. Integration failure: right step by step only; the abilities are there "
    "and are not joined in one go. Decomposition harm: right in one go only; stage one lost something.",
    "Understanding and generation bottleneck: wrong both ways, by what stage one shows. In UEG stage one is the "
    "rewritten prompt: a wrong one is understanding, a right one leaves generation. In GEU stage one is the edited "
    "picture: a wrong one is generation. Undecided: nobody knows whether stage one was right.",
    "The three skills are shares in [0, 1], corrected for guessing. The lowest is named when it lies more than "
    f"{CRITICAL:.0f} standard errors of the difference below each other one, and a little more where items are few.",
    "Union ceiling: right by one route or the other. Realised share: direct of that ceiling. Own-stage headroom: what "
    "true intermediates add to stepwise. Synergy: half the realised share of UEG plus half of the share of GEU items "
    "that true intermediates rescue and own pictures rescue too.",
)


def skills_table(run: EvaluatedRun) -> Table:
    """Understanding, generation and joining by track, where three runs and a checked stage one tell them."""
    rows: list[list[Cell]] = []
    for track in Track:
        arms = [run.arms.get(p) for p in (Protocol.DIRECT, Protocol.STEPWISE, Protocol.ORACLE_INTERMEDIATE)]
        direct, stepwise, oracle = arms
        if direct is None or stepwise is None or oracle is None:
            rows.append([track.value, *["not measured"] * 3, "not decided"])
            continue
        found = bottleneck_of(track, direct, stepwise, oracle)
        if found is None:
            rows.append([track.value, *["not measured"] * 3, "not decided"])
            continue
        cells: list[Cell] = []
        for name in ("understanding", "generation", "joining"):
            skill = next(each for key, each in found.skills.items() if key.value == name)
            spread = 1.96 * skill.error
            low, high = within(skill.value - spread), within(skill.value + spread)
            cells.append(Estimate(within(skill.value), low, high))
        rows.append([track.value, *cells, found.words])
    columns = ["", "understanding", "generation", "joining", "verdict"]
    caption = "The three skills, each measured alone, corrected for guessing, with 95 % intervals."
    return Table(columns, rows, caption)


DERIVED = (
    ("stepwise gain, points", "stepwise_gain", 100),
    ("recoverable by steps, %", "recoverable", 100),
    ("lost by steps, %", "lost", 100),
    ("gain corrected for chance, points", "chance_corrected_gain", 100),
    ("direct and stepwise agree, %", "agreement", 100),
    ("phi of the two", "phi", 1),
    ("union ceiling, %", "union_ceiling", 100),
    ("realised share, %", "realised_share", 100),
    ("headroom of the pair, points", "pair_headroom", 100),
    ("own-stage headroom, points", "own_stage_headroom", 100),
    ("recovered of the recoverable, %", "recovered_of_recoverable", 100),
)


def derived_of(run: EvaluatedRun, track: Track) -> Derived | None:
    direct, stepwise = run.arms.get(Protocol.DIRECT), run.arms.get(Protocol.STEPWISE)
    if direct is None or stepwise is None or not direct.of(track) or not stepwise.of(track):
        return None
    others = [run.arms.get(protocol) for protocol in (Protocol.ORACLE_PAIR, Protocol.ORACLE_INTERMEDIATE)]
    pair, oracle = (arm.of(track) if arm is not None and arm.of(track) else None for arm in others)
    return derive(track, direct.of(track), stepwise.of(track), pair, oracle)


def derived_table(run: EvaluatedRun) -> Fold:
    """The derived numbers of both tracks, behind a fold."""
    tracks = [derived_of(run, track) for track in Track]
    rows: list[list[Cell]] = []
    for label, name, scale in DERIVED:
        values = [getattr(each, name) if each is not None else None for each in tracks]
        if any(value is not None for value in values):
            rows.append([label, *(None if value is None else scale * value for value in values)])
    rows.append(["items", *(each.items if each is not None else None for each in tracks)])
    ueg, geu = tracks
    if ueg is not None and geu is not None and (synergy := synergy_index(ueg, geu)) is not None:
        rows.append(["synergy index of both", synergy, None])
    return Fold("derived numbers", [Table(["", *(track.value for track in Track)], rows, digits=2)])


def funnel(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """Where every expected item ended."""
    rows = []
    for label, arm in arms_of(runs):
        for track in arm.tracks:
            cells = [arm.table.categories[name] for name in arm.categories(track)]
            right = sum(cell.right for cell in cells)
            by_status = {status: sum(cell.statuses.get(status, 0) for cell in cells) for status in Status}
            others = [by_status[status] for status in FAILURES]
            counts = [right, by_status[Status.OK] - right, *others, sum(cell.missing for cell in cells)]
            rows.append((f"{track} {label}", counts))
    colours: list[Colour] = ["green", "orange", *map(status_colour, FAILURES), "grey"]
    caption = "Every expected item by its end. All but right count as wrong, except not supported, which has no score."
    return [StackedBars(STATUS_PARTS, rows, caption, colours)]
