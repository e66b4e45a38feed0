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
    Words,
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
    section = page.section("Jigsaws: learning from pictures that nobody labelled", anchor="jigsaws")
    exact = exact_shares(results)
    section.add(
        Paragraph(
            "A picture is cut into four tiles, which are shown in another order; the model says where each belongs. "
            "The answer is known without anybody having labelled anything. First it is shown some right answers, so "
            "that it knows the form; then it tries, sixteen times for each puzzle, and is paid for right places (GRPO)."
        ),
        Paragraph(
            f"It was asked {results['puzzles']} puzzles of other pictures: ",
            *what_came(results),
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


def exact_shares(results: dict[str, Any]) -> dict[str, Proportion]:
    """Puzzles solved exactly, by exam."""
    return {name: Proportion(results[name]["right"], results[name]["asked"]) for name in EXAMS}


def what_came(results: dict[str, Any]) -> tuple[Words, ...]:
    """Sentences on what it solved before and after, beside guessing."""
    exact, guessing = exact_shares(results), results["after"]["chance"]
    learnt = "" if exact["after"].low > guessing else "That cannot be told from guessing: it did not learn this. "
    return (
        sentence(
            "{before} were solved before, {start} after a supervised start, and {after} after GRPO; guessing solves "
            "{chance}. ",
            before=exact["before"],
            start=exact["after_sft"],
            after=exact["after"],
            chance=f"{100 * guessing:.1f} %",
        ),
        learnt,
        compared(exact["after_sft"], exact["after"]),
    )


def compared(start: Proportion, end: Proportion) -> str:
    """What GRPO did, in words."""
    if not disjoint(start, end):
        return "What GRPO changed is too little to be seen with so few steps: the last two intervals touch."
    return "GRPO made it better." if end.value > start.value else "GRPO made it worse."


def monitor(results: dict[str, Any]) -> Paragraph:
    """The health monitor's verdict."""
    if len(results["curve"]) < ENOUGH_STEPS:
        short = f"{len(results['curve'])} steps are too few for the health monitor to say anything"
        return Paragraph(f"{short}; it wants {ENOUGH_STEPS}.", tone="note")
    found = [f"{one['meaning']} ({one['evidence']}): {one['remedy']}" for one in results["findings"]]
    return Paragraph(f"The health monitor says: {results['verdict']}.", *(f" {line}" for line in found), tone="note")


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
