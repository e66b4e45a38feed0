"""What stands inside a sentence: plain text, code, emphasis, links within the page, and measured numbers.

Text is always text. There is no mark-up to write or to smuggle in: `("it said ", Code(answer))` shows the answer
letter by letter whatever it contains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import ClassVar

from pixelword.errors import InputError
from pixelword.report.statistics import Estimate, Proportion


@dataclass(frozen=True)
class Code:
    """Something a machine reads or wrote."""

    text: str
    tag: ClassVar[str] = "code"


@dataclass(frozen=True)
class Strong:
    """Words that must not be missed."""

    text: str
    tag: ClassVar[str] = "strong"


@dataclass(frozen=True)
class Emphasis:
    """Words with a stress."""

    text: str
    tag: ClassVar[str] = "em"


@dataclass(frozen=True)
class Link:
    """Words that lead to a section of the same page, named by its anchor. A page links nowhere else."""

    text: str
    anchor: str


Inline = str | Code | Strong | Emphasis | Link | Estimate | Proportion
Words = Inline | tuple[Inline, ...]


def inlines(words: Words) -> tuple[Inline, ...]:
    """The parts of a sentence, also of one that is a single part."""
    return words if isinstance(words, tuple) else (words,)


def sentence(form: str, /, **values: Inline) -> tuple[Inline, ...]:
    """A sentence with measured values in it: `sentence("Right in {seen}, asked as {form}.", seen=..., form=Code(...))`.

    Only the form is read for braces; a value is never, whatever it contains.

    Raises:
        InputError: a name in the form without a value, or the reverse.
    """
    try:
        parts = [(text, name) for text, name, _, _ in Formatter().parse(form)]
    except ValueError as error:
        raise InputError("the braces of a sentence come in pairs", got=form, fix="write {{ for a brace") from error
    names = {name for _, name in parts if name is not None}
    if names != set(values):
        raise InputError(
            "a sentence has one value for each name in braces",
            got=f"names {', '.join(sorted(names))}; values {', '.join(sorted(values))}",
            fix="pass every name in braces once, and no other",
        )
    filled: list[Inline] = []
    for text, name in parts:
        filled += [text] if text else []
        filled += [values[name]] if name is not None else []
    return tuple(filled)


def plain(words: Words) -> str:
    """A sentence as text alone, for titles and alternative texts."""
    return "".join(
        part.text if isinstance(part, Code | Strong | Emphasis | Link) else str(part) for part in inlines(words)
    )


# Lone surrogates cannot be written as UTF-8; most control characters may stand neither in HTML nor in SVG.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with every character that a page cannot hold shown as the replacement character."""
    return UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Printable text for a label of a plot: a line break or tab there would be drawn over its neighbours."""
    return printable(" ".join(text.split()))


def anchor_of(title: str) -> str:
    """`What it sees` becomes `what-it-sees`; a title without a Latin letter or digit becomes `section`."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower())) or "section"
