"""What a strict reader does to a reply before it looks for a decision. Every step takes time linear in the reply."""

from __future__ import annotations

import json
import re
import unicodedata

REASONING = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|scratchpad)>", re.IGNORECASE)

ANSWER_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)

ANSWER_KEY = re.compile(r'(?<!\\)"(?:final_)?answer"\s*+:\s*+(?:"([^"\\]*+)"|([^\s",}\]]++))', re.IGNORECASE)
"""A field of a JSON object that may be cut off or surrounded by words. A quoted key inside a string does not match."""

NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def plain_text(reply: object) -> str:
    """The text of a reply: a string as it is, of a list its first element, of anything else nothing."""
    if isinstance(reply, list | tuple):
        reply = reply[0] if reply else None
    return reply if isinstance(reply, str) else ""


def without_reasoning(text: str) -> str:
    """A reply without what the model thought aloud between `<think>` and `</think>`.

    A closing mark without an opening one ends reasoning that began with the reply; an opening mark without a closing
    one means that the reply was cut off inside it, so nothing after it counts.
    """
    kept: list[str] = []
    depth, start = 0, 0
    for mark in REASONING.finditer(text):
        if not mark[1]:
            if depth == 0:
                kept.append(text[start : mark.start()])
            depth += 1
        elif depth:
            depth -= 1
            start = mark.end()
        else:
            kept.clear()
            start = mark.end()
    return "".join(kept) if depth else "".join(kept) + text[start:]


def folded(text: str) -> str:
    """Compatibility forms as plain letters: full-width, circled and mathematical ones. Look-alikes stay what they are.

    Character by character: folding a whole string also sorts its combining marks, which takes quadratic time on a
    reply that is made of them.
    """
    return NOT_ASCII.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def structured_answer(text: str) -> str | None:
    """What stands in the `answer` field of a JSON object or between `<answer>` tags; None where there is neither.

    The last one wins, and a whole JSON object wins over a field in running text.
    """
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        try:
            found = json.loads(text[first : last + 1])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "answer" in found:
            value = found["answer"]
            return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else ""
    tagged = tagged_answer(text)
    if tagged is not None:
        return tagged
    fields = [quoted or bare for quoted, bare in ANSWER_KEY.findall(text)]
    return fields[-1] if fields else None


def tagged_answer(text: str) -> str | None:
    """The text between the last pair of `<answer>` tags; a missing closing tag means up to the end."""
    inside, start = None, None
    for tag in ANSWER_TAG.finditer(text):
        if not tag[1]:
            start = tag.end()
        elif start is not None:
            inside, start = text[start : tag.start()], None
    return text[start:] if start is not None else inside
