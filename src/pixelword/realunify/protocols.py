"""How an item is asked under each protocol, and the status in which it ends. Knows no library of models.

Whoever asks hands in an `Asker`. Each function returns a finished `ItemRecord`; a failure of a stage ends the item with
its status, and nothing here turns one into an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from typing import Protocol as Shape

from pixelword.errors import DataError, ImageError
from pixelword.realunify.backends.calls import Operation
from pixelword.realunify.dataset import ChoiceItem, DrawingItem, Question
from pixelword.realunify.judge import decide
from pixelword.realunify.letters import Mode
from pixelword.realunify.paths import inside
from pixelword.realunify.records import Call, ItemRecord, Outcome, Polled, Role, StoredPicture
from pixelword.realunify.reply_text import without_reasoning
from pixelword.realunify.results import score_choice
from pixelword.realunify.taxonomy import Protocol, Status

Item = DrawingItem | ChoiceItem

BOTH_IMAGES = "The first image is the original. The second image was made from it to help with the question."
"""Our announcement of the second image; others have wordings of their own, so results compare within this project."""

QUOTES = MappingProxyType({'"': '"', "'": "'", "“": "”", "«": "»", "`": "`"})

LAST_STAGE = MappingProxyType(
    {
        Outcome.REFUSED: Status.REFUSED,
        Outcome.TIMEOUT: Status.TIMEOUT,
        Outcome.FAILED: Status.STAGE2_FAILED,
        Outcome.EMPTY: Status.IMAGE_MISSING,
        Outcome.BAD_PICTURE: Status.IMAGE_UNREADABLE,
        Outcome.NOT_SUPPORTED: Status.NOT_SUPPORTED,
    }
)
FIRST_STAGE = MappingProxyType({**LAST_STAGE, Outcome.FAILED: Status.STAGE1_FAILED, Outcome.EMPTY: Status.STAGE1_EMPTY})


@dataclass(frozen=True)
class Shown:
    """A picture that a model is shown: its file, and what the file holds."""

    path: Path
    picture: StoredPicture


class Asker(Shape):
    """Asks models, and keeps what they answer."""

    async def ask(
        self, role: Role, operation: Operation, prompt: str, pictures: tuple[Shown, ...] = (), *, sample: int = 0
    ) -> Call: ...

    async def poll(self, picture: Shown, questions: tuple[Question, ...], *, sample: int = 0) -> tuple[Polled, ...]: ...

    def show(self, path: Path) -> Shown:
        """A picture of the data, ready to be shown. Raises ImageError."""

    def stored(self, picture: StoredPicture) -> Shown:
        """A picture of the store."""


@dataclass(frozen=True)
class Rules:
    """What the paper leaves open.

    Args:
        folder: of the data, where true intermediates lie.
        mode: how letters are read.
        prompt_limit: characters that a generator takes; a longer rewrite is cut and flagged.
    """

    folder: Path
    mode: Mode = "strict"
    prompt_limit: int = 32_000


@dataclass
class Course:
    """An item on its way: the calls so far and what was found."""

    calls: list[Call] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    def end(self, status: Status, note: str = "", **more: Any) -> dict[str, Any]:
        return {"status": status, "note": note, "calls": tuple(self.calls), **self.found, **more}


async def run_item(item: Item, protocol: Protocol, asker: Asker, rules: Rules, sample: int = 0) -> ItemRecord:
    """Ask one item and return its record."""
    about: dict[str, Any] = {
        "item": str(item.id),
        "category": item.id.category,
        "track": str(item.id.track),
        "protocol": protocol,
        "sample": sample,
        "subtask": item.subtask,
    }
    if isinstance(item, DrawingItem):
        about["prompt"] = item.prompt or ""
        ended = await draw(item, protocol, asker, rules, sample)
    else:
        about |= {"prompt": item.evaluation_prompt, "options": item.options, "answer": item.answer}
        ended = await choose(item, protocol, asker, rules, sample)
    return ItemRecord(**about, **ended)


async def draw(item: DrawingItem, protocol: Protocol, asker: Asker, rules: Rules, sample: int) -> dict[str, Any]:
    """A UEG item: rewrite the prompt (or not), draw, and let the judge look."""
    course = Course()
    prompt, operation = item.prompt, Operation.GENERATE
    if protocol == Protocol.ORACLE_INTERMEDIATE:
        prompt = course.found["rewritten"] = item.extra["gold_prompt"]
    elif protocol in {Protocol.STEPWISE, Protocol.ORACLE_PAIR}:
        if not item.new_prompt:
            return course.end(Status.STAGE1_FAILED, "the data has no rewrite request for this item")
        first = await asker.ask("understander", Operation.UNDERSTAND, item.new_prompt, sample=sample)
        course.calls.append(first)
        if first.outcome != Outcome.REPLY:
            return course.end(FIRST_STAGE[first.outcome], first.error)
        prompt = rewritten(first.text or "")
        if not prompt:
            return course.end(Status.STAGE1_EMPTY, "the rewrite is empty")
        course.found |= {"rewritten": prompt[: rules.prompt_limit], "truncated": len(prompt) > rules.prompt_limit}
        prompt = prompt[: rules.prompt_limit]
    elif protocol == Protocol.INTERLEAVED:
        operation = Operation.INTERLEAVE
    elif protocol == Protocol.STEPWISE_BOTH_IMAGES:
        return course.end(Status.NOT_SUPPORTED, "UEG has no edited image")
    if not prompt:
        return course.end(Status.STAGE2_FAILED, "the data has no prompt for this item")
    drawn = await asker.ask("generator", operation, prompt, sample=sample)
    course.calls.append(drawn)
    if drawn.outcome != Outcome.REPLY:
        return course.end(LAST_STAGE[drawn.outcome], drawn.error)
    if drawn.picture is None:
        return course.end(Status.IMAGE_MISSING, "the model answered with words")
    course.found["picture"] = drawn.picture
    return await judged(course, asker, drawn.picture, item.questions, sample)


async def judged(
    course: Course, asker: Asker, picture: StoredPicture, questions: tuple[Question, ...], sample: int
) -> dict[str, Any]:
    """The end of a UEG item whose picture is there."""
    polled = await asker.poll(asker.stored(picture), questions, sample=sample)
    status, right = decide(polled)
    return course.end(status, right=right, polled=polled)


async def choose(item: ChoiceItem, protocol: Protocol, asker: Asker, rules: Rules, sample: int) -> dict[str, Any]:
    """A GEU item: edit the image (or not), then answer from it."""
    course = Course()
    if not item.image.is_file():
        return course.end(Status.IMAGE_MISSING, "the data lacks this item's image")
    try:
        source = asker.show(item.image)
    except ImageError as error:
        return course.end(Status.IMAGE_UNREADABLE, error.what)
    course.found["source"] = source.picture
    shown: tuple[Shown, ...] = (source,)
    prompt, operation = item.evaluation_prompt, Operation.UNDERSTAND
    if protocol in {Protocol.STEPWISE, Protocol.ORACLE_PAIR, Protocol.STEPWISE_BOTH_IMAGES}:
        if not item.edit_prompt:
            return course.end(Status.STAGE1_FAILED, "the data has no edit request for this item")
        edited = await asker.ask("generator", Operation.EDIT, item.edit_prompt, (source,), sample=sample)
        course.calls.append(edited)
        if edited.outcome != Outcome.REPLY:
            return course.end(FIRST_STAGE[edited.outcome], edited.error)
        if edited.picture is None:
            return course.end(Status.STAGE1_EMPTY, "the model answered with words")
        course.found["intermediate"] = edited.picture
        shown = (asker.stored(edited.picture),)
        if protocol == Protocol.STEPWISE_BOTH_IMAGES:
            shown, prompt = (source, *shown), f"{BOTH_IMAGES}\n{prompt}"
    elif protocol == Protocol.ORACLE_INTERMEDIATE:
        try:
            gold = asker.show(inside(rules.folder, str(item.extra["gold_image"])))
        except (DataError, ImageError) as error:
            return course.end(Status.STAGE1_FAILED, error.what)
        course.found["intermediate"] = gold.picture
        shown = (gold,)
    elif protocol == Protocol.INTERLEAVED:
        operation = Operation.INTERLEAVE
    answered = await asker.ask("understander", operation, prompt, shown, sample=sample)
    course.calls.append(answered)
    if protocol == Protocol.INTERLEAVED:
        course.found["intermediate"] = answered.picture
    if answered.outcome == Outcome.EMPTY:
        return course.end(Status.ANSWER_UNPARSED, "the reply is empty")
    if answered.outcome != Outcome.REPLY:
        return course.end(LAST_STAGE[answered.outcome], answered.error)
    reading = score_choice(answered.text, item.answer, mode=rules.mode, options=item.options)
    return course.end(reading.status, right=reading.right, read=reading.read[0])


def has_gold(item: Item) -> bool:
    """Whether the data holds a true intermediate for this item."""
    return bool(item.extra.get("gold_prompt" if isinstance(item, DrawingItem) else "gold_image"))


def rewritten(reply: str) -> str:
    """The rewritten prompt inside a reply: no reasoning, no white space around it, not in quotes."""
    text = without_reasoning(reply).strip()
    if len(text) > 1 and QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def rescored(record: ItemRecord, mode: Mode, scoring: str) -> Mapping[str, Any]:
    """A GEU record read again in another mode, as the fields that change."""
    last = record.calls[-1] if record.calls else None
    if record.answer is None or last is None or last.outcome != Outcome.REPLY or record.reply is None:
        return {"scoring": scoring}
    if record.status not in {Status.OK, Status.ANSWER_UNPARSED}:
        return {"scoring": scoring}
    reading = score_choice(record.reply, record.answer, mode=mode, options=record.options)
    return {"scoring": scoring, "status": reading.status, "right": reading.right, "read": reading.read[0]}
