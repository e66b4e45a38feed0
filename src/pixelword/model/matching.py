"""Which picture belongs to which prompt: every way of writing them down, as one list per sample. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pixelword.errors import ImageError, PromptError
from pixelword.model.chat import Turn
from pixelword.model.special_tokens import IMAGE_TAG


def per_sample(images: Any) -> tuple[list[list[Any]], bool]:
    """Pictures as one list per sample, and whether they came that way.

    A flat list is one sample. None stands for a sample without pictures, or in a flat list for nothing.

    Raises:
        ImageError: lists and single pictures side by side, or lists inside a sample.
    """
    if images is None:
        return [[]], False
    if not isinstance(images, (list, tuple)):
        return [[images]], False
    lists = [isinstance(item, (list, tuple)) for item in images]
    if not any(lists):
        return [[item for item in images if item is not None]], False
    samples: list[list[Any]] = []
    for at, (item, is_list) in enumerate(zip(images, lists, strict=True)):
        if not is_list and item is not None:
            raise ImageError(
                f"sample {at}: images must all be lists, one per sample, or none",
                got=type(item).__name__,
                fix="write [[first, second], [third]]",
            )
        sample = [image for image in item or () if image is not None]
        if any(isinstance(image, (list, tuple)) for image in sample):
            raise ImageError(f"sample {at}: a list inside a list of images", fix="write [[first, second], [third]]")
        samples.append(sample)
    return samples, True


def read_prompts(text: str | Sequence[str]) -> list[str]:
    """Prompts as a list.

    Raises:
        PromptError: there is none, or one is no string.
    """
    prompts = [text] if isinstance(text, str) or not isinstance(text, Iterable) else list(text)
    if not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        kinds = ", ".join(sorted({type(prompt).__name__ for prompt in prompts})) or "an empty list"
        raise PromptError("text must be a string or a list of strings", got=kinds, fix="pass at least one prompt")
    return prompts


def deal(images: Any, prompts: list[str]) -> list[list[Any]]:
    """The pictures of each prompt.

    Raises:
        PromptError: not one list per prompt, or a flat list that the prompts' tags do not use up.
    """
    if images is None:
        return [[] for _ in prompts]
    samples, nested = per_sample(images)
    if nested and len(samples) != len(prompts):
        raise PromptError(
            "images need one list per prompt",
            got=f"{len(samples)} lists for {len(prompts)} prompts",
            fix="write [] for a prompt without images",
        )
    if nested or len(prompts) == 1:
        return samples
    flat, tags = samples[0], [prompt.count(IMAGE_TAG) for prompt in prompts]
    if sum(tags) != len(flat):
        short = next((at for at in range(len(tags)) if sum(tags[: at + 1]) > len(flat)), len(tags) - 1)
        raise PromptError(
            f"sample {short}: image tags and images differ in number",
            got=f"{sum(tags)} tags in {len(prompts)} prompts {tags}, {len(flat)} images",
            fix=f"write one {IMAGE_TAG} per picture, or pass a list of images per prompt to see which one differs",
        )
    dealt, start = [], 0
    for count in tags:
        dealt.append(flat[start : start + count])
        start += count
    return dealt


def read_conversations(conversation: Any) -> tuple[list[Any], bool]:
    """Conversations as a list, and whether they came as one.

    Raises:
        PromptError: it is no list of messages.
    """
    if isinstance(conversation, (list, tuple)) and conversation:
        batched = not isinstance(conversation[0], Mapping)
        return (list(conversation), True) if batched else ([conversation], False)
    raise PromptError(
        "a conversation is a list of messages", got=repr(conversation)[:80], fix='write [{"role": ..., "content": ...}]'
    )


def fill(turns: list[list[Turn]], images: Any) -> list[list[Any]]:
    """The pictures of each conversation: its own, and those given for its empty places; the caller counts them.

    Raises:
        PromptError: not one list per conversation.
    """
    given = [[] for _ in turns] if images is None else per_sample(images)[0]
    if len(given) != len(turns):
        raise PromptError(
            "images need one list per conversation",
            got=f"{len(given)} for {len(turns)} conversations",
            fix="write [] for one without",
        )
    filled = []
    for one, waiting in zip(turns, map(iter, given), strict=True):
        places = [image for turn in one for image in turn.images]
        own = [next(waiting, None) if place is None else place for place in places]
        filled.append([image for image in (*own, *waiting) if image is not None])
    return filled
