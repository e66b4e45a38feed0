"""RealUnify-mini in the demo: the model learns how its choices are asked, then answers held-out ones.

Only the half in which generation would help understanding (GEU): the model cannot draw, so it answers `direct`, and
`oracle_intermediate` with the true intermediate picture in place of one of its own; `stepwise` is not supported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pixelword.demo.exam import Picture, ask
from pixelword.demo.rows import ASSISTANT, USER, WorldRows
from pixelword.demo.vocabulary import CONTEXT, IMAGE_END, IMAGE_START, TURN_END
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.processing import NeoProcessor
from pixelword.realunify import Protocol, Track, score_choice
from pixelword.realunify.mini import MiniChoice, mini_choice
from pixelword.realunify.taxonomy import categories_of
from pixelword.train import Branch, Row

SIDE = 64
TRAINING_SEEDS = 1000
"""Items to learn from have seeds from here on; those to answer have the seed of the run, below it."""

PROTOCOLS = (Protocol.DIRECT, Protocol.ORACLE_INTERMEDIATE)
LETTER_TOKENS = 3
"""Longest reply; the end of the turn counts."""


@dataclass
class MiniRows(Dataset[Row]):
    """Rows by number: three choices of RealUnify-mini, each with its own or its intermediate picture, then one of the
    world's rows, so that what was learnt before is not forgotten.

    Args:
        world: the world's rows.
        tokenizer: of the words.
        image_tokens: placeholders of one picture.
        seed: of the run, below `TRAINING_SEEDS`.
        length: how many rows there are.
    """

    world: WorldRows
    tokenizer: PreTrainedTokenizerBase
    image_tokens: int
    seed: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Row:
        block, place = divmod(number, 4)
        if place == 3:
            return self.world[block]
        categories = categories_of(Track.GEU)
        turn, which = divmod(3 * block + place, len(categories))
        item = mini_choice(categories[which], turn, seed=TRAINING_SEEDS + self.seed, side=SIDE)
        protocol = PROTOCOLS[(turn // 4 + turn) % 2]  # letters come in blocks of four, so both forms get each letter
        trunk = self._branch(f"{USER} {IMAGE_START}{CONTEXT * self.image_tokens}{IMAGE_END}", "")
        answer = self._branch(f"{item.evaluation_prompt} {ASSISTANT}", f"{item.answer} {TURN_END}")
        return Row(trunk, (answer,), shown(item, protocol))

    def _branch(self, prompt: str, answer: str) -> Branch:
        head, tail = (
            tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
            for text in (prompt, answer)
        )
        return Branch(head + tail, (False,) * len(head) + (True,) * len(tail))


@dataclass(frozen=True)
class Choice:
    """One held-out item, what the model said, and how it ended."""

    category: str
    number: int
    protocol: str
    prompt: str
    truth: str
    said: str
    status: str
    right: bool


def shown(item: MiniChoice, protocol: Protocol) -> Picture:
    """The picture that the last step of a protocol looks at, [SIDE, SIDE, 3] of 8-bit values."""
    picture = item.puzzle.picture if protocol == Protocol.DIRECT else item.puzzle.gold
    return np.asarray(picture.convert("RGB"))


def answer_choices(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    per_category: int,
    seed: int,
    *,
    batch: int = 64,
    advance: Callable[[int], None] = lambda answered: None,
) -> list[dict[str, Any]]:
    """Answer `per_category` items of each GEU category under both protocols; one dictionary per reply, as `Choice`."""
    asked = [
        (item, number, protocol)
        for protocol in PROTOCOLS
        for category in categories_of(Track.GEU)
        for number in range(per_category)
        for item in [mini_choice(category, number, seed=seed, side=SIDE)]
    ]
    replies: list[Choice] = []
    for start in range(0, len(asked), batch):
        some = asked[start : start + batch]
        pictures = [shown(item, protocol) for item, _, protocol in some]
        said = ask(model, processor, pictures, [item.evaluation_prompt for item, _, _ in some], LETTER_TOKENS)
        replies += [judged(*one, words) for one, words in zip(some, said, strict=True)]
        advance(len(some))
    return [asdict(reply) for reply in replies]


def judged(item: MiniChoice, number: int, protocol: Protocol, said: str) -> Choice:
    """Read the letter as the benchmark does; a reply without one has no letter and is not right."""
    reading = score_choice(said, item.answer, options=item.options)
    return Choice(
        item.id.category,
        number,
        protocol.value,
        item.evaluation_prompt,
        item.answer,
        said,
        reading.status.value,
        bool(reading.right),
    )


def of(replies: Sequence[Choice], protocol: Protocol, category: str = "") -> list[bool]:
    """Right or not, of one protocol and category; of all categories where none is named."""
    return [r.right for r in replies if r.protocol == protocol and category in ("", r.category)]
