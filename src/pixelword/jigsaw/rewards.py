"""The reward of an ordering puzzle: right order, right form, and no endless repetition.

Visual Jigsaw, section 3.1.1. Where paper and released code disagree, `jigsaw_reward` does what both mean; with
`reference_compat=True` it does what the released code does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index

from pydantic import Field

from pixelword.config import Settings
from pixelword.errors import InputError
from pixelword.jigsaw.answers import Container, Reading, Reason, read_answer, read_answer_as_released
from pixelword.jigsaw.repetition import Unit, repeats

EXACT = 1.0
"""For the right order. Visual Jigsaw, section 3.1.1."""
GAMMA = 0.2
"""Share of `EXACT` that a permutation with all places right but the exactness would approach. Section 4.1."""
PARTIAL_MIN_K = 5
"""Fewest elements for which right places are paid. The released code; its author found them harmful on 2x2."""
FORMAT = 0.2
"""For thoughts and answer in their containers. Section 4.1."""
REPETITION = -0.5
"""For repeating a line. The released code; the paper does not mention it."""
REPETITION_MIN_WORDS = 7
"""Shorter lines may repeat. The released code."""
REPETITION_MAX_RUN = 3
"""So often in a row is allowed. The released code."""


@dataclass(frozen=True)
class Reward:
    """What a response earned, and why.

    Args:
        total: the sum of the three parts.
        accuracy: `EXACT`, or a part of it for right places, or 0.
        format: for the form.
        repetition: 0 or the penalty.
        exact: whether the order is right.
        reason: `exact`; `partial`, a permutation with paid places; `ok`, a permutation that earns nothing; or what is
            wrong: `no_think`, `no_container`, `parse_error`, `wrong_length`, `duplicate`, `out_of_range`.
        places: right places of a permutation, else 0.
    """

    total: float
    accuracy: float
    format: float
    repetition: float
    exact: bool
    reason: Reason
    places: int = 0


def jigsaw_reward(
    response: str,
    target: Sequence[int],
    *,
    think: bool = True,
    container: Container = "boxed",
    reference_compat: bool = False,
    exact_reward: float = EXACT,
    gamma: float = GAMMA,
    partial_min_k: int = PARTIAL_MIN_K,
    format_reward: float = FORMAT,
    repetition_penalty: float = REPETITION,
    repetition_min_words: int = REPETITION_MIN_WORDS,
    repetition_max_run: int = REPETITION_MAX_RUN,
    repetition_period: int = 1,
    repetition_unit: Unit = "lines",
    alike: Sequence[Sequence[int]] = (),
) -> Reward:
    r"""Score one response. Takes time in proportion to its length, whatever is in it.

    Args:
        response: the text of the model, without special tokens.
        target: the right answer, K numbers from 1: entry i is the label of the element that belongs at place i.
        think: thoughts in `<think></think>` are demanded, and pay with the container; without, the whole response is
            the answer and the form pays nothing.
        container: where the answer stands: `\boxed{...}`, `<answer>...</answer>`, or whichever opens last.
        reference_compat: the released function bit for bit. It knows only `\boxed`, so `container` must be `boxed`.
        exact_reward, format_reward, repetition_penalty: what each part pays.
        gamma: a permutation that is not right earns `gamma` times its share of right places,
        partial_min_k: from so many elements on.
        repetition_min_words, repetition_max_run: lines of at least so many words may come so often in a row.
        repetition_period, repetition_unit: our extension, off by default: passages of several lines or sentences.
        alike: our extension: groups of labels whose elements look the same, so that one may stand for another.

    Raises:
        InputError: the response is no text, the target is no permutation of 1 to K, a label is in two groups, or compat
            with another container or with groups.
    """
    if not isinstance(response, str):
        raise InputError("a response is text", got=type(response).__name__, fix="pass the text of the completion")
    truth = check_target(target)
    if reference_compat and (container != "boxed" or alike):
        raise InputError(
            "the released function knows no container but \\boxed and no elements that look the same",
            got=f"container={container!r}, alike={alike!r}",
            fix='use container="boxed" and no alike, or reference_compat=False',
        )
    stands_for = check_alike(alike, len(truth))
    if reference_compat:
        reading = read_answer_as_released(response, think=think)
    else:
        reading = read_answer(response, think=think, container=container, most_digits=len(str(len(truth))))
    reason, places = judge(reading, truth, stands_for, as_released=reference_compat)
    if reason in {"no_think", "no_container"} and reference_compat:
        return Reward(0.0, 0.0, 0.0, 0.0, False, reason)
    repeated = repeats(
        response,
        min_words=repetition_min_words,
        max_run=repetition_max_run,
        period=1 if reference_compat else repetition_period,
        unit="lines" if reference_compat else repetition_unit,
    )
    penalty = repetition_penalty if repeated else 0.0
    form = format_reward if reading.formatted else 0.0
    paid = len(truth) >= partial_min_k
    accuracy = exact_reward if reason == "exact" else places / len(truth) * gamma if paid else 0.0
    if reason == "ok" and accuracy != 0:
        reason = "partial"
    return Reward(form + accuracy + penalty, accuracy, form, penalty, reason == "exact", reason, places)


def check_target(target: Sequence[int]) -> tuple[int, ...]:
    """The target as plain numbers; any sequence of them will do, also an array.

    Raises:
        InputError: it is no permutation of 1 to K.
    """
    try:
        truth = tuple(index(label) for label in target)
    except TypeError:
        truth = ()
    if not truth or sorted(truth) != list(range(1, len(truth) + 1)):
        raise InputError(
            "a target is a permutation of 1 to K", got=target, fix="give the labels in their right order, from 1"
        )
    return truth


def check_alike(alike: Sequence[Sequence[int]], K: int) -> dict[int, int]:
    """Label -> the first of its group, for all labels in groups.

    Raises:
        InputError: a label is none, or in two groups.
    """
    labels = [index(label) for group in alike for label in group]
    if len(set(labels)) != len(labels) or not all(1 <= label <= K for label in labels):
        raise InputError("a label is in one group of those that look the same", got=alike, fix=f"use 1 to {K} once")
    return {index(label): index(group[0]) for group in alike for label in group}


def judge(
    reading: Reading, truth: tuple[int, ...], stands_for: Mapping[int, int], *, as_released: bool
) -> tuple[Reason, int]:
    """What kind of answer it is, and how many places are right; `ok` is a permutation that is not the right one.

    As released, an answer counts as a permutation when it has K different numbers, whichever and however many.
    """
    answer, K = reading.numbers, len(truth)
    if reading.failure is not None:
        return reading.failure, 0
    if answer == truth:
        return "exact", K
    if as_released:
        if len(set(answer)) != K:
            return ("wrong_length" if len(answer) != K else "duplicate"), 0
    elif len(answer) != K:
        return "wrong_length", 0
    elif not all(1 <= label <= K for label in answer):
        return "out_of_range", 0
    elif len(set(answer)) != K:
        return "duplicate", 0
    right = sum(
        stands_for.get(given, given) == stands_for.get(wanted, wanted)
        for given, wanted in zip(answer, truth, strict=False)
    )
    return ("exact" if stands_for and right == K else "ok"), right


class AnswerRule(Settings):
    """How an answer is asked for and paid: one value for prompt and reward, so that they cannot disagree."""

    think: bool = Field(default=True, description="thoughts first, in <think></think>")
    container: Container = Field(default="boxed", description="boxed, tag or any")
    reference_compat: bool = Field(default=False, description="score as the released code does")
    exact_reward: float = Field(default=EXACT, description="for the right order")
    gamma: float = Field(default=GAMMA, ge=0, description="share of right places times this is the partial reward")
    partial_min_k: int = Field(default=PARTIAL_MIN_K, ge=1, description="fewest elements with partial reward")
    format_reward: float = Field(default=FORMAT, description="for the form")
    repetition_penalty: float = Field(default=REPETITION, le=0, description="for repetition")
    repetition_min_words: int = Field(default=REPETITION_MIN_WORDS, ge=1, description="shorter lines may repeat")
    repetition_max_run: int = Field(default=REPETITION_MAX_RUN, ge=1, description="so often in a row is allowed")
    repetition_period: int = Field(default=1, ge=1, le=16, description="longest passage that is looked for, in units")
    repetition_unit: Unit = Field(default="lines", description="lines or sentences")

    def score(self, response: str, target: Sequence[int], alike: Sequence[Sequence[int]] = ()) -> Reward:
        """`jigsaw_reward` with these settings."""
        return jigsaw_reward(response, target, **dict(self), alike=alike)

    def write(self, target: Sequence[int], thoughts: str = "") -> str:
        """The right answer, in the form that earns everything."""
        listed = ", ".join(str(label) for label in target)
        if not self.think:
            return listed
        held = f"<answer>{listed}</answer>" if self.container == "tag" else f"\\boxed{{{listed}}}"
        return f"<think>{thoughts}</think>\n{held}"
