"""Conversations as training tokens: ids and labels, segment by segment.

| segment | text | label |
|---|---|---|
| a turn that is not learned | head and body | none |
| the head of a learned turn | `<|im_start|>assistant\n` | none |
| its body | `{answer}<|im_end|>\n` | the tokens themselves, `<|im_end|>` and the newline included |

Every segment is tokenised on its own, without tokens of the tokenizer's, as the model later writes its answer behind
a finished prompt. All assistant turns are learned. Image tokens are never targets.

Source: the released training code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelword.errors import PromptError, nearest
from pixelword.model.chat import Turn, check_counts, expand, read_turns
from pixelword.model.special_tokens import IMAGE_TAG, SpecialTokens

IGNORED = -100

SPEAKERS = {"system": "system", "human": "user", "gpt": "assistant"}


@dataclass(frozen=True)
class LabelledText:
    """One training sample.

    Attributes:
        input_ids: token ids.
        labels: the same ids where the model learns to write them, -100 elsewhere; not shifted.
    """

    input_ids: list[int]
    labels: list[int]


def encode_turns(
    turns: Sequence[Turn], tokenizer: Any, image_tokens: Sequence[int] = (), name: str = "sample"
) -> LabelledText:
    """Tokenise a conversation with its labels.

    Args:
        turns: from `read_turns` or `read_record`.
        tokenizer: a transformers tokenizer with NEO's tokens.
        image_tokens: tokens of each picture, in the order of the tags.
        name: how errors call the sample.

    Raises:
        PromptError: image tags and pictures differ in number.
    """
    check_counts(sum(len(turn.images) for turn in turns), len(image_tokens), name)
    waiting = list(image_tokens)
    segments: list[tuple[str, bool]] = []
    for turn in turns:
        here, waiting = waiting[: len(turn.images)], waiting[len(turn.images) :]
        head, body = turn.head, expand(turn.body, here, name)
        segments += [(head, False), (body, True)] if turn.learn else [(head + body, False)]
    input_ids: list[int] = []
    labels: list[int] = []
    for text, learn in segments:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        input_ids += ids
        labels += ids if learn else [IGNORED] * len(ids)
    return LabelledText(input_ids, labels)


def read_record(
    conversations: Sequence[Mapping[str, Any]], images: int, special: SpecialTokens, name: str = "sample"
) -> list[Turn]:
    """The conversation of a training record: {"from": "system" | "human" | "gpt", "value": ...}, ...

    A record with one picture whose first turn is a human's and names no picture gets the tag `<image>` on a line
    before it, as in the reference. Unlike there, unknown speakers are an error instead of being skipped.

    Args:
        conversations: the record's list.
        images: number of the record's pictures.
        special: which literals are never obeyed.
        name: how errors call the sample.

    Raises:
        PromptError: an unknown speaker, or a rejected special token.
    """
    messages: list[dict[str, Any]] = []
    for item in conversations:
        speaker, value = item.get("from"), item.get("value")
        if speaker not in SPEAKERS or not isinstance(value, str):
            raise PromptError(
                f"{name}: a turn needs a known speaker and text",
                got=f"from {speaker!r}, value of type {type(value).__name__}",
                fix=nearest(str(speaker), SPEAKERS),
            )
        messages.append({"role": SPEAKERS[speaker], "content": value, "is_input": item.get("is_input", False)})
    if images == 1 and messages and messages[0]["role"] == "user" and IMAGE_TAG not in messages[0]["content"]:
        messages[0]["content"] = f"{IMAGE_TAG}\n{messages[0]['content']}"
    return read_turns(messages, special, name)
