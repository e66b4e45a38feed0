"""The chapters on words, and on surgery and the three stages: what trained, and how loss and answers went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from pixelword.demo.results import FOLDERS, Results
from pixelword.report import (
    CurvePlot,
    Estimate,
    Fold,
    Listing,
    Page,
    Paragraph,
    Series,
    Stage,
    Table,
    disjoint,
    format_count,
    sentence,
)
from pixelword.world import KINDS

WORDS, SEEING = "1-words", ("2-see", "3-join", "4-answer")


def write_words(page: Page, results: Results) -> None:
    """The language model, before it sees."""
    section = page.section("Words: a small language model reads", anchor="words")
    lesson, (steps, losses) = results.run["plan"]["words"], loss_curve(results.logs[WORDS])
    start, end = ends(losses)
    stage = lesson["stage"]
    section.add(
        Paragraph(
            "A small Qwen3 learns the words of a drawn world from text alone: one to four coloured shapes, described, "
            f"and questions about the description. It reads {format_count(stage['steps'] * stage['rows'])} such texts, "
            "each once, and sees no picture."
        ),
        Paragraph(
            sentence(
                "Its loss per word went from {start} to {end}. That is as if it had chosen evenly among {many} words "
                "at first, and among {few} in the end. ",
                start=start,
                end=end,
                many=f"{math.exp(start.value):.0f}",
                few=f"{math.exp(end.value):.1f}",
            ),
            "The scenes are drawn by chance, so no reader could bring it to zero."
            if disjoint(start, end) and end.value < start.value
            else "The two intervals touch: it cannot be told that it learnt anything.",
        ),
        CurvePlot(
            [Series("loss", steps, losses)],
            log_y=True,
            caption="Loss per word while it read. In the text: mean of the first five and of the last tenth of the "
            "steps, with 95 % intervals of the mean.",
        ),
    )


def write_stages(page: Page, results: Results) -> None:
    """Surgery, then the stages in which it learns to see."""
    section = page.section("Eyes: surgery and three stages", anchor="eyes")
    lessons = {folder: results.run["plan"][folder.partition("-")[2]] for folder in SEEING}
    shown = sum(lesson["stage"]["steps"] * lesson["stage"]["rows"] for lesson in lessons.values())
    section.add(
        Paragraph(
            "Surgery gives the language model a patch embedding that turns squares of 8 x 8 pixels into tokens, new "
            "layers in front (the pre-Buffer), and channels for height and width in every layer. From then on "
            "pictures and words go through one decoder; there is no separate encoder of pictures."
        ),
        Paragraph(
            "Stage 1 trains only what is new, on captions; the language model stays as it was. Stage 2 trains "
            f"everything, on captions and questions. Stage 3 asks questions only. {format_count(shown)} drawn pictures "
            "are shown, each once. ",
            rise(results),
        ),
    )
    steps, losses, marks, before = [], [], [], 0
    looked: dict[str, tuple[list[float], list[float]]] = {}
    for folder, lesson in lessons.items():
        marks.append(Stage(FOLDERS[folder], before))
        at, loss = loss_curve(results.logs[folder])
        steps += [before + step for step in at]
        losses += loss
        for entry in results.logs[folder]:
            for kind, right in entry.get("right", {}).items():
                x, y = looked.setdefault(kind, ([], []))
                x.append(before + entry["step"])
                y.append(right)
        before += lesson["stage"]["steps"]
    section.add(
        CurvePlot(
            [Series("loss", steps, losses)],
            log_y=True,
            stages=marks,
            caption="Loss per supervised token. Each stage has other data, so the jumps between them mean nothing.",
        )
    )
    everything = looked.pop("all", ([], []))
    for kinds in (KINDS[:4], KINDS[4:]):
        series = [Series(kind, *looked[kind]) for kind in kinds if kind in looked]
        series.append(Series("all kinds", *everything, colour="grey", dashed=True))
        section.add(
            CurvePlot(
                series,
                y_label="share of right answers",
                stages=marks[1:],
                caption="Right answers while training, on a few held-out scenes: noisy, for the shape of the curves. "
                "Stage 1 knows no questions yet.",
            )
        )
    section.add(Fold("Steps, rates and seconds of every stage", [stages_table(results)]))
    listings = [Listing(results.learns[folder], caption=part) for folder, part in FOLDERS.items()]
    section.add(Fold("What trained and what was frozen in each stage", listings))


def loss_curve(log: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Steps and losses of a stage's log."""
    entries = [entry for entry in log if "loss" in entry]
    return [entry["step"] for entry in entries], [entry["loss"] for entry in entries]


def ends(losses: Sequence[float]) -> tuple[Estimate, Estimate]:
    """Mean loss of the first five and of the last tenth of the steps, with 95 % intervals of the mean.

    Every step has texts of its own, so the steps are taken as independent.
    """
    return mean_of(losses[:5]), mean_of(losses[-max(5, len(losses) // 10) :])


def mean_of(values: Sequence[float]) -> Estimate:
    middle = fmean(values)
    reach = 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(middle, middle - reach, middle + reach, percent=False, digits=2)


def rise(results: Results) -> str:
    """What the looks at a few held-out scenes say about the stages, in words."""
    looks = [
        (FOLDERS[folder].partition(":")[0], entry["right"]["all"])
        for folder in SEEING
        for entry in results.logs[folder]
        if "all" in entry.get("right", {})
    ]
    if len(looks) < 2:
        return "So few steps leave no two looks to compare."
    (first_part, first), (last_part, last) = looks[0], looks[-1]
    went = (
        f"Of the questions about a few held-out scenes it had {100 * first:.0f} % right at the first look in "
        f"{first_part}, and {100 * last:.0f} % at the last in {last_part}"
    )
    return f"{went}." if last > first else f"{went}: it did not get better."


def stages_table(results: Results) -> Table:
    rows: list[list[str | int]] = []
    for lesson, part in zip(results.stages, FOLDERS.values(), strict=True):
        stage, seconds = lesson["stage"], results.seconds.get(part, {"wall": 0.0, "cpu": 0.0})
        rows.append(
            [
                part,
                stage["steps"],
                stage["steps"] * stage["rows"],
                lesson["captions"],
                lesson["questions"],
                f"{stage['rate']:g}, {stage['schedule']}",
                round(seconds["wall"]),
                round(seconds["cpu"]),
            ]
        )
    headings = ["stage", "steps", "scenes", "captions each", "questions each", "rate", "wall s", "CPU s"]
    return Table(headings, rows, caption="The stages; the fourth belongs to RealUnify-mini, after the exam.")
