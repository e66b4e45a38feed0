"""The small world as files: what `recipes/tiny` train on, and the language model that they start from.

A folder holds
    language-model/   a Qwen3 of 1.8 million parameters that has read, with its tokenizer
    pictures/         64 x 64 drawn scenes
    captions.jsonl    a picture and what is on it
    questions.jsonl   a picture and several questions about it
    text.jsonl        text alone: what is on a scene, and questions about it with their answers
    held-out.jsonl    the same kind of text about scenes that are in no other file
    README.md         its card
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pixelword.convert import check_new
from pixelword.demo.card import tiny_card
from pixelword.demo.language import WordCollator, small_qwen3
from pixelword.demo.vocabulary import word_tokenizer
from pixelword.train import EVERYTHING, Branch, BranchCollator, Machine, Row, Stage, run_stage
from pixelword.world import Example, examples

logger = logging.getLogger(__name__)

QUESTIONS = 6
LENGTH = 96
"""Tokens of a row while the language model reads; the longest text has fewer."""


def write_tiny(
    folder: Path, *, pictures: int = 2000, texts: int = 6000, held_out: int = 400, steps: int = 200, seed: int = 0
) -> None:
    """Write the folder, whole or not at all; takes about a minute, most of it for the language model.

    Args:
        folder: a new or empty one.
        pictures: scenes with a picture.
        texts: texts to train on.
        held_out: texts to measure on.
        steps: of the language model's training, 16 texts each; 0 leaves its weights as drawn.
        seed: of scenes and weights.

    Raises:
        InputError: the folder exists and is not empty.
    """
    check_new(folder)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "pictures").mkdir(parents=True)
    seen = list(islice(examples("train", seed, questions=QUESTIONS), pictures))
    for number, example in enumerate(seen):
        Image.fromarray(example.picture).save(partial / "pictures" / f"{number}.png")
    write_rows(partial / "captions.jsonl", (captioned(number, example) for number, example in enumerate(seen)))
    write_rows(partial / "questions.jsonl", (questioned(number, example) for number, example in enumerate(seen)))
    read = [text_of(example) for example in islice(examples("train", seed + 1, questions=QUESTIONS), texts)]
    write_rows(partial / "text.jsonl", ({"text": text} for text in read))
    kept = (text_of(example) for example in islice(examples("test", seed, questions=QUESTIONS), held_out))
    write_rows(partial / "held-out.jsonl", ({"text": text} for text in kept))
    write_language_model(partial / "language-model", read, steps, seed)
    card = tiny_card(pictures=pictures, questions=QUESTIONS, texts=texts, held_out=held_out, steps=steps, seed=seed)
    (partial / "README.md").write_text(card, encoding="utf-8")
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def text_of(example: Example) -> str:
    asked = " ".join(f"{question.text} {question.answer}" for question in example.questions)
    return f"{example.caption} . {asked}"


def captioned(number: int, example: Example) -> dict[str, Any]:
    turns = [("human", f"<image>\n{example.request}"), ("gpt", example.caption)]
    return row_of(number, turns)


def questioned(number: int, example: Example) -> dict[str, Any]:
    turns = [turn for question in example.questions for turn in (("human", question.text), ("gpt", question.answer))]
    turns[0] = ("human", f"<image>\n{turns[0][1]}")
    return row_of(number, turns)


def row_of(number: int, turns: list[tuple[str, str]]) -> dict[str, Any]:
    said = [{"from": speaker, "value": text} for speaker, text in turns]
    return {"id": number, "image": f"pictures/{number}.png", "conversations": said}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass
class Texts(Dataset[Row]):
    """Texts again and again, each closed by the token that ends a text."""

    ids: list[tuple[int, ...]]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Row:
        ids = self.ids[number % len(self.ids)]
        return Row(Branch(ids, (False, *(True,) * (len(ids) - 1))), ())


def write_language_model(folder: Path, texts: list[str], steps: int, seed: int) -> None:
    """Let a small Qwen3 read, and save it with its tokenizer."""
    tokenizer: PreTrainedTokenizerBase = word_tokenizer()
    model = small_qwen3(tokenizer, seed)
    if steps:
        stage = Stage(name="words", learns=EVERYTHING, steps=steps, length=LENGTH, schedule="cosine", save_every=steps)
        end = tokenizer.pad_token_id
        ids = [(*tokenizer(text, add_special_tokens=False)["input_ids"], end) for text in texts]
        collate = WordCollator(BranchCollator(LENGTH, end), tokenizer)
        plain = Machine(bfloat16=False, compiled=False, why="the language model of the small world")
        with tempfile.TemporaryDirectory() as scratch:
            data = Texts(ids, stage.steps * stage.rows)
            run_stage(stage, model, data, collate, Path(scratch) / "words", machine=plain, seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
