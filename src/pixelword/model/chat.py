"""Conversations as text: the template neo1_0 and everything that turns messages into a prompt. No torch.

    [<|im_start|>system\n{system}<|im_end|>\n]        left out when empty
    <|im_start|>user\n{question}<|im_end|>\n
    <|im_start|>assistant\n{answer}<|im_end|>\n ...

A prompt for an answer ends with `<|im_start|>assistant\n`. Pictures are written `<image>` until they are expanded to
`<img>`, one `<IMG_CONTEXT>` per token, `</img>`.

A message is {"role": "system" | "user" | "assistant", "content": ...}. Content is a string, in which a user writes
`<image>` where a picture stands, or a list of parts: {"type": "text", "text": ...}, {"type": "image"} with the
picture under "image", "path", "url" or "base64" or without one, and {"type": "image_url", "image_url": {"url": ...}}.
In parts `<image>` is ordinary text. Pictures that come before any text get a line each, as in training; pictures
inside the text get no line break.

Source: the released code's template neo1_0; no empty thinking block is inserted, unlike in Qwen3's own template.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pixelword.errors import PromptError, nearest
from pixelword.model.special_tokens import (
    CONTEXT,
    IMAGE_END,
    IMAGE_START,
    IMAGE_TAG,
    MARKUP,
    TURN_END,
    TURN_START,
    SpecialTokens,
    broken_literal,
)

Message: TypeAlias = Mapping[str, Any]

ROLES = ("system", "user", "assistant")
PICTURE_KEYS = ("image", "path", "url", "base64")


@dataclass(frozen=True)
class Turn:
    """One message, read and made safe.

    Attributes:
        role: "system", "user" or "assistant".
        text: the content; the only special literals left are image tags and obeyed markup.
        images: one entry per image tag, in order; None where the picture comes separately.
        learn: whether training learns this turn (assistant turns, unless the message says "is_input": true).
    """

    role: str
    text: str
    images: tuple[Any, ...] = ()
    learn: bool = False

    @property
    def head(self) -> str:
        return f"{TURN_START}{self.role}\n"

    @property
    def body(self) -> str:
        return f"{self.text}{TURN_END}\n"


def read_turns(messages: Any, special: SpecialTokens, name: str = "conversation") -> list[Turn]:
    """Read and clean messages; empty system messages are left out.

    Args:
        messages: see the module's description.
        special: which literals are never obeyed.
        name: how errors call the conversation.

    Raises:
        PromptError: an unknown role or part, a picture outside a user's message, or a rejected special token.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        raise PromptError(
            f"{name} must be a list of messages",
            got=type(messages).__name__,
            fix='write [{"role": "user", "content": "..."}]',
        )
    turns = [_read_turn(message, special, f"{name}, message {at}") for at, message in enumerate(messages)]
    return [turn for turn in turns if turn.text or turn.role != "system"]


def _read_turn(message: Any, special: SpecialTokens, where: str) -> Turn:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ROLES:
        raise PromptError(
            f"{where} needs a role: system, user or assistant",
            got=repr(message if role is None else role),
            fix=nearest(str(role), ROLES),
        )
    content = message.get("content")
    if isinstance(content, str):
        text = special.clean(content, role, tag=role != "user", where=where)
        images: tuple[Any, ...] = (None,) * text.count(IMAGE_TAG) if role == "user" else ()
    elif isinstance(content, (list, tuple)):
        text, images = _read_parts(content, role, special, where)
    else:
        raise PromptError(
            f"{where} needs content: a string or a list of parts",
            got=type(content).__name__,
            fix='write {"role": "user", "content": "..."}',
        )
    return Turn(role, text, images, learn=role == "assistant" and not message.get("is_input", False))


