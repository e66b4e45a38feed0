"""Examples of the world as rows of training data, in exactly the chat format that the processor writes.

seeing   trunk: <|im_start|>user <img> ... </img>        branches: request or question, answer
words    trunk: <|im_start|>user red circle top-left .   branches: the same
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pixelword.demo.vocabulary import CONTEXT, IMAGE_END, IMAGE_START, TURN_END, TURN_START
from pixelword.train import Branch, Row
from pixelword.world import BLOCK, DESCRIBE, LIST, Example, caption, examples

USER = f"{TURN_START} user"
ASSISTANT = f"{TURN_END} {TURN_START} assistant"


@dataclass(frozen=True)
class RowWriter:
    """Writes rows.

    Args:
        tokenizer: of the words.
        image_tokens: placeholders of one picture; 0 writes the words of the picture in its place.
        captions: captions of each example, one in reading order and the others in random order.
        questions: whether the questions of the example follow.
    """

    tokenizer: PreTrainedTokenizerBase
    image_tokens: int
    captions: int
    questions: bool = True

    def __call__(self, example: Example) -> Row:
        random = Random(repr(example.scene))
        if self.image_tokens:
            trunk = self._branch(f"{USER} {IMAGE_START}{CONTEXT * self.image_tokens}{IMAGE_END}", "")
        else:
            trunk = self._words(USER, f"{caption(example.scene, DESCRIBE, random)} .")
        pairs = []
        for number in range(self.captions):
            request = DESCRIBE if number else LIST
            pairs.append((request, caption(example.scene, request, random)))
        if self.questions:
            pairs += [(question.text, question.answer) for question in example.questions]
        write = self._branch if self.image_tokens else self._words
        branches = tuple(write(f"{request} {ASSISTANT}", f"{answer} {TURN_END}") for request, answer in pairs)
        return Row(trunk, branches, example.picture if self.image_tokens else None)

    def _branch(self, prompt: str, answer: str) -> Branch:
        """The answer is supervised, the prompt is not."""
        head, tail = self._ids(prompt), self._ids(answer)
        return Branch(head + tail, (False,) * len(head) + (True,) * len(tail))

    def _words(self, prompt: str, answer: str) -> Branch:
        """A language model learns every word but those of the template."""
        template = set(self._ids(f"{USER} {ASSISTANT}"))
        head, tail = self._ids(prompt), self._ids(answer)
        return Branch(head + tail, (*(number not in template for number in head), *(True for _ in tail)))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()


@dataclass
class WorldRows(Dataset[Row]):
    """Rows by number, drawn when asked for.

    Args:
        split, seed, questions, weights: as in `pixelword.world.examples`.
        write: an example to a row.
        length: how many there are.
    """

    split: str
    seed: int
    write: Callable[[Example], Row]
    length: int
    questions: int = 8
    weights: Mapping[str, float] | None = None
    _block: tuple[int, list[Example]] = field(default=(-1, []), repr=False)

    def __len__(self) -> int:
        return self.length

    def example(self, number: int) -> Example:
        """The example behind a row."""
        wanted = number // BLOCK
        if self._block[0] != wanted:
            drawn = examples(
                self.split, self.seed, questions=self.questions, weights=self.weights, start=wanted * BLOCK
            )
            self._block = (wanted, list(islice(drawn, BLOCK)))
        return self._block[1][number % BLOCK]

    def __getitem__(self, number: int) -> Row:
        return self.write(self.example(number))
