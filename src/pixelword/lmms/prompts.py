"""How NEO asks the questions of a benchmark: the ending of the prompt, and the size of the pictures.

The released evaluation has one rule for each kind of dataset. The tasks of lmms-eval word their questions in their own
way; that is taken off (`pixelword.lmms.wording`) and NEO's put in its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pixelword.lmms.wording import lists_options, own_words, with_lettered_lines

Picture = TypeVar("Picture")

MIN_PIXELS, MAX_PIXELS = 1_310_720, 4_194_304
"""Area of a picture in the released evaluation. For OCRBench pictures may be as small as `SMALL_PIXELS`."""
SMALL_PIXELS = 65_536
MOST_TOKENS = 4096
"""Longest answer in the released evaluation."""

LETTER = "Answer with the option's letter from the given choices directly."
DIRECT = "Answer the question directly."
SHORT = "Answer the question using a single word or phrase."
CHOOSE = "Please answer yes or no."
YES_NO = f"{CHOOSE} {SHORT}"
DETAIL = "Answer this question in detail."

CHINESE = re.compile(r"[\u4e00-\u9fff]")
IN_CHINESE = {LETTER: "请直接回答选项字母。", DIRECT: "请直接回答问题。"}
"""What follows a question with options, where it is in Chinese."""

THINKING = {"reasoning", "reason", "thinking", "cot"}
"""In the name of a task that asks for thoughts, for which NEO has no rule."""


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

MANNERS: dict[str, Manner | None] = {
    "mmmu": replace(CHOICE, doubled=True),
    "mmmu_pro": CHOICE,
    **dict.fromkeys(("mmbench", "mmstar", "seedbench", "ai2d", "realworldqa", "scienceqa", "blink"), CHOICE),
    **dict.fromkeys(("mme_sci", "amber_g"), None),
    **dict.fromkeys(("mme", "hallusion_bench", "amber"), Manner(YES_NO, joint=" ")),
    "pope": PLAIN,
    **dict.fromkeys(("textvqa", "docvqa", "chartqa", "infovqa", "ocrvqa", "gqa", "dude", "slidevqa"), WORD),
    **dict.fromkeys(("vqav2", "okvqa", "ok_vqa", "vizwiz_vqa", "stvqa", "simplevqa", "websrc"), WORD),
    **dict.fromkeys(("multidocvqa", "mp_docvqa", "mmlongbench_doc", "chartqa100", "infographicvqa"), WORD),
    "ocrbench": replace(WORD, min_pixels=SMALL_PIXELS),
    **dict.fromkeys(("llava_in_the_wild", "llava_bench_coco", "wildvision"), Manner(DETAIL)),
    **dict.fromkeys(("mathvista", "mathvision", "mathverse", "vcr_wiki", "mtvqa", "mmvet", "crpe", "mia_bench"), PLAIN),
    **dict.fromkeys(("dynamath", "wemath", "logicvista"), PLAIN),
}
"""By the start of a task's name, up to its end or an underscore. None: it only begins like another's."""


def manner_of(task: str) -> Manner | None:
    """How NEO asks a task of lmms-eval: of the names that begin it, the longest; None where NEO has no rule for it."""
    words = task.lower().split("_")
    if THINKING & set(words):
        return None
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((MANNERS[name] for name in names if name in MANNERS), None)


def neo_text(question: str, manner: Manner, doc: object = None) -> str:
    """The question as NEO asks it.

    Args:
        question: the text of lmms-eval, with its own wording.
        doc: the row of the dataset, if it is at hand; see `own_words`.
    """
    text = own_words(question, doc)
    ending = manner.ending
    if manner.options:
        text = with_lettered_lines(text)
        ending = ending if lists_options(text) else DIRECT
    if CHINESE.search(text):
        ending = IN_CHINESE.get(ending, ending)
    if ending == YES_NO:
        # MME's own questions end so; lmms-eval takes it off.
        text = text.removesuffix(CHOOSE).rstrip()
    return f"{text}{manner.joint}{ending}" if ending else text


def worded(parts: Sequence[str | Picture], manner: Manner | None, doc: object = None) -> list[str | Picture]:
    """The texts and pictures of a question as NEO asks it: options on lines of their own, its ending on the last text.

    Args:
        parts: in order, of lmms-eval.
        manner: None leaves them as they are.
        doc: the row of the dataset, if it is at hand.
    """
    places = [place for place, part in enumerate(parts) if isinstance(part, str)]
    if manner is None or not places:
        return list(parts)
    texts = [part for part in parts if isinstance(part, str)]
    if manner.options:
        parts = [with_lettered_lines(part) if isinstance(part, str) else part for part in parts]
        # Pictures may stand inside the options, so all texts together tell whether there are any.
        if not lists_options("\n".join(texts)):
            manner = replace(manner, ending=DIRECT)
        if not lists_options(texts[-1]):
            manner = replace(manner, options=False)
    last = places[-1]
    return [*parts[:last], neo_text(texts[-1], manner, doc), *parts[last + 1 :]]
