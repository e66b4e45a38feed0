"""What the two readers make of the stored replies, and the items whose score would change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pixelword.realunify.flips import Asked, Flip, flips
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.scores_section import arms_of
from pixelword.realunify.records import ItemRecord, Outcome
from pixelword.realunify.results import score_choice
from pixelword.realunify.taxonomy import Status, Track
from pixelword.report import Code, Fold, Paragraph, Piece, Table
from pixelword.report.pieces import Cell

SHOWN = 100
LONGEST = 160


def asked_of(record: ItemRecord) -> Iterable[Asked]:
    """The replies of one item that a reader reads: the letter, or the votes asked in the paper's wording."""
    if record.answer is not None and record.calls and record.calls[-1].outcome == Outcome.REPLY:
        yield Asked(record.item, record.calls[-1].text, record.answer, record.options)
    for polled in record.polled:
        for vote in polled.votes:
            if vote.prompt_version == "paper_v1" and vote.call.outcome == Outcome.REPLY:
                yield Asked(record.item, vote.call.text, polled.expected)


def readings(runs: Sequence[EvaluatedRun], *, show_texts: bool) -> list[Piece]:
    """GEU in both modes, and the replies that are read differently."""
    rows: list[list[Cell]] = []
    found: list[tuple[str, Flip]] = []
    for label, arm in arms_of(runs):
        different = flips(asked for record in arm.records.values() for asked in asked_of(record))
        found += [(label, flip) for flip in different]
        strict, reference = both_modes(arm)
        changed = sum(flip.changes_score for flip in different)
        rows.append([label, strict, reference, len(different), changed])
    columns = ["", "GEU items right, strict", "reference", "replies read differently", "of these, score changes"]
    caption = "The stored replies read by both readers: strict wants a decision, reference is the released code."
    pieces: list[Piece] = [Table(columns, rows, caption)]
    if found:
        lines: list[list[Cell]] = [
            [label, flip.asked.item, Code(shortened(flip.asked.reply)) if show_texts else "not shown", flip.asked.truth,
             flip.strict or "none", flip.reference or "none"]
            for label, flip in found[:SHOWN]
        ]  # fmt: skip
        more = [Paragraph(f"{len(found) - SHOWN} more are in the export.", tone="note")] if len(found) > SHOWN else []
        table = Table(["", "item", "reply", "right", "strict", "reference"], lines)
        pieces.append(Fold(f"replies that are read differently ({len(found)})", [table, *more]))
    return pieces


def both_modes(arm: Arm) -> tuple[int | None, int | None]:
    """GEU items right in strict and in reference mode, read anew from the stored replies."""
    records = [record for record in arm.records.values() if record.track == Track.GEU and record.answer is not None]
    if not records:
        return None, None
    right = {"strict": 0, "reference": 0}
    for record in records:
        if record.status not in {Status.OK, Status.ANSWER_UNPARSED} or not record.calls:
            continue
        text = record.calls[-1].text
        right["strict"] += bool(score_choice(text, record.answer or "", mode="strict", options=record.options).right)
        right["reference"] += bool(score_choice(text, record.answer or "", mode="reference").right)
    return right["strict"], right["reference"]


def shortened(reply: object) -> str:
    text = " ".join(str(reply).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"
