"""Why an item is wrong, as far as a program can see: the error classes of a diagnosis with their automatic signs.

A sign is a hint for a reader who then looks at the item. It reads the judge's failed questions by their words, the
statuses, the rewritten prompt, and the edited picture. Some classes have no sign that a program could see.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from enum import StrEnum
from types import MappingProxyType

from pixelword.realunify.edits import EditSigns
from pixelword.realunify.records import ItemRecord
from pixelword.realunify.taxonomy import Status

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COLORS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "violet", "pink", "brown", "black", "white"),
    *("grey", "gray", "gold", "golden", "silver"),
)


class ErrorClass(StrEnum):
    """The first eight are those of the paper's supplement C; the others are what can go wrong on the way."""

    ENTANGLED = "attribute entanglement"
    QUANTITY = "wrong quantity"
    ATTRIBUTE = "low attribute fidelity"
    SPATIAL = "wrong spatial relation"
    DETAIL = "fine-grained detail"
    PHYSICS = "physical-law violation"
    TEXT = "text distortion"
    OBJECT = "object misclassification"
    STAGE_ONE_WRONG = "stage one wrong"
    STAGE_ONE_VAGUE = "stage one right, picture wrong"
    DRIFT = "prompt drift"
    REFUSAL = "refusal"
    EDIT_STRONG = "edit too strong"
    EDIT_WEAK = "edit too weak"
    EDIT_OFF = "edit off target"
    FORMAT = "answer format"
    JUDGE = "judge error"
    LABEL = "label error"


SIGNS = MappingProxyType(
    {
        ErrorClass.ENTANGLED: "none; look at the pictures",
        ErrorClass.QUANTITY: "a failed question with a number, or with exactly, only, how many",
        ErrorClass.ATTRIBUTE: "a failed question about a colour, shape, size or material",
        ErrorClass.SPATIAL: "a failed question with left, above, between and the like",
        ErrorClass.DETAIL: "none; look at the pictures",
        ErrorClass.PHYSICS: "any other failed question in commonsense and science",
        ErrorClass.TEXT: "a failed question about text, letters or labels",
        ErrorClass.OBJECT: "any other failed question",
        ErrorClass.STAGE_ONE_WRONG: "the check of the rewritten prompt, or of the edited picture, failed",
        ErrorClass.STAGE_ONE_VAGUE: "that check passed and the item is wrong all the same",
        ErrorClass.DRIFT: "the rewritten prompt lacks a number, colour or noun that a question expects",
        ErrorClass.REFUSAL: "status refused",
        ErrorClass.EDIT_STRONG: "the edited picture does not correlate with its input",
        ErrorClass.EDIT_WEAK: "the edited picture is its input",
        ErrorClass.EDIT_OFF: "most pixels that had to change are no nearer to the true picture",
        ErrorClass.FORMAT: "no letter could be read",
        ErrorClass.JUDGE: "judges, or votes of one judge, differ on a question",
        ErrorClass.LABEL: "the item is on the block list",
    }
)

PLACES = (
    *("left", "right", "above", "below", "behind", "between", "under", "beneath", "beside", "next to", "in front"),
    *("on top", "top", "bottom", "middle", "center", "centre", "corner", "third", "higher", "lower", "further"),
    *("inside", "outside", "adjacent", "leftmost", "rightmost", "order"),
)
LOOKS = ("colou?rs?", "colou?red", "shaped?", "size", "large", "small", "tall", "long", "short", "round", "material")
WRITING = ("text", "words?", "letters?", "written", "writing", "reads?", "labell?ed", "spelled", "caption")
COUNTS = ("exactly", "only", "at least", "how many", "number of", r"\d+")


