"""Reading the letter of a multiple-choice reply, as the released scorer does and as a careful reader would.

`reference` is bit for bit the released function: it deletes ten phrases and takes the first capital A to D that is
left, also from "Based", "Cannot" or a repeated list of options. `strict` wants a decision and says None without one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from pixelword.errors import InputError
from pixelword.realunify.reply_text import folded, plain_text, structured_answer, without_reasoning

Mode = Literal["reference", "strict"]
MODES: tuple[Mode, ...] = ("reference", "strict")
LETTERS = "ABCD"

DELETED_PHRASES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
    "Answer",
    "Answer is",
)
"""In this order and case-sensitive. The last never matches, because "Answer" goes first; the released code has it."""

WRAP = r"[\s*_`\"'“”‘’(\[{$:>]*+"
"""What may stand between a marker and its letter."""

STRONG = re.compile(
    r"\b(?:answer|option|choice)(?:\s++to\s++(?:the|this)\s++question)?[*_`\"]{0,3}"
    r"(?:\s*+(?:\bis\b|\bwould\s++be\b|\bshould\s++be\b|[:=]|->|→)" + WRAP + r")++"
    r"(?:(?:option|choice|letter)\b" + WRAP + r")?([A-Da-d])(?!\w)",
    re.IGNORECASE,
)
WEAK = re.compile(r"\b(?:answer|option|choice|letter)\s++[*_`\"'(\[]*+([A-Da-d])(?!\w)", re.IGNORECASE)
BOXED = re.compile(r"\\boxed\s*+\{((?:[^{}]|\{[^{}]*+\})*+)\}")
LATEX_WORD = re.compile(r"\\[a-zA-Z]++|[{}$]")
WHOLE = re.compile(r"[\W_]*+([A-Da-d])[\W_]*+\Z")
LETTER = re.compile(r"(?<!\w)[A-Da-d](?!\w)")
LISTED = re.compile(r"(?<!\w)\(?([A-D])\s?[.):]")

REJECTED = re.compile(
    r"[\s)\]*_`\"']*+(?:(?:is|was|seems|looks)\s++(?:not|wrong|incorrect|false|impossible)\b"
    r"|(?:isn|wasn|can|doesn)['’]t\b|cannot\b|does\s++not\b)",
    re.IGNORECASE,
)
SECOND_LETTER = re.compile(
    r"[\s)\]*_`\"'.]*+(?:(?:or|and|&|/)[\s(*]*+(?:option\s++)?[A-D](?!\w)|,\s*+[A-D](?!\w)\s*+(?:[,.;]|\Z|or\b|and\b))"
)
NEXT_WORD = re.compile(r"\s++([^\W\d_]++)")
AFTER_A_LABEL = frozenset(
    {"is", "was", "are", "would", "can", "cannot", "does", "seems", "appears", "looks", "fits", "matches"}
    | {"because", "since", "as", "due", "and", "or", "for", "with"}
)
NEGATION = re.compile(
    r"(?:\b(?:not|neither|nor|never|except|unlike|without|exclude|excluding|eliminate|rule\s++out|against)|n['’]t)"
    r"(?:\s++(?:be|the|an?|option|choice|letter|answer))*+[\s(*\"'`]*+\Z",
    re.IGNORECASE,
)
DOUBT = re.compile(
    r"\b(?:cannot|can['’]t|could\s++not|couldn['’]t|unable|impossible|unclear|unsure|not\s++sure|not\s++certain"
    r"|do\s++not\s++know|don['’]t\s++know|no\s++idea)\b",
    re.IGNORECASE,
)
AND_YET = re.compile(r"\b(?:but|however|guess|still|though|probably|likely)\b", re.IGNORECASE)


def read_letter(reply: object, *, mode: Mode = "strict", options: Sequence[str] | None = None) -> str | None:
    """The letter that a reply chooses: "A" to "D", or None when no decision was found. Never fails on any reply.

    Args:
        reply: the text; of a list the first element counts, anything else holds no letter.
        mode: `reference` or `strict`.
        options: the option texts without letters. With them, `strict` also accepts a reply that is one of them.

    Raises:
        InputError: an unknown mode.
    """
    check_mode(mode)
    if mode == "reference":
        return reference_letter(plain_text(reply)) or None
    text = folded(without_reasoning(plain_text(reply)))
    structured = structured_answer(text)
    return strict_letter(text if structured is None else structured, options or ())


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise InputError("replies are read in one of two modes", got=mode, fix=f"use one of {', '.join(MODES)}")


def reference_letter(text: str) -> str:
    """The released `extract_characters_regex`: a letter, or an empty string."""
    text = text.strip()
    for phrase in DELETED_PHRASES:
        text = text.replace(phrase, "")
    found = re.search("[ABCD]", text)
    return found[0] if found else ""


def reference_letter_outcome(reply: object) -> str:
    """What the released script makes of a response: a letter, nothing, or the error that ends the whole file."""
    if isinstance(reply, list):
        if not reply:
            return "ERROR:IndexError"
        reply = reply[0]
    return reference_letter(reply) if isinstance(reply, str) else "ERROR:AttributeError"


def strict_letter(text: str, options: Sequence[str]) -> str | None:
    """The rules in their order: boxed, marked, alone, one of the options, the only isolated letter."""
    boxes = BOXED.findall(text)
    if boxes:
        content = LATEX_WORD.sub(" ", boxes[-1])
        whole = WHOLE.match(content)
        return whole[1].upper() if whole else option_letter(content, options)
    listed = places_in_a_list(text)
    found, letter = marked_letter(text, listed)
    if found:
        return letter
    if whole := WHOLE.match(text):
        return None if combined(text, whole.end(1)) else whole[1].upper()
    return option_letter(text, options) or only_letter(text, listed)


def places_in_a_list(text: str) -> frozenset[int]:
    """Where the letters of a repeated list of options stand (`A. 4  B. 5  C. 6`): they decide nothing."""
    places: list[int] = []
    run: list[int] = []
    for label in LISTED.finditer(text):
        if label[1] != LETTERS[len(run) % 4] or len(run) == 4:
            places += run if len(run) >= 3 else []
            run = []
        if label[1] == LETTERS[len(run)]:
            run.append(label.start(1))
    return frozenset(places + (run if len(run) >= 3 else []))


def marked_letter(text: str, listed: frozenset[int]) -> tuple[bool, str | None]:
    """Whether "the answer is", "option:" and the like mark a decision, and the letter; several letters are none."""
    decisions = [
        None if SECOND_LETTER.match(text, mark.end(1)) else mark[1].upper()
        for mark in STRONG.finditer(text)
        if counts(text, mark, listed)
    ]
    if decisions:
        return True, decisions[-1]
    named = {
        None if SECOND_LETTER.match(text, mark.end(1)) else mark[1].upper()
        for mark in WEAK.finditer(text)
        if counts(text, mark, listed) and not NEGATION.search(text, max(0, mark.start() - 40), mark.start())
    }
    return bool(named), named.pop() if len(named) == 1 else None


def counts(text: str, mark: re.Match[str], listed: frozenset[int]) -> bool:
    place = mark.start(1)
    if place in listed or REJECTED.match(text, mark.end(1)):
        return False
    return isolated(text, place) and not (mark[1] == "a" and is_article(text, place))


def only_letter(text: str, listed: frozenset[int]) -> str | None:
    """The letter that is the only isolated one of a reply, when nothing near it takes it back."""
    letters = set()
    for found in LETTER.finditer(text):
        place = found.start()
        if place in listed or not isolated(text, place) or (found[0] in "aA" and is_article(text, place)):
            continue
        if NEGATION.search(text, max(0, place - 40), place) or REJECTED.match(text, place + 1):
            return None
        letters.add(found[0].upper())
    if len(letters) != 1:
        return None
    doubts = list(DOUBT.finditer(text))
    if doubts and not AND_YET.search(text, doubts[-1].end()):
        return None
    return letters.pop()


def isolated(text: str, place: int) -> bool:
    """Whether a letter stands for itself: no part of "I'd", "C-shaped", "B.C.", "°C", "C++" or a combined character."""
    before, after = text[max(0, place - 2) : place], text[place + 1 : place + 3]
    if combined(text, place + 1) or before.endswith("°") or after[:1] in {"+", "#"}:
        return False
    glue = "'’-."
    if len(after) == 2 and after[0] in glue and after[1].isalnum():
        return False
    return not (len(before) == 2 and before[1] in glue and before[0].isalnum())


def combined(text: str, place: int) -> bool:
    """Whether the character before `place` carries a combining mark, as the C of a decomposed Ç does."""
    return unicodedata.category(text[place]).startswith("M") if place < len(text) else False


def is_article(text: str, place: int) -> bool:
    """Whether an "a" or "A" opens a phrase ("A cat") instead of naming an option ("A is right")."""
    word = NEXT_WORD.match(text, place + 1)
    if word is None:
        return False
    return (word[1].islower() or text[place] == "a") and word[1] not in AFTER_A_LABEL


def option_letter(text: str, options: Sequence[str]) -> str | None:
    """The letter of the one option whose text the whole reply is, up to case, white space and closing marks."""
    said = bare(text)
    hits = [letter for letter, option in zip(LETTERS, options, strict=False) if bare(folded(option)) == said]
    return hits[0] if said and len(hits) == 1 else None


def bare(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:!?\"'`*_“”‘’")
