"""Reading yes or no from a judge's reply, as the released scorer does and as a careful reader would.

`reference` is the released rule: a reply with "yes" anywhere is a yes, else one with the letters n-o anywhere is a no,
so "unknown" and "not sure" are a no. `strict` wants a decision and says None without one.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from pixelword.realunify.letters import Mode, check_mode
from pixelword.realunify.reply_text import folded, plain_text, structured_answer, without_reasoning

WORDS = {"yes": "yes", "yep": "yes", "yeah": "yes", "true": "yes", "no": "no", "nope": "no", "false": "no"}

WHOLE_REPLIES = MappingProxyType(
    WORDS
    | {"nah": "no", "是": "yes", "是的": "yes", "否": "no", "不是": "no", "はい": "yes", "いいえ": "no"}
    | {"oui": "yes", "non": "no", "ja": "yes", "nein": "no", "sí": "yes", "da": "yes", "да": "yes", "нет": "no"}
)
"""What a reply that is nothing else means."""

WORD = "(" + "|".join(WORDS) + ")"
MARKED = re.compile(
    r"\b(?:answer|verdict)[*_`\"]{0,3}\s*+(?:is\b|:|=)[\s*_`\"'(:]*+" + WORD + r"(?!\w)(?!\s*+(?:/|or\b|and\b))", re.I
)
FIRST = re.compile(r"[\W_]*+" + WORD + r"(?![\w])", re.I)
LAST = re.compile(r"(?:[.!?:;\n]|\A)[\s*_`\"'(]*+(?:so[,\s]++)?" + WORD + r"[\s*_`\"').!]*+\Z", re.I)
BOTH = re.compile(r"[\s*_`\"']*+(?:,\s*+)?(?:/|\bor\b|\band\b)[\s*_`\"']*+(?:yes|no)\b", re.I)
AFTER_NO = re.compile(
    r"[*_`\"')]*+\s*+(?:[.,;:!?\n—–-]|\Z|(?:the|it|this|that|there|they|he|she|because|since|as|in|only|both)\b)", re.I
)
TAIL = 200
"""Characters at the end in which a closing verdict is looked for."""


def read_verdict(reply: object, *, mode: Mode = "strict") -> str | None:
    """What a judge's reply decides: "yes", "no", or None when it decides nothing. Never fails on any reply.

    Raises:
        InputError: an unknown mode.
    """
    check_mode(mode)
    if mode == "reference":
        outcome = reference_verdict_outcome(reply)
        return outcome if outcome in {"yes", "no"} else None
    text = folded(without_reasoning(plain_text(reply)))
    structured = structured_answer(text)
    return strict_verdict(text if structured is None else structured)


def reference_verdict_outcome(reply: object) -> str:
    """What the released script makes of a reply.

    Returns:
        `yes` or `no`; `no_match` for a text with neither, which fails the question; `item_dropped` when fifteen
        requests all brought this empty reply, after which the item is lost.
    """
    text = plain_text(reply).lower()
    if not text:
        return "item_dropped"
    if "yes" in text:
        return "yes"
    return "no" if "no" in text else "no_match"


def strict_verdict(text: str) -> str | None:
    """The rules in their order: nothing but a verdict, a marked one, the first word, the last sentence."""
    whole = " ".join(text.casefold().split()).strip(" .,;:!?\"'`*_()[]{}。！“”")
    if whole in WHOLE_REPLIES:
        return WHOLE_REPLIES[whole]
    marked = MARKED.findall(text)
    if marked:
        return WORDS[marked[-1].lower()]
    first, last = first_verdict(text), LAST.search(text[-TAIL:])
    if last is None:
        return first
    closing = WORDS[last[1].lower()]
    return closing if first in {None, closing} else None


def first_verdict(text: str) -> str | None:
    """The verdict a reply opens with. "Yes or no" is none, and "no" before a noun ("No birds are visible") is none."""
    found = FIRST.match(text)
    if found is None or BOTH.match(text, found.end()):
        return None
    verdict = WORDS[found[1].lower()]
    return verdict if verdict == "yes" or AFTER_NO.match(text, found.end()) else None
