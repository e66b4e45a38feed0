"""The chapter on jigsaws, written from `jigsaw.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixelword.posttrain import Monitor
from pixelword.report import (
    Answer,
    Card,
    CurvePlot,
    Gallery,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Series,
    Table,
    disjoint,
    sentence,
)

EXAMS = {"before": "before", "after_sft": "after a supervised start", "after": "after GRPO"}

ENOUGH_STEPS = Monitor.window + Monitor.patience
"""Steps before the health monitor's silence means something."""


def write_jigsaw(page: Page, results: dict[str, Any], pictures: Path) -> None:
    """Add the chapter.

    Args:
        results: see `pixelword.demo.jigsaw.learn_jigsaw`.
        pictures: folder of the shown puzzles.
    """
    section = page.section("Jigsaws: learning from pictures that nobody labelled")
    exact = {name: Proportion(results[name]["right"], results[name]["asked"]) for name in EXAMS}
    section.add(
        Paragraph(
            "A picture is cut into four tiles, which are shown in another order; the model says where each belongs. "
            "The answer is known without anybody having labelled anything. First it is shown some right answers, so "
            "that it knows the form; then it tries, sixteen times for each puzzle, and is paid for right places (GRPO)."
        ),
        Paragraph(
            sentence(
                "Of {asked} puzzles of other pictures it solved {before} before, {start} after the supervised start, "
                "and {after} after GRPO. Guessing solves {chance}. ",
                asked=str(results["puzzles"]),
                before=exact["before"],
                start=exact["after_sft"],
                after=exact["after"],
                chance=f"{100 * results['after']['chance']:.1f} %",
            ),
            compared(exact["after_sft"], exact["after"]),
        ),
        Table(
            ["", "exactly right", "right places of four"],
            [[words, exact[name], round(results[name]["places"], 2)] for name, words in EXAMS.items()],
            caption="Held-out puzzles, greedy decoding, 95 % Wilson intervals. Guessing has one place right.",
        ),
        monitor(results),
    )
    curve = results["curve"]
    if curve:
        steps = [row["step"] for row in curve]
        series = [Series(name, steps, [row[name] for row in curve]) for name in ("reward", "exact")]
        section.add(
            CurvePlot(
                series,
                y_label="mean of a step",
                caption="While GRPO learnt: mean reward, and share of the sampled answers that were exactly right.",
            )
        )
    section.add(Gallery([card(one, pictures) for one in results["shown"]], wide=True))


def compared(start: Proportion, end: Proportion) -> str:
    """What GRPO did, in words."""
    if not disjoint(start, end):
        return "The last two intervals touch: so few steps of GRPO changed too little to be seen here."
    return "GRPO made it better." if end.value > start.value else "GRPO made it worse."


def monitor(results: dict[str, Any]) -> Paragraph:
    """The health monitor's verdict."""
    if len(results["curve"]) < ENOUGH_STEPS:
        short = f"{len(results['curve'])} steps are too few for the health monitor to say anything"
        return Paragraph(f"{short}; it wants {ENOUGH_STEPS}.", tone="note")
    found = [f"{one['meaning']} ({one['evidence']}): {one['remedy']}" for one in results["findings"]]
    return Paragraph(f"The health monitor says: {results['verdict']}", *(f" {line}" for line in found), tone="note")


def card(one: dict[str, Any], pictures: Path) -> Card:
    answers = [
        Answer(words, one["replies"][name] or "(nothing)", one["truth"], one["right"][name])
        for name, words in EXAMS.items()
        if name != "after_sft"
    ]
    return Card(
        Picture(pictures / one["cut"], alt="the tiles as they were shown"),
        answers,
        beside=[Picture(pictures / one["whole"], alt="the picture")],
    )
