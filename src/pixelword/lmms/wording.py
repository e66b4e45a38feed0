"""The dataset's own question, out of the text in which a task of lmms-eval asks it.

A task writes something before the question, after it, and around its options:

    OPENING \\n\\n QUESTION HEADER \\n A. x \\n B. y \\n\\n ENDING           or      ... HEADER A: x, B: y \\n ENDING

`own_words` takes openings and endings off; `with_lettered_lines` takes the header off and puts each option on a line
of its own, as `A. x`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

OPENINGS = (
    "First please perform reasoning, and think step by step to provide best answer to the following question:",
    "Answer the question using a single word or phrase.",
)
"""What tasks of lmms-eval write before a question."""

ENDINGS = (
    "Answer with the option's letter from the given choices directly",
    "Answer with the option letter from the given choices directly",
    "Answer with the option letter only",
    "Answer with a single word or phrase",
    "Answer with a single word or phrase. If the answer is not in the document, answer 'Not answerable'",
    "Answer the question directly",
    "Answer the question using a short phrase",
    "Answer the question using a single word or phrase",
    "Answer the question using a single word, phrase, or number",
    "Answer the question with a single word or phrase",
    "Answer the question with a single word",
    "Answer using only the short answer, without explanation",
    "Please answer directly with a single word or number",
    "Please answer directly with only the letter of the correct option and nothing else",
    "Please answer the question using a single word or phrase",
    "When the provided information is insufficient, respond with 'Unanswerable'",
    "请直接使用所提供的选项字母作为答案回答",
)
"""What they write after it, without the full stop, which not all of them have."""

ENDED = re.compile(rf"\s*(?:{'|'.join(map(re.escape, sorted(ENDINGS, key=len, reverse=True)))})[.。]?\s*$")
HEADER = re.compile(r"(?:(?<!\S)(?:There are several options|Options|Choices):|有如下几个选项[:：])\s*$")
MARK = re.compile(r"^[ \t]*(?:\((?P<bracketed>[A-Z])\)|(?P<bare>[A-Z])[.):])(?P<gap>[ \t]*)", re.MULTILINE)
ONE_LINE = re.compile(r"(?<!\S)(?:Options|Choices):\s*A[.):]")


def own_words(text: str, doc: object = None) -> str:
    """The question and its options, without what lmms-eval wrote before and after them.

    Args:
        text: of a task.
        doc: the row of the dataset, if it is at hand. MMBench's hint and question share a line in lmms-eval,
            ScienceQA's hint has a name, and TextVQA's questions lose their capitals: the row tells what was there.
    """
    text = text.strip()
    opening = next((opening for opening in OPENINGS if text.startswith(opening)), "")
    text = text.removeprefix(opening).lstrip()
    while (ended := ENDED.search(text)) is not None:
        text = text[: ended.start()]
    return as_in_the_row(text, doc) if isinstance(doc, Mapping) else text


def as_in_the_row(text: str, doc: Mapping[str, Any]) -> str:
    """The hint on a line of its own, and the question with its own capitals."""
    question, hint = doc.get("question"), doc.get("hint")
    if not isinstance(question, str) or not question:
        return text
    for before in (f"{hint} ", f"Context: {hint}\n") if isinstance(hint, str) and hint else ():
        if text.startswith(before + question):
            return f"{hint}\n{text.removeprefix(before)}"
    capital = question.capitalize()
    return question + text.removeprefix(capital) if text.startswith(capital) else text


def lists_options(text: str) -> bool:
    """Whether it lists options A, B, ...: each at the start of a line, or all behind `Options:`."""
    return bool(marks_of(text)) or options_of_one_line(text) is not None


def with_lettered_lines(text: str) -> str:
    """The text with each option on a line `X. option` and no header before them; one without options as it is."""
    if marks := marks_of(text):
        stem = text[: marks[0].start()]
        ends = [mark.start() for mark in marks[1:]] + [len(text)]
        options = [text[mark.end() : end].rstrip() for mark, end in zip(marks, ends, strict=True)]
    elif (split := options_of_one_line(text)) is not None:
        stem, options = split
    else:
        return text
    question = HEADER.sub("", stem.rstrip()).rstrip()
    lines = [f"{letter}. {option}".rstrip() for letter, option in zip(string.ascii_uppercase, options, strict=False)]
    return "\n".join([question, *lines] if question else lines)


def marks_of(text: str) -> list[re.Match[str]]:
    """The marks of options at the starts of lines: of the runs A, B, ... of at least two, the last."""
    found: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for mark in MARK.finditer(text):
        letter = mark["bracketed"] or mark["bare"]
        if letter == "A":
            run = [mark]
        elif run and letter == string.ascii_uppercase[len(run)]:
            run.append(mark)
            found = run
    return found


def options_of_one_line(text: str) -> tuple[str, list[str]] | None:
    """Question and options of `QUESTION Options: A: x, B: y, C: z`; None without at least two options."""
    heads = list(ONE_LINE.finditer(text))
    if not heads:
        return None
    rest, options = text[heads[-1].end() :], []
    for letter in string.ascii_uppercase[1:]:
        mark = re.search(rf",\s*{letter}[.):]", rest)
        if mark is None:
            break
        options.append(rest[: mark.start()].strip())
        rest = rest[mark.end() :]
    return (text[: heads[-1].start()], [*options, rest.strip()]) if options else None
