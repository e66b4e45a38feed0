"""How NEO asks the questions of a benchmark: the ending of the prompt, and the size of the pictures.

The released evaluation has one rule for each kind of dataset. The tasks of lmms-eval end their questions in their own
way; that ending is taken off and NEO's put in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

MIN_PIXELS, MAX_PIXELS = 1_310_720, 4_194_304
"""Area of a picture in the released evaluation. For OCRBench pictures may be as small as `SMALL_PIXELS`."""
SMALL_PIXELS = 65_536
MOST_TOKENS = 4096
"""Longest answer in the released evaluation."""

LETTER = "Answer with the option's letter from the given choices directly."
DIRECT = "Answer the question directly."
SHORT = "Answer the question using a single word or phrase."
YES_NO = f"Please answer yes or no. {SHORT}"
DETAIL = "Answer this question in detail."

ENDINGS = (
    LETTER,
    SHORT,
    DIRECT,
    "Answer the question with a single word or phrase.",
    "Answer the question with a single word.",
    "Answer the question using a single word, phrase, or number.",
    "Answer with the option letter only.",
    "Please answer directly with only the letter of the correct option and nothing else.",
    "Please answer the question using a single word or phrase.",
)
"""How tasks of lmms-eval end their questions."""

OPTION = re.compile(r"^\s*\(?A[.):]", re.MULTILINE)
BRACKETED = re.compile(r"^(\s*)\(([A-Z])\)", re.MULTILINE)


@dataclass(frozen=True)
class Manner:
    """How a task is asked.

    Args:
        ending: what follows the question; empty for none.
        joint: between the two.
        options: the question lists options; where it lists none, the ending is `DIRECT`.
        min_pixels: smallest area of a picture.
        doubled: the first picture is enlarged twofold before it is sized.
    """

    ending: str
    joint: str = "\n"
    options: bool = False
    min_pixels: int = MIN_PIXELS
    doubled: bool = False


CHOICE = Manner(LETTER, options=True)
WORD = Manner(SHORT)
PLAIN = Manner("")

MANNERS: dict[str, Manner] = {
    "mmmu": replace(CHOICE, doubled=True),
    "mmmu_pro": CHOICE,
    **dict.fromkeys(("mmbench", "mmstar", "seedbench", "ai2d", "realworldqa", "scienceqa", "blink"), CHOICE),
    "mme": Manner(SHORT, joint=" "),
    **dict.fromkeys(("hallusion_bench", "amber"), Manner(YES_NO, joint=" ")),
    "pope": PLAIN,
    **dict.fromkeys(("textvqa", "docvqa", "chartqa", "infovqa", "ocrvqa", "gqa", "dude", "slidevqa"), WORD),
    "ocrbench": replace(WORD, min_pixels=SMALL_PIXELS),
    **dict.fromkeys(("llava_in_the_wild", "llava_bench_coco", "wildvision"), Manner(DETAIL)),
    **dict.fromkeys(("mathvista", "mathvision", "mathverse", "vcr_wiki", "mtvqa", "mmvet", "crpe", "mia_bench"), PLAIN),
    **dict.fromkeys(("dynamath", "wemath", "logicvista"), PLAIN),
}
"""By the start of a task's name, up to its end or an underscore."""


def manner_of(task: str) -> Manner | None:
    """How NEO asks a task of lmms-eval: of the names that begin it, the longest; None where NEO has no rule for it."""
    words = task.lower().split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((MANNERS[name] for name in names if name in MANNERS), None)


def neo_text(question: str, manner: Manner) -> str:
    """The question as NEO asks it.

    Args:
        question: the text of lmms-eval, with its own ending.
    """
    text = without_ending(question)
    if manner.options:
        text = BRACKETED.sub(r"\1\2.", text)
    ending = DIRECT if manner.options and not lists_options(text) else manner.ending
    return f"{text}{manner.joint}{ending}" if ending else text


def lists_options(text: str) -> bool:
    """Whether a line starts with option A."""
    return OPTION.search(text) is not None


def without_ending(question: str) -> str:
    """The question without what lmms-eval ends it with."""
    text = question.rstrip()
    known = next((ending for ending in ENDINGS if text.endswith(ending)), None)
    return text if known is None else text.removesuffix(known).rstrip()