def any_of(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


WORDED = (
    (ErrorClass.TEXT, any_of(*WRITING)),
    (ErrorClass.SPATIAL, any_of(*PLACES)),
    (ErrorClass.QUANTITY, any_of(*COUNTS, *NUMBERS)),
    (ErrorClass.ATTRIBUTE, any_of(*COLORS, *LOOKS, "wooden", "metal", "glass")),
)
"""In this order: a question about the position of three red cups is one about position."""

PHYSICAL = frozenset({"commonsense_reasoning", "scientific_reasoning"})

STOP = frozenset(
    (
        *("is", "are", "was", "were", "there", "the", "a", "an", "of", "in", "on", "at", "to", "any", "this", "that"),
        *("these", "those", "it", "its", "with", "and", "or", "not", "no", "than", "does", "do", "image", "picture"),
        *(
            "photo",
            "shown",
            "show",
            "visible",
            "exactly",
            "whole",
            "each",
            "every",
            "all",
            "have",
            "has",
            "lie",
            "part",
        ),
        *("be", "can", "you", "see", "one", "shape", "shapes", "seen", "appear", "depicted"),
    )
)
"""Words of a question that say nothing about what is to be drawn."""


def question_class(question: str, category: str) -> ErrorClass:
    """The class of a failed question, by its words."""
    for kind, words in WORDED:
        if words.search(question):
            return kind
    return ErrorClass.PHYSICS if category in PHYSICAL else ErrorClass.OBJECT


def missing_words(rewritten: str, questions: Sequence[str]) -> set[str]:
    """Words and numbers of questions that expect a yes which a rewritten prompt does not hold."""
    held = {stem(word) for word in words_of(rewritten)}
    wanted = {stem(word) for question in questions for word in words_of(question) if word not in STOP}
    return wanted - held


def words_of(text: str) -> list[str]:
    """Lower-case words; a number up to twelve as its word."""
    small = {str(number): word for number, word in enumerate(NUMBERS)}
    return [small.get(word, word) for word in re.findall(r"[a-z]+|\d+", text.lower())]


def stem(word: str) -> str:
    """Without the end of a plural."""
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word.rstrip("s") if len(word) > 3 else word


def error_classes(
    record: ItemRecord, signs: EditSigns | None = None, blocked: Collection[object] = ()
) -> tuple[ErrorClass, ...]:
    """The classes whose signs an item shows; none for one that is right."""
    found: set[ErrorClass] = set()
    if record.id in blocked:
        found.add(ErrorClass.LABEL)
    if record.status == Status.REFUSED:
        found.add(ErrorClass.REFUSAL)
    if record.status in {Status.ANSWER_UNPARSED, Status.JUDGE_UNPARSED}:
        found.add(ErrorClass.FORMAT)
    if any(len({vote.verdict for vote in polled.votes}) > 1 for polled in record.polled) and not record.right:
        found.add(ErrorClass.JUDGE)
    if record.right is False or record.status == Status.ANSWER_UNPARSED:
        found |= wrong_answer_classes(record, signs)
    return tuple(kind for kind in ErrorClass if kind in found)


def wrong_answer_classes(record: ItemRecord, signs: EditSigns | None) -> set[ErrorClass]:
    """The signs of an item that was answered, and wrongly."""
    found = {
        question_class(polled.question, record.category)
        for polled in record.polled
        if not polled.passed and polled.verdict is not None
    }
    if record.stage_one_right is not None:
        found.add(ErrorClass.STAGE_ONE_VAGUE if record.stage_one_right else ErrorClass.STAGE_ONE_WRONG)
    if record.rewritten is not None and missing_words(
        record.rewritten, [polled.question for polled in record.polled if polled.expected == "yes"]
    ):
        found.add(ErrorClass.DRIFT)
    if signs is not None:
        seen = (
            (ErrorClass.EDIT_WEAK, signs.unchanged),
            (ErrorClass.EDIT_STRONG, signs.destroyed),
            (ErrorClass.EDIT_OFF, signs.off_target),
        )
        found |= {kind for kind, is_seen in seen if is_seen}
    return found
