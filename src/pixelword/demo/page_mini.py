"""The chapter on RealUnify-mini, written from `mini.json`."""

from __future__ import annotations

from collections.abc import Sequence

from pixelword.demo.mini import PROTOCOLS, SIDE, Choice, of, shown
from pixelword.demo.page_learning import loss_curve
from pixelword.demo.results import Results
from pixelword.realunify import Protocol, Status, Track
from pixelword.realunify.differences import above_chance, mcnemar
from pixelword.realunify.mini import mini_choice
from pixelword.realunify.taxonomy import categories_of
from pixelword.report import (
    Answer,
    ArrowPlot,
    Card,
    CurvePlot,
    Gallery,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Series,
    Table,
    sentence,
)

CHANCE = 0.25
CERTAIN = 0.05
"""Below this p a difference is called one."""

CARDS = 16
DIRECT, ORACLE = PROTOCOLS


def write_mini(page: Page, results: Results) -> None:
    """Add the chapter."""
    replies, (steps, losses) = results.mini, loss_curve(results.logs["5-mini"])
    section = page.section("RealUnify-mini: would a drawing help it see?", anchor="realunify-mini")
    categories = categories_of(Track.GEU)
    direct, oracle = (counted(of(replies, protocol)) for protocol in PROTOCOLS)
    unread = sum(reply.status != Status.OK for reply in replies)
    section.add(
        Paragraph(
            "RealUnify asks whether drawing helps seeing. Its puzzles are hard to answer from the picture as it is, "
            "and easier from a second picture that the model would draw first: tiles put back in order, segments "
            "repainted, the detail framed, the path traced. These are our own such puzzles, drawn by program. After "
            "the exam the model was trained once more, on choices like these and questions of the drawn world; the "
            "ones asked here are held out."
        ),
        Paragraph(
            sentence("From the picture as it is (direct) it chose right in {direct}. ", direct=direct),
            judged_chance(direct),
            sentence("With the true second picture in its place (oracle intermediate) in {oracle}. ", oracle=oracle),
            judged_chance(oracle),
            judged_help(replies),
            f" {unread} replies had no letter and count as wrong." if unread else "",
        ),
        Table(
            ["category", "direct", "oracle intermediate", "stepwise", "chance"],
            [
                [
                    category.replace("_", " "),
                    counted(of(replies, DIRECT, category)),
                    counted(of(replies, ORACLE, category)),
                    "not supported",
                    "25 %",
                ]
                for category in categories
            ],
            caption="Right choices with 95 % Wilson intervals. Stepwise would let the model draw the second picture "
            "itself, which it cannot do yet: that is no score, and no zero.",
        ),
        ArrowPlot(
            [category.replace("_", " ") for category in categories],
            ("direct", "oracle intermediate"),
            [counted(of(replies, DIRECT, category)) for category in categories],
            [counted(of(replies, ORACLE, category)) for category in categories],
            chance=CHANCE,
            caption="From the picture as it is to the true intermediate one.",
        ),
        CurvePlot(
            [Series("loss", steps, losses)],
            log_y=True,
            caption="Loss per supervised token of this last stage, choices and questions of the drawn world together.",
        ),
        Gallery(cards(replies, results.run["seed"]), wide=True),
    )


def counted(right: Sequence[bool]) -> Proportion:
    return Proportion(sum(right), len(right))


def judged_chance(found: Proportion) -> str:
    """A sentence on whether the score is more than guessing."""
    if above_chance(found.right, found.asked, CHANCE) < CERTAIN:
        return "That is more than guessing. "
    return "That cannot be told from guessing: it did not learn this. "


def judged_help(replies: Sequence[Choice]) -> str:
    """A sentence on the same items under both protocols."""
    pairs = list(zip(of(replies, DIRECT), of(replies, ORACLE), strict=True))
    gained, lost = sum(new and not old for old, new in pairs), sum(old and not new for old, new in pairs)
    p = mcnemar(gained, lost)
    what = f"{gained} items were won by the second picture and {lost} lost (McNemar, p = {p:.2g})"
    if p >= CERTAIN:
        return f"{what}: no difference that these items could show."
    return f"{what}: seeing the intermediate {'helps' if gained > lost else 'hurts'}."


def cards(replies: Sequence[Choice], seed: int) -> list[Card]:
    """The first items of each category under both protocols; the gallery puts mistakes first."""
    chosen = [reply for reply in replies if reply.number < CARDS // 8]
    return [card(reply, seed) for reply in chosen]


def card(reply: Choice, seed: int) -> Card:
    item = mini_choice(reply.category, reply.number, seed=seed, side=SIDE)
    options = "; ".join(f"{letter}: {text}" for letter, text in zip("ABCD", item.options, strict=True))
    answer = Answer(f"{item.question} {options}", reply.said or "(nothing)", reply.truth, reply.right)
    name = "direct" if Protocol(reply.protocol) == DIRECT else "oracle intermediate"
    picture = Picture(shown(item, Protocol(reply.protocol)), alt=item.question)
    return Card(
        picture, [answer], title=f"{reply.category.replace('_', ' ')}, {name}", tags=[reply.category.replace("_", " ")]
    )
