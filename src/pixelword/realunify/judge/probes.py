"""Trials of a judge: questions about pictures whose true answer is known, and probes that catch a judge that guesses.

A blank picture shows nothing of what is asked for. A swapped picture belongs to another item. A negated question
turns the answer round. A judge that says yes too easily fails all three and looks fine on right pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image

from pixelword.errors import InputError
from pixelword.realunify.dataset import Question
from pixelword.realunify.mini.faults import faults_of
from pixelword.realunify.mini.items import MiniDrawing, mini_drawing
from pixelword.realunify.mini.polling import exact_verdict
from pixelword.realunify.taxonomy import ItemId, Track, categories_of

Answer = Literal["yes", "no"]
Truth = Callable[[Image.Image, str], str]

PROBE_KINDS = ("blank", "swapped", "negated")


@dataclass(frozen=True)
class Trial:
    """One question about one picture whose answer is known.

    Args:
        kind: `right` (a picture that shows what its item asks for), the name of its fault, or a kind of probe.
        expected: what the item wants to hear; for a right picture this is the truth.
        truth: the true answer.
    """

    kind: str
    item: ItemId
    picture: Image.Image
    question: str
    expected: Answer
    truth: Answer


def answer(text: str) -> Answer:
    return "yes" if text == "yes" else "no"


def negated(question: str) -> str:
    """The same question turned round, whatever its wording."""
    return f'Somebody answers "no" to this question: {question} Is that answer correct?'


def turned(text: str) -> Answer:
    return "no" if text == "yes" else "yes"


def mini_trials(per_category: int = 12, *, seed: int = 0, side: int = 256) -> list[Trial]:
    """Trials from the mini, where the checker knows the truth: one right and one faulty picture of each item.

    72 items of about three questions make some 430 trials without the probes. The faults take turns.
    """
    trials = []
    for category in categories_of(Track.UEG):
        for number in range(per_category):
            item = mini_drawing(category, number, seed=seed)
            faults = faults_of(item.target)
            fault = faults[number % len(faults)]
            trials += trials_of(item, "right", item.picture(side))
            trials += trials_of(item, fault, item.faulty_picture(fault, side))
    return trials


def trials_of(item: MiniDrawing, kind: str, picture: Image.Image) -> list[Trial]:
    """Every question of a mini item about this picture."""
    return [
        Trial(
            kind,
            item.id,
            picture,
            each.question,
            answer(each.answer),
            answer(exact_verdict(picture, each.question)),
        )
        for each in item.questions
    ]


def probes(
    pictures: Mapping[ItemId, Image.Image],
    questions: Mapping[ItemId, Sequence[Question]],
    *,
    truth: Truth | None = None,
    seed: int = 0,
) -> list[Trial]:
    """Three probes for each item: a blank picture, the picture of another item of its category, negated questions.

    Args:
        pictures: pictures of the items; negated questions are about them.
        truth: the true answer to a question about a picture, where something knows it (the mini's `exact_verdict`).
            Without it, a blank or foreign picture is taken to answer every expected yes with no, only those
            questions are asked, and the negated ones are taken to be about right pictures.

    Raises:
        InputError: a picture of an item without questions.
    """
    if missing := [item for item in pictures if not questions.get(item)]:
        raise InputError("a probe needs its item's questions", got=missing[0], fix="give questions for every picture")
    random, trials = Random(f"probes {seed}"), []
    for item, picture in pictures.items():
        blank = Image.new("RGB", picture.size, "white")
        trials += elsewhere("blank", item, blank, questions[item], truth)
        asked = {question.question for question in questions[item]}
        others = [
            other
            for other in pictures
            if other.category == item.category and asked.isdisjoint(each.question for each in questions[other])
        ]
        if others:
            foreign = pictures[random.choice(others)]
            trials += elsewhere("swapped", item, foreign, questions[item], truth)
        for each in questions[item]:
            known = truth(picture, each.question) if truth is not None else each.answer
            trials.append(Trial("negated", item, picture, negated(each.question), turned(each.answer), turned(known)))
    return trials


def elsewhere(
    kind: str, item: ItemId, picture: Image.Image, questions: Sequence[Question], truth: Truth | None
) -> list[Trial]:
    """The questions of an item about a picture that is not its own."""
    return [
        Trial(
            kind,
            item,
            picture,
            each.question,
            answer(each.answer),
            "no" if truth is None else answer(truth(picture, each.question)),
        )
        for each in questions
        if truth is not None or each.answer == "yes"
    ]


def calibration_trials(per_category: int = 12, *, seed: int = 0, side: int = 256) -> list[Trial]:
    """The mini's trials and, for a third of its items, the three probes, with the truth of each."""
    items = [
        mini_drawing(category, number, seed=seed)
        for category in categories_of(Track.UEG)
        for number in range(per_category)
    ]
    probed = items[::3]
    pictures = {item.id: item.picture(side) for item in probed}
    questions = {item.id: item.questions for item in probed}
    return mini_trials(per_category, seed=seed, side=side) + probes(pictures, questions, truth=exact_verdict, seed=seed)


def questions_of_pictures(trials: Sequence[Trial]) -> list[list[str]]:
    """The questions that are asked together, for the estimate of the cost."""
    groups: dict[tuple[int, str], list[str]] = {}
    for trial in trials:
        groups.setdefault((id(trial.picture), trial.kind), []).append(trial.question)
    return list(groups.values())
