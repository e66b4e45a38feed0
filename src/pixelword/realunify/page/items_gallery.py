"""The gallery: one card for each item with what every run and protocol made of it, mistakes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pixelword.realunify.diagnosis import Box
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.boxes_section import run_boxes
from pixelword.realunify.page.errors_section import Signs
from pixelword.realunify.page.looks import Look
from pixelword.realunify.page.readings import shortened
from pixelword.realunify.page.scores_section import Labelled as LabelledArm
from pixelword.realunify.page.scores_section import arms_of
from pixelword.realunify.records import ItemRecord, Polled, StoredPicture
from pixelword.realunify.taxonomy import CATEGORIES, ItemId, Protocol, Status, Track
from pixelword.report import Answer, Card, Code, Fold, Gallery, Listing, Paragraph, Picture, Piece, Table
from pixelword.report.pieces import Cell

Labelled = tuple[str, ItemRecord]
"""A record under the name of its run and protocol."""

OPEN_STATUSES = frozenset({Status.JUDGE_FAILED, Status.JUDGE_UNPARSED, Status.NOT_SUPPORTED})


def gallery(
    runs: Sequence[EvaluatedRun], signs: Sequence[Signs], looks: Mapping[str, Look], *, show_items: bool
) -> list[Piece]:
    """All items that any run has a record of."""
    arms = arms_of(runs)
    order = {name: place for place, name in enumerate(CATEGORIES)}
    items = sorted(
        {item for _, arm in arms for item in arm.records}, key=lambda item: (order[item.category], item.index)
    )
    boxes = {run.name: run_boxes(run) for run in runs}
    by_run = {run.name: each for run, each in zip(runs, signs, strict=True)}
    cards = []
    for item in items:
        there = [(label, arm) for label, arm in arms if item in arm.records]
        facets = facets_of(item, runs, {name: each.items.get(item) if each else None for name, each in boxes.items()})
        classes = {kind for _, arm in there for kind in by_run[arm.run].classes.get((arm.protocol, item), ())}
        cards.append(card(item, there, facets, sorted(classes), looks, show_items=show_items))
    caption = "Every item, mistakes first. Unfold a card for its prompts, replies and the judge's questions."
    notice: list[Piece] = []
    if not show_items:
        text = (
            "Prompts, pictures and replies are left out: the terms of the data forbid passing its items on. "
            "--show-items puts them in, for your own eyes."
        )
        notice = [Paragraph(text, tone="warning")]
    return [*notice, Gallery(cards, caption, narrowest=300, wide=True)]


def facets_of(item: ItemId, runs: Sequence[EvaluatedRun], boxes: Mapping[str, Box | None]) -> dict[str, str]:
    """What the reader can filter by: category, the box of each run, and between runs who got it right."""
    facets = {"Category": CATEGORIES[item.category].short}
    for run in runs:
        if (found := boxes[run.name]) is not None:
            facets["Box" if len(runs) == 1 else f"Box, {run.name}"] = found.value
    if len(runs) == 1:
        arms = runs[0].arms.values()
        statuses = [arm.records[item].status for arm in arms if item in arm.records]
        facets["Status"] = "answered" if set(statuses) <= {Status.OK} else worst(statuses).value.replace("_", " ")
    elif len(runs) == 2:
        for protocol in runs[0].arms:
            if protocol in runs[1].arms:
                points = [point(run.arms[protocol], item) for run in runs]
                facets[f"Flips, {protocol.replace('_', ' ')}"] = flip_name(
                    points[0], points[1], runs[0].name, runs[1].name
                )
    return facets


def worst(statuses: Sequence[Status]) -> Status:
    return next(status for status in statuses if status != Status.OK)


def point(arm: Arm, item: ItemId) -> int | None:
    return arm.records[item].result().point if item in arm.records else None


def flip_name(first: int | None, second: int | None, one: str, other: str) -> str:
    if first is None or second is None:
        return "a run has no answer"
    if first == second:
        return "both right" if first else "both wrong"
    return f"only {other}" if second else f"only {one}"


def card(
    item: ItemId,
    arms: Sequence[LabelledArm],
    facets: Mapping[str, str],
    classes: Sequence[str],
    looks: Mapping[str, Look],
    *,
    show_items: bool,
) -> Card:
    """One item."""
    records = [(label, arm.records[item]) for label, arm in arms]
    pictures = shown_pictures(records, looks) if show_items else []
    more: list[Piece] = []
    if classes:
        more.append(Paragraph("Signs: ", ", ".join(classes), ".", tone="note"))
    if show_items:
        more += [piece for name, text in texts_of(records) for piece in quoted(name, text)]
        more += [note for label, record in records for note in notes_of(label, record)]
        more += polls(records)
    return Card(
        pictures[0] if pictures else None,
        [answer(label, record) for label, record in records],
        title=str(item),
        more=more,
        beside=pictures[1:],
        facets=facets,
    )


def answer(label: str, record: ItemRecord) -> Answer:
    """The line of one protocol: what came of the item."""
    if record.status == Status.OK and record.polled:
        passed = sum(each.passed for each in record.polled)
        reply = f"{passed} of {len(record.polled)} questions passed"
        return Answer(label, reply, right=record.right)
    if record.status == Status.OK:
        return Answer(label, record.read or ("right" if record.right else "wrong"), record.answer or "", record.right)
    name = record.status.value.replace("_", " ")
    return Answer(label, name, right=None if record.status in OPEN_STATUSES else False)


def shown_pictures(records: Sequence[Labelled], looks: Mapping[str, Look]) -> list[Picture]:
    """The input, then what each protocol drew or edited, each picture once."""
    names: dict[str, list[str]] = {}
    pictures: dict[str, StoredPicture] = {}
    for label, record in records:
        for kind, picture in (("input", record.source), (label, record.intermediate), (label, record.picture)):
            if picture is not None and kind not in names.setdefault(picture.sha256, []):
                names[picture.sha256].append(kind)
                pictures[picture.sha256] = picture
    found = []
    for key, kinds in names.items():
        seen = looks.get(key)
        if seen is not None and seen.thumbnail is not None:
            label, size = together(kinds), f"{pictures[key].width} x {pictures[key].height}"
            found.append(Picture(seen.thumbnail, label, alt=f"{label}, {size}"))
    return found


def texts_of(records: Sequence[Labelled]) -> list[tuple[str, str]]:
    """What every protocol was told and said, for the unfolded card; a text that several share stands once."""
    names: dict[str, dict[str, list[str]]] = {records[0][1].prompt: {"prompt": []}}
    for label, record in records:
        if record.rewritten is not None and record.protocol != Protocol.DIRECT:
            given = "true prompt" if record.protocol == Protocol.ORACLE_INTERMEDIATE else "rewritten prompt"
            cut = ", cut to the limit" * record.truncated
            names.setdefault(record.rewritten, {}).setdefault(given + cut, []).append(label)
        if record.track == Track.GEU and record.reply is not None:
            names.setdefault(record.reply, {}).setdefault("reply", []).append(label)
    return [
        ("; ".join(f"{kind}, {together(labels)}" if labels else kind for kind, labels in kinds.items()), text)
        for text, kinds in names.items()
    ]


def together(labels: Sequence[str]) -> str:
    """Names of protocols in one line; those of several runs by run: `one: direct, stepwise; two: direct`."""
    by_run: dict[str, list[str]] = {}
    for label in labels:
        run, _, protocol = label.rpartition(", ")
        by_run.setdefault(run, []).append(protocol)
    return "; ".join(f"{run}: {', '.join(each)}" if run else ", ".join(each) for run, each in by_run.items())


def notes_of(label: str, record: ItemRecord) -> list[Piece]:
    """The cause of a failure, in the words of the run."""
    return [Paragraph(f"{label}: ", Code(shortened(record.note)), tone="note")] if record.note else []


def quoted(name: str, text: str) -> list[Piece]:
    """A text under its name. A caption would count it as a figure of the page."""
    return [Paragraph(name, tone="note"), Listing(text)]


def polls(records: Sequence[Labelled]) -> list[Piece]:
    """The judge's questions that some protocol failed, with each verdict; and all its replies behind a fold.

    Questions that came out as expected everywhere are only in the fold: a page of 1,000 items opens twice as fast.
    """
    polled = [(label, record) for label, record in records if record.polled]
    if not polled:
        return []
    questions = {each.question: each.expected for _, record in polled for each in record.polled}
    failed = {each.question for _, record in polled for each in record.polled if not each.passed}
    rows: list[list[Cell]] = [
        [question, expected, fails_in(polled, question)]
        for question, expected in questions.items()
        if question in failed
    ]
    table = [Table(["the judge was asked", "expected", "not so in"], rows)] if rows else []
    text = "\n".join(line for question in questions for line in replies_to(question, polled))
    return [*table, Fold(f"all {len(questions)} questions and the judge's replies", [Listing(text)])]


def replies_to(question: str, polled: Sequence[Labelled]) -> list[str]:
    """A question, and under it what the judge replied, protocols of the same replies in one line."""
    by_words: dict[str, list[str]] = {}
    for label, record in polled:
        for each in record.polled:
            if each.question == question:
                by_words.setdefault(judge_words(each), []).append(label)
    return [question, *(f"  {together(labels)}: {words}" for words, labels in by_words.items())]


def fails_in(polled: Sequence[Labelled], question: str) -> str:
    """Where a question did not come out as expected, and where it was not decided."""
    said = [(label, each) for label, record in polled for each in record.polled if each.question == question]
    other = [label for label, each in said if each.verdict in {"yes", "no"} and not each.passed]
    undecided = [label for label, each in said if each.verdict not in {"yes", "no"}]
    parts = ["everywhere" if len(other) == len(said) > 1 else together(other)] if other else []
    return "; ".join(parts + [f"undecided in {together(undecided)}"] * bool(undecided))


def judge_words(polled: Polled) -> str:
    """The replies of all votes, shortened, equal ones once with their number."""
    replies = Counter(shortened(vote.call.text or vote.call.outcome.value) for vote in polled.votes)
    return " | ".join(f"{number} times {reply}" if number > 1 else reply for reply, number in replies.items())
