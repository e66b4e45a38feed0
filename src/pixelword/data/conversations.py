"""Where the pictures and films of a row stand in its conversation.

`<image>` and `<video>` in a user's text, or parts of those types, take the row's pictures and films in order. A film
becomes its frames, each behind its time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pixelword.data.media import Media, picture_source
from pixelword.data.records import Reason, RowError
from pixelword.data.video import read_frames, timestamped
from pixelword.errors import InputError, PromptError
from pixelword.model.special_tokens import IMAGE_TAG

VIDEO_TAG = "<video>"
TAGS = re.compile(f"{IMAGE_TAG}|{VIDEO_TAG}")


@dataclass(frozen=True)
class Picture:
    """A picture, or some frames of a film; not decoded.

    Attributes:
        media: where it is.
        name: how messages call it.
        size: (height, width) in pixels.
        times: of the frames, in seconds; empty for a picture.
    """

    media: Media
    name: str
    size: tuple[int, int]
    times: tuple[float, ...] = ()

    @property
    def images(self) -> int:
        return len(self.times) or 1

    def decode(self) -> list[Any]:
        """What `NeoImageProcessor` takes, one entry per image."""
        if self.times and not isinstance(self.media, Image.Image):
            return list(read_frames(self.media, self.times, self.name))
        return [picture_source(self.media)]


@contextmanager
def as_row_error(reason: Reason = "bad conversation") -> Iterator[None]:
    """Turn what the chat format complains about into a row error."""
    try:
        yield
    except InputError as error:
        raise RowError(error.what, reason=reason, got=error.got, fix=error.fix) from error


def several(row: Mapping[str, Any], kind: str) -> list[Any]:
    """The pictures or films of a row, from the key in singular, plural, or both."""
    found: list[Any] = []
    for key in (kind, f"{kind}s"):
        value = row.get(key)
        if value is not None:
            found += value if isinstance(value, list | tuple) else [value]
    return found


def inside(row: Mapping[str, Any], kind: str) -> list[Any]:
    """Pictures or films that stand in the parts of messages themselves."""
    found: list[Any] = []
    messages = row.get("messages")
    for message in messages if isinstance(messages, list | tuple) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list | tuple) else ():
            if not isinstance(part, Mapping) or part.get("type") not in (kind, f"{kind}_url"):
                continue
            link = part.get(f"{kind}_url")
            values = [part.get(key) for key in (kind, "path", "url")]
            values.append(link.get("url") if isinstance(link, Mapping) else link)
            if isinstance(part.get("base64"), str):
                values.append(f"data:;base64,{part['base64']}")
            found += [value for value in values if value is not None][:1]
    return found


def mappings(items: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise PromptError(f"{name} needs a list of turns", got=repr(items)[:80], fix="write a list of objects")
    return [dict(item) for item in items]


def with_tags(messages: list[dict[str, Any]], pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Messages of plain strings without a tag get the pictures before the first question, as in TRL."""
    texts = [message.get("content") for message in messages]
    if not pictures or any(not isinstance(text, str) or TAGS.search(text) for text in texts):
        return messages
    for message in messages:
        if message.get("role") == "user":
            tags = "".join(f"{VIDEO_TAG if picture.times else IMAGE_TAG}\n" for picture in pictures)
            message["content"] = tags + str(message["content"])
            break
    return messages


def placed(
    items: list[dict[str, Any]], key: str, askers: Sequence[str], pictures: Sequence[Picture], name: str
) -> tuple[list[dict[str, Any]], list[Picture]]:
    """Films written out as frames, and pictures and films in the order of their tags.

    Raises:
        RowError: films and their tags differ in number. Pictures are counted later, when tags that go without
            saying are in place.
    """
    speaker = "from" if key == "value" else "role"
    images = iter([picture for picture in pictures if not picture.times])
    films = iter([picture for picture in pictures if picture.times])
    order: list[Picture] = []

    def written(match: re.Match[str]) -> str:
        film = match[0] == VIDEO_TAG
        if (picture := next(films if film else images, None)) is not None:
            order.append(picture)
        elif film:
            raise RowError(f"{name}: more {VIDEO_TAG} tags than films", reason="counts differ", got=match.string[:80])
        return timestamped(picture.times) if film and picture is not None else match[0]

    has_films = any(picture.times for picture in pictures)
    for item in items:
        content = item.get(key)
        if item.get(speaker) not in askers:
            continue
        if isinstance(content, str):
            item[key] = (TAGS if has_films else re.compile(IMAGE_TAG)).sub(written, content)
        elif isinstance(content, list | tuple):
            item[key] = [part for old in content for part in _placed_part(old, written)]
    if next(films, None) is not None:
        raise RowError(f"{name}: more films than {VIDEO_TAG} tags", reason="counts differ", got=f"{len(order)} tags")
    return items, [*order, *images]


def _placed_part(part: Any, written: Callable[[re.Match[str]], str]) -> list[Any]:
    """A part of a message, its picture taken out, or the parts of its film's frames."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("image", "image_url"):
        _tag(IMAGE_TAG, written)
        return [{"type": "image"}]
    if kind not in ("video", "video_url"):
        return [part]
    pieces = re.split(f"({IMAGE_TAG})", _tag(VIDEO_TAG, written))
    return [{"type": "image"} if piece == IMAGE_TAG else {"type": "text", "text": piece} for piece in pieces if piece]


def _tag(tag: str, written: Callable[[re.Match[str]], str]) -> str:
    return TAGS.sub(written, tag)
