"""Cards beside what the demo and `pixelword tiny` save: what it is, of what it is made, how good it is, its limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelword.demo.exam import CAPTION, Reply
from pixelword.report import Proportion
from pixelword.train.stages import write_whole
from pixelword.world import KINDS, NEW_PAIRS

MODEL = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: image-text-to-text
---
# A tiny model that sees a drawn world

Written by `pixelword demo` {version}, seed {seed}{form}. A NEO for teaching and tests: one decoder reads pixels and
words. It is the model after stage 3, before the lessons in jigsaws and RealUnify-mini, which have weights of their own.

## Data

{scenes} scenes of one to four coloured shapes on 64 x 64 pixels, drawn by program, each seen once, with questions or
captions; before that, text about {texts} such scenes. No photographs and no texts of people are in it.

## Held-out scenes

Greedy decoding; 95 % Wilson intervals. With a blank picture, only the words can help.

| | right | of |
| --- | --- | --- |
{table}

Pairs never trained: {pairs}.

## Limits

It knows some two hundred words; all others are one and the same to it. It names shapes on any picture, also where there
are none. It is of use for looking at how such models work, and for nothing else.

## Use

    pixelword chat FOLDER --image picture.png --question "count objects ?"

Licence: Apache-2.0, as the program that drew its data and trained it.
"""

TINY = """\
---
license: apache-2.0
language: en
configs:
  - {{config_name: captions, data_files: captions.jsonl}}
  - {{config_name: questions, data_files: questions.jsonl}}
  - {{config_name: text, data_files: [{{split: train, path: text.jsonl}}, {{split: test, path: held-out.jsonl}}]}}
---
# A small drawn world

Written by `pixelword tiny`, seed {seed}: one to four coloured shapes on 64 x 64 pixels, for trying `recipes/tiny`. The
same seed gives the same pictures and texts.

| | |
| --- | --- |
| `captions.jsonl` | {pictures} pictures, each with what is on it |
| `questions.jsonl` | the same pictures, each with {questions} questions and their answers |
| `text.jsonl` | {texts} texts about other scenes of the same kind, to train on |
| `held-out.jsonl` | {held_out} texts about scenes that are in no other file |
| `language-model/` | a small Qwen3 that has read `text.jsonl` for {steps} steps of 16 texts, with its tokenizer |

## Limits

Closed words, plain shapes, no noise: what is learnt here says that a program works, and little about real pictures. No
picture and no text to train on shows these pairs: {pairs}.

Licence: Apache-2.0, as the program that drew it. Nothing in it was made by anybody else.
"""


def write_model_card(out: Path) -> None:
    """Write `model/README.md` into the folder of a run, from its plan and its exams."""
    run = read(out / "run.json")
    exam, blind, new = (
        [Reply(**reply) for reply in read(out / name)] for name in ("exam.json", "blind.json", "new-pairs.json")
    )
    rows = [("all questions", counted(exam, KINDS))]
    rows += [(f"about {kind}", counted(exam, [kind])) for kind in KINDS]
    rows += [("whole captions", counted(exam, [CAPTION]))]
    rows += [("all questions, blank picture", counted(blind, KINDS)), ("pairs never trained", counted(new, KINDS))]
    scenes = {
        name: run["plan"][name]["stage"]["steps"] * run["plan"][name]["stage"]["rows"]
        for name in ("words", "see", "join", "answer")
    }
    card = MODEL.format(
        version=run["versions"]["pixelword"],
        seed=run["seed"],
        form=", the fast form, which promises no accuracy" if run["fast"] else "",
        scenes=scenes["see"] + scenes["join"] + scenes["answer"],
        texts=scenes["words"],
        table="\n".join(f"| {what} | {share} | {share.asked} |" for what, share in rows),
        pairs=pairs(),
    )
    write_whole(out / "model" / "README.md", card)


def tiny_card(*, pictures: int, questions: int, texts: int, held_out: int, steps: int, seed: int) -> str:
    """The card of the folder that `pixelword.demo.tiny.write_tiny` writes, from what it was told."""
    return TINY.format(
        pictures=pictures,
        questions=questions,
        texts=texts,
        held_out=held_out,
        steps=steps,
        seed=seed,
        pairs=pairs(),
    )


def counted(replies: Sequence[Reply], kinds: Sequence[str]) -> Proportion:
    right = [reply.right for reply in replies if reply.kind in kinds]
    return Proportion(sum(right), len(right))


def pairs() -> str:
    return ", ".join(sorted(" ".join(pair) for pair in NEW_PAIRS))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
