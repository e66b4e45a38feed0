"""What a judge's errors are, and what they do to a score: rates with intervals, and the score corrected for them.

The correction is Rogan and Gladen's (1978) for whole items: a judge calls a right picture right with its sensitivity
and a wrong one wrong with its specificity. It is only as good as the trials resemble the pictures that were judged;
those of the mini are plain drawings. A corrected score never takes the place of the raw one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import ValidationError

from pixelword.config import Settings
from pixelword.errors import DataError, InputError
from pixelword.realunify.agreement import Calibration, calibrate
from pixelword.realunify.dataset import Question
from pixelword.realunify.intervals import CONFIDENCE, RESAMPLES, SEED, Interval, wilson
from pixelword.realunify.judge.polling import Ask, Pause, every_one, poll
from pixelword.realunify.judge.probes import PROBE_KINDS, Trial
from pixelword.realunify.judge.settings import JudgeSettings


class TrialRecord(Settings):
    """What a judge said in one trial. `verdict` is None where it failed, could not be read, or could not tell."""

    judge: str
    wording: str
    votes: int
    kind: str
    item: str
    question: str
    expected: Literal["yes", "no"]
    truth: Literal["yes", "no"]
    verdict: Literal["yes", "no"] | None


async def run_trials(
    ask: Ask[Image.Image],
    trials: Sequence[Trial],
    settings: JudgeSettings,
    *,
    at_once: int = 16,
    pause: Pause = asyncio.sleep,
) -> list[TrialRecord]:
    """Put every trial to a judge, the questions of one picture together, so many pictures at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one_picture(group: list[Trial]) -> list[TrialRecord]:
        questions = [Question(trial.question, trial.truth) for trial in group]
        async with gate:
            polled = await poll(ask, group[0].picture, questions, settings, pause=pause)
        return [
            TrialRecord(
                judge=settings.model,
                wording=settings.wording,
                votes=settings.votes,
                kind=trial.kind,
                item=str(trial.item),
                question=trial.question,
                expected=trial.expected,
                truth=trial.truth,
                verdict="yes" if each.verdict == "yes" else "no" if each.verdict == "no" else None,
            )
            for trial, each in zip(group, polled, strict=True)
        ]

    groups = [list(group) for _, group in groupby(trials, key=lambda trial: (id(trial.picture), trial.kind))]
    return [record for records in await every_one(map(one_picture, groups)) for record in records]


def write_trials(path: Path, records: Iterable[TrialRecord]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(record.model_dump_json() + "\n" for record in records), encoding="utf-8")


def read_trials(path: Path) -> list[TrialRecord]:
    """What `write_trials` wrote.

    Raises:
        DataError: the file cannot be read, or a line is no trial.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [TrialRecord.model_validate_json(line) for line in lines if line.strip()]
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(
            f"{path.name} holds no trials of a judge", got=error, fix="write it with `pixelword realunify calibrate`"
        ) from error


@dataclass(frozen=True)
class ErrorRate:
    """Wrong verdicts of so many decided ones, and how many were not decided."""

    name: str
    errors: int
    decided: int
    undecided: int

    @property
    def interval(self) -> Interval:
        return wilson(self.errors, self.decided)


@dataclass(frozen=True)
class CalibrationBlock:
    """All that the trials say about one judge.

    Args:
        questions: question by question, on the pictures that are no probes.
        items: item by item: whether it calls a whole picture right that is, and wrong that is not.
        rates: wrong verdicts where the truth is yes, where it is no, and by kind of picture.
        probes: the same for each kind of probe.
    """

    judge: str
    wording: str
    votes: int
    questions: Calibration
    items: Calibration
    rates: tuple[ErrorRate, ...]
    probes: tuple[ErrorRate, ...]


def calibration_block(records: Sequence[TrialRecord]) -> CalibrationBlock:
    """The block from the trials of one judge.

    Raises:
        InputError: trials of several judges, or none with a picture that is right and one that is wrong.
    """
    judges = {(record.judge, record.wording, record.votes) for record in records}
    if len(judges) != 1:
        raise InputError(
            "a calibration is of one judge with one wording", got=sorted(judges), fix="keep a file for each judge"
        )
    plain = [record for record in records if record.kind not in PROBE_KINDS]
    kinds = list(dict.fromkeys(record.kind for record in plain))
    rates = [
        error_rate("truth is yes", [record for record in plain if record.truth == "yes"]),
        error_rate("truth is no", [record for record in plain if record.truth == "no"]),
        *(error_rate(f"picture: {kind}", [record for record in plain if record.kind == kind]) for kind in kinds),
    ]
    probed = [error_rate(kind, [record for record in records if record.kind == kind]) for kind in PROBE_KINDS]
    verdicts, truths = item_verdicts(plain)
    return CalibrationBlock(
        *judges.pop(),
        questions=calibrate([record.verdict for record in plain], [record.truth for record in plain]),
        items=calibrate(verdicts, truths),
        rates=tuple(rates),
        probes=tuple(rate for rate in probed if rate.decided + rate.undecided),
    )


def error_rate(name: str, records: Sequence[TrialRecord]) -> ErrorRate:
    decided = [record for record in records if record.verdict is not None]
    errors = sum(record.verdict != record.truth for record in decided)
    return ErrorRate(name, errors, len(decided), len(records) - len(decided))


def item_verdicts(records: Sequence[TrialRecord]) -> tuple[list[str | None], list[str]]:
    """For each picture of an item, whether the judge calls it right and whether it is. Open where a question is."""
    pictures: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in records:
        pictures.setdefault((record.item, record.kind), []).append(record)
    verdicts: list[str | None] = []
    truths = []
    for group in pictures.values():
        passed = all(record.verdict == record.expected for record in group)
        is_open = any(record.verdict is None for record in group)
        verdicts.append(None if is_open else "yes" if passed else "no")
        truths.append("yes" if all(record.truth == record.expected for record in group) else "no")
    return verdicts, truths


@dataclass(frozen=True)
class Corrected:
    """A judged share and the share behind it that the judge's errors suggest, with its interval."""

    raw: float
    value: float
    interval: Interval


def corrected_score(
    categories: Sequence[tuple[int, int]], judge: Calibration, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Corrected | None:
    """The mean over categories, corrected for the judge, with an interval that holds both uncertainties.

    The items of each category are drawn anew, and with them the judge's two rates from what its trials leave open
    (Jeffreys' posterior, which has width also where no error was seen). None where the judge may be no better than a
    coin: more than one draw in forty is.

    Args:
        categories: (right, asked) of each category.

    Raises:
        InputError: no category, or one without items.
    """
    if not categories or any(asked < 1 or not 0 <= right <= asked for right, asked in categories):
        raise InputError(
            "a corrected score needs right answers of asked items", got=categories, fix="leave out empty categories"
        )
    raw = sum(right / asked for right, asked in categories) / len(categories)
    value = judge.corrected(raw)
    random = np.random.default_rng(seed)
    sensitivity = random.beta(judge.hits + 0.5, judge.positives - judge.hits + 0.5, size=resamples)
    specificity = random.beta(judge.rejections + 0.5, judge.negatives - judge.rejections + 0.5, size=resamples)
    informed = sensitivity + specificity - 1
    if value is None or (informed <= 0.0).mean() > 1 / 40:
        return None
    shares = [random.binomial(asked, right / asked, size=resamples) / asked for right, asked in categories]
    drawn = np.clip((np.mean(shares, axis=0) + specificity - 1) / np.where(informed > 0, informed, np.nan), 0, 1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail]).tolist()
    return Corrected(raw, value, Interval(min(low, value), max(high, value)))
