r"""Finding the answer in a response, by scanning: every function here looks at each character a fixed number of times.

Two readers. `read_answer` is the recommended one. `read_answer_as_released` reproduces the released code, with the
answers that it takes although it should not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Container = Literal["boxed", "tag", "any"]
Reason = Literal[
    "no_think",
    "no_container",
    "parse_error",
    "wrong_length",
    "duplicate",
    "out_of_range",
    "ok",
    "partial",
    "exact",
]

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
BOX_OPEN, BOX_CLOSE = "\\boxed{", "}"
TAG_OPEN, TAG_CLOSE = "<answer>", "</answer>"

BRACE = re.compile(r"[{}]")
DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Reading:
    """What was found.

    Args:
        formatted: thoughts and container are where they belong.
        numbers: the items of the answer, empty where it cannot be read. A number with more digits than any label
            stands as 0, which is out of range like itself.
        failure: why there are no numbers.
    """

    formatted: bool
    numbers: tuple[int, ...] = ()
    failure: Literal["no_think", "no_container", "parse_error"] | None = None


def read_answer(response: str, *, think: bool, container: Container, most_digits: int) -> Reading:
    """The answer as the prompt asked for it.

    The response is stripped. With `think`, it starts with `<think>`; what counts stands after the last `</think>`: the
    last container there. A container that opens and never closes is no container. Without `think`, the whole response
    is the answer. Items are separated by commas and are runs of ASCII digits; leading zeros are allowed, signs are not.

    Args:
        most_digits: how long a label can be, without leading zeros.
    """
    text = response.strip()
    if not think:
        return read_numbers(text, most_digits, formatted=False)
    if not text.startswith(THINK_OPEN):
        return Reading(False, failure="no_think")
    closed = text.rfind(THINK_CLOSE, len(THINK_OPEN))
    if closed < 0:
        return Reading(False, failure="no_think")
    rest = text[closed + len(THINK_CLOSE) :]
    if not holds_container(rest, container):
        return Reading(False, failure="no_container")
    inside = last_container(rest, container)
    if inside is None:
        return Reading(True, failure="parse_error")
    return read_numbers(inside, most_digits, formatted=True)


def holds_container(text: str, container: Container) -> bool:
    """Whether an opening of the container is followed, anywhere, by a closing."""
    kinds = []
    if container != "tag":
        kinds.append((BOX_OPEN, BOX_CLOSE))
    if container != "boxed":
        kinds.append((TAG_OPEN, TAG_CLOSE))
    return any(0 <= text.find(opening) <= text.rfind(closing) - len(opening) for opening, closing in kinds)


def last_container(text: str, container: Container) -> str | None:
    """What the container that opens last holds; None where it does not close."""
    box = text.rfind(BOX_OPEN) if container != "tag" else -1
    tag = text.rfind(TAG_OPEN) if container != "boxed" else -1
    if box > tag:
        return balanced(text, box + len(BOX_OPEN))
    end = text.find(TAG_CLOSE, tag)
    return text[tag + len(TAG_OPEN) : end] if end >= 0 else None


def balanced(text: str, start: int) -> str | None:
    """From `start`, which is inside one brace, to its closing brace; None where there is none."""
    depth = 1
    for brace in BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start : brace.start()]
    return None


def read_numbers(text: str, most_digits: int, *, formatted: bool) -> Reading:
    numbers = []
    for item in text.split(","):
        digits = item.strip()
        if DIGITS.fullmatch(digits) is None:
            return Reading(formatted, failure="parse_error")
        shown = digits.lstrip("0")
        numbers.append(int(shown) if 0 < len(shown) <= most_digits else 0)
    return Reading(formatted, tuple(numbers))


def read_answer_as_released(response: str, *, think: bool) -> Reading:
    r"""The answer as the released code finds it.

    The response matches `<think>.*</think>.*\\boxed\{.*\}.*` from its first to its last character, where the dot is any
    character. Such a match exists when each part is found behind the first place of the one before, which takes one
    scan. The answer is what the last `\boxed{` of the response holds, or the word None where it does not close. Items
    are whatever Python's `int` takes: also signs, underscores, digits of other scripts, up to 4300 digits.
    """
    if not think:
        return read_integers(response, formatted=False)
    if not response.startswith(THINK_OPEN):
        return Reading(False, failure="no_think")
    place = response.find(THINK_CLOSE, len(THINK_OPEN))
    if place < 0:
        return Reading(False, failure="no_think")
    place = response.find(BOX_OPEN, place + len(THINK_CLOSE))
    if place < 0 or response.find(BOX_CLOSE, place + len(BOX_OPEN)) < 0:
        return Reading(False, failure="no_container")
    inside = balanced(response, response.rfind(BOX_OPEN) + len(BOX_OPEN))
    return read_integers("None" if inside is None else inside, formatted=True)


def read_integers(text: str, *, formatted: bool) -> Reading:
    try:
        return Reading(formatted, tuple(int(item.strip()) for item in text.split(",")))
    except ValueError:
        return Reading(formatted, failure="parse_error")