def _read_parts(parts: Sequence[Any], role: str, special: SpecialTokens, where: str) -> tuple[str, tuple[Any, ...]]:
    # Neighbouring texts are joined before they are cleaned: "<|im_" and "end|>" are one literal.
    pieces: list[str] = []
    images: list[Any] = []
    run, leading = "", True
    for at, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            text = part.get("text")
            if not isinstance(text, str):
                raise PromptError(f"{where}, part {at} must hold text", got=type(text).__name__, fix="pass a string")
            run, leading = run + text, leading and not text
        elif kind in ("image", "image_url") and role == "user":
            pieces += [special.clean(run, role, tag=True, where=where), IMAGE_TAG + "\n" * leading]
            images.append(_picture(part, f"{where}, part {at}"))
            run = ""
        elif kind in ("image", "image_url"):
            raise PromptError(
                f"{where}, part {at}: only a user's message can hold a picture",
                got=f"role {role!r}",
                fix="move it into a user's message",
            )
        else:
            raise PromptError(
                f"{where}, part {at} has an unknown type",
                got=repr(part)[:200] if kind is None else repr(kind),
                fix="use text or image; NEO 1.0 reads pictures and words (a video as frames)",
            )
    pieces.append(special.clean(run, role, tag=True, where=where))
    return "".join(pieces), tuple(images)


