"""Whose turn a token is in, as far as the tokenizer's chat template tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from pixelword.train.doctor.subject import Batch

QUESTION, ANSWER = "Quick question", "Answer"


@dataclass(frozen=True)
class TurnHeads:
    """The ids that open a user's turn and an answer."""

    user: tuple[int, ...]
    assistant: tuple[int, ...]


def turn_heads(tokenizer: Any) -> TurnHeads | None:
    """The heads that the template writes; None without a template, or with one that marks turns in another way."""
    words = getattr(tokenizer, "tokenizer", tokenizer)  # a processor holds one
    template = getattr(tokenizer, "chat_template", None) or getattr(words, "chat_template", None)
    if not isinstance(template, str):
        return None
    asked = [{"role": "user", "content": QUESTION}]
    answered = [*asked, {"role": "assistant", "content": ANSWER}]

    def written(messages: list[dict[str, str]], *, open_answer: bool = False) -> str:
        text: str = words.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=open_answer
        )
        return text

    try:
        question, opened = written(asked), written(asked, open_answer=True)
        answer, again = written(answered), written([*answered, *asked])
    except (TemplateError, TypeError, ValueError):  # a template with demands of its own
        return None
    if not (opened.startswith(question) and again.startswith(answer)):
        return None
    # The white space behind a head may melt with the words that follow.
    heads = again[len(answer) :].partition(QUESTION)[0].rstrip(), opened[len(question) :].rstrip()
    user, assistant = (tuple(words(head, add_special_tokens=False)["input_ids"]) for head in heads)
    return TurnHeads(user, assistant) if user and assistant else None


def users_words(batch: Batch, heads: TurnHeads | None) -> Tensor:
    """(B, N) whether a token stands behind the head of a user's turn, up to the next head or the end of its sample."""
    ids_BN = batch["input_ids"]
    users_BN = torch.zeros_like(ids_BN, dtype=torch.bool)
    if heads is None:
        return users_BN
    samples = batch["sample_ids"].tolist() if "sample_ids" in batch else [[0] * ids_BN.shape[1]] * len(ids_BN)
    for row, ids in enumerate(ids_BN.tolist()):
        users, at = False, 0
        while at < len(ids):
            if at and samples[row][at] != samples[row][at - 1]:
                users = False
            head = next((head for head in (heads.user, heads.assistant) if tuple(ids[at : at + len(head)]) == head), ())
            if head:
                users = head == heads.user
                at += len(head)
                continue
            users_BN[row, at] = users
            at += 1
    return users_BN
