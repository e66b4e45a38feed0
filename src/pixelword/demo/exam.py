"""The exam: questions about pictures that training never showed, answered by greedy decoding through the real path.

picture, question --processor, chat template--> ids, patches --generate--> words --compare--> right or wrong
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from pixelword.model import NeoForConditionalGeneration
from pixelword.model.processing import NeoProcessor
from pixelword.world import LIST, Example, blank_picture, caption, caption_is_true, examples

Picture = NDArray[np.uint8]
CAPTION = "caption"
ANSWER_TOKENS, CAPTION_TOKENS = 3, 20
"""Longest reply to a question and to the request for a caption; the end of the turn counts."""


@dataclass(frozen=True)
class Reply:
    """One question, what the model said, and whether it was right.

    `scene` counts the examples of the split from 0; `kind` is one of the world's kinds, or `caption`.
    """

    split: str
    scene: int
    kind: str
    form: str
    question: str
    truth: str
    said: str
    right: bool


@dataclass(frozen=True)
class Prompt:
    """A question about an example, before it is answered."""

    scene: int
    example: Example
    kind: str
    form: str
    text: str
    truth: str

    def judged(self, split: str, said: str) -> Reply:
        """The same with the model's words: a caption may order the objects as it likes, an answer must be the word."""
        right = caption_is_true(self.example.scene, said) if self.kind == CAPTION else said == self.truth
        return Reply(split, self.scene, self.kind, self.form, self.text, self.truth, said, right)


def prompts_of(split: str, seed: int, scenes: int, captions: int) -> list[Prompt]:
    """Every question about the first `scenes` examples, then requests for captions of the first `captions`."""
    drawn = list(enumerate(islice(examples(split, seed), scenes)))
    asked = [
        Prompt(number, example, question.kind, question.form, question.text, question.answer)
        for number, example in drawn
        for question in example.questions
    ]
    described = [
        Prompt(number, example, CAPTION, "", LIST, caption(example.scene, LIST, Random(0)))
        for number, example in drawn[:captions]
    ]
    return asked + described


def sit_exam(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    prompts: Sequence[Prompt],
    split: str,
    *,
    blind: bool = False,
    batch: int = 64,
    advance: Callable[[int], None] = lambda answered: None,
) -> list[Reply]:
    """Answer prompts.

    Args:
        split: which split they are from.
        blind: show a blank picture instead of the right one.
        batch: prompts at a time.
        advance: told how many prompts were answered since it was last told.
    """
    replies = []
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        pictures = [blank_picture() if blind else prompt.example.picture for prompt in some]
        longest = CAPTION_TOKENS if any(prompt.kind == CAPTION for prompt in some) else ANSWER_TOKENS
        said = ask(model, processor, pictures, [prompt.text for prompt in some], longest)
        replies += [prompt.judged(split, words) for prompt, words in zip(some, said, strict=True)]
        advance(len(some))
    return replies


@torch.inference_mode()
def ask(
    model: NeoForConditionalGeneration,
    processor: NeoProcessor,
    pictures: Sequence[Picture],
    questions: Sequence[str],
    longest: int = ANSWER_TOKENS,
) -> list[str]:
    """Greedy answers to one question about each picture, at most `longest` tokens each."""
    conversations = [
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}] for question in questions
    ]
    inputs = processor.apply_chat_template(
        conversations,
        images=[[picture] for picture in pictures],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
    )
    with torch.compiler.set_stance("force_eager"):  # every length would be compiled anew
        produced = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
    return [processor.decode_answer(row) for row in produced[:, inputs["input_ids"].shape[1] :]]