def _picture(part: Mapping[str, Any], where: str) -> Any:
    if part["type"] == "image_url":
        link = part.get("image_url")
        return link.get("url") if isinstance(link, Mapping) else link
    key = next((key for key in PICTURE_KEYS if part.get(key) is not None), None)
    if key != "base64":
        return None if key is None else part[key]
    try:
        return base64.b64decode(part[key], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise PromptError(f"{where} is broken base64", got=error, fix="encode the file's bytes with base64") from error


def render(turns: Sequence[Turn], *, add_generation_prompt: bool = False) -> str:
    """The prompt as a string, pictures still written `<image>`."""
    prompt = "".join(turn.head + turn.body for turn in turns)
    return prompt + f"{TURN_START}assistant\n" if add_generation_prompt else prompt


def image_block(tokens: int) -> str:
    """What one picture of that many tokens looks like in a prompt."""
    return IMAGE_START + CONTEXT * tokens + IMAGE_END


def expand(text: str, tokens: Sequence[int], name: str = "prompt") -> str:
    """Replace the image tags, left to right, by the pictures' blocks.

    Args:
        text: holds one `<image>` per picture.
        tokens: tokens of each picture.
        name: how errors call the text.

    Raises:
        PromptError: tags and pictures differ in number.
    """
    pieces = text.split(IMAGE_TAG)
    check_counts(len(pieces) - 1, len(tokens), name)
    blocks = [*(image_block(count) for count in tokens), ""]
    return "".join(piece + block for piece, block in zip(pieces, blocks, strict=True))


def check_counts(tags: int, images: int, name: str) -> None:
    """One tag per picture, or `PromptError`."""
    if tags != images:
        raise PromptError(
            f"{name}: image tags and images differ in number",
            got=f"{tags} tag{'s' * (tags != 1)} and {images} image{'s' * (images != 1)}",
            fix=f"write one {IMAGE_TAG} where each picture stands, and pass one picture for each",
        )


def with_implicit_tag(turns: Sequence[Turn], images: int) -> list[Turn]:
    """A single question with pictures but without a tag gets `<image>` on a line of its own before it.

    The reference does so for one tag, whatever the number of pictures, when there is no earlier turn.
    """
    spoken = [at for at, turn in enumerate(turns) if turn.role != "system"]
    if images and len(spoken) == 1 and turns[spoken[0]].role == "user" and not turns[spoken[0]].images:
        question = turns[spoken[0]]
        tagged = replace(question, text=f"{IMAGE_TAG}\n{question.text}", images=(None,))
        return [tagged if turn is question else turn for turn in turns]
    return list(turns)


def question_messages(
    question: str, *, history: Sequence[tuple[str, str]] = (), system: str = ""
) -> list[dict[str, str]]:
    """Messages of a question after earlier (question, answer) pairs."""
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answered in history:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": question}]


def numbered_question(parts: Sequence[str | None], special: SpecialTokens) -> str:
    """The question string of the reference's evaluation, from texts and pictures in order.

    One picture: its tag on a line, then all text, a line per piece. Several: lines "Image-1: <image>", ..., then the
    text with `<Image-1>` where each picture stood; a run of all of them in order says nothing and is removed.

    Args:
        parts: a string is text, None a picture.
        special: which literals are never obeyed; `<image>` in a text is ordinary text.
    """
    # Cleaned last: joining texts, or removing what stood between them, can complete a literal.
    images = sum(part is None for part in parts)
    if images == 1:
        texts = "\n".join(part for part in parts if part is not None)
        return f"{IMAGE_TAG}\n" + special.clean(texts, "user", tag=True, where="question")
    names = [f"<Image-{at}>" for at in range(1, images + 1)]
    running = iter(names)
    inline = "".join(next(running) if part is None else part for part in parts)
    if images:
        inline = inline.replace("".join(names), "")
    lines = "".join(f"Image-{at}: {IMAGE_TAG}\n" for at in range(1, images + 1))
    return lines + special.clean(inline, "user", tag=True, where="question")


def chat_template(special: SpecialTokens) -> str:
    """The same rules as a Jinja template, for everything that goes through transformers' `apply_chat_template`.

    It breaks special literals itself, so a prompt is safe even when a bare tokenizer renders it. It never rejects.
    """
    pairs = ((literal, broken_literal(literal)) for literal in special.literals)
    spared = {"assistant": ["assistant"], "everywhere": list(ROLES), "nowhere": []}[special.markup]
    return (
        f"{{%- set literals = {_list(_list(map(_quoted, pair)) for pair in pairs)} -%}}\n"
        f"{{%- set markup = {_list(map(_quoted, MARKUP))} -%}}\n"
        f"{{%- set markup_roles = {_list(map(_quoted, spared))} -%}}\n"
        f"{{%- set broken_tag = {_quoted(broken_literal(IMAGE_TAG))} -%}}\n"
    ) + _TEMPLATE


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


_TEMPLATE = """\
{#- neo1_0: special tokens in a message's text are broken by an invisible character and never obeyed -#}
{%- macro plain(text, role, tag) -%}
    {%- set ns = namespace(text=text) -%}
    {%- for literal in literals -%}
        {%- if not (role in markup_roles and literal[0] in markup) -%}
            {%- set ns.text = ns.text | replace(literal[0], literal[1]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if tag -%}{%- set ns.text = ns.text | replace('<image>', broken_tag) -%}{%- endif -%}
    {{- ns.text -}}
{%- endmacro -%}
{%- macro body(role, content) -%}
    {%- if content is string -%}
        {{- plain(content, role, role != 'user') -}}
    {%- else -%}
        {%- set ns = namespace(run='', leading=true) -%}
        {%- for part in content -%}
            {%- if part['type'] == 'text' -%}
                {%- set ns.run = ns.run ~ part['text'] -%}
            {%- elif part['type'] in ['image', 'image_url'] and role == 'user' -%}
                {%- if ns.run -%}{%- set ns.leading = false -%}{%- endif -%}
                {{- plain(ns.run, role, true) -}}{{- '<image>\\n' if ns.leading else '<image>' -}}
                {%- set ns.run = '' -%}
            {%- else -%}
                {{- raise_exception('only text, and images in a message of the user, are known') -}}
            {%- endif -%}
        {%- endfor -%}
        {{- plain(ns.run, role, true) -}}
    {%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
    {%- set role = message['role'] -%}
    {%- if role not in ['system', 'user', 'assistant'] -%}
        {{- raise_exception('the roles are system, user and assistant') -}}
    {%- endif -%}
    {%- set text = body(role, message['content']) -%}
    {%- if text or role != 'system' -%}
        {{- '<|im_start|>' ~ role ~ '\\n' ~ text ~ '<|im_end|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
