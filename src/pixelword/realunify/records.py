"""What a run writes down: every call of a model, and every finished item with its calls. One JSON object a line.

A `Call` is one request with its reply. An `ItemRecord` is one item under one protocol: its status, what was read, and
the calls that led there. Texts carry their SHA-256; a picture is named by the SHA-256 of its file in the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field
from pydantic_core import PydanticSerializationError

from pixelword.config import Settings
from pixelword.realunify.results import ItemResult
from pixelword.realunify.taxonomy import ItemId, Protocol, Status

FORMAT = 1
"""Raised when a field changes its meaning; a reader refuses what is newer than itself."""

Role = Literal["understander", "generator", "judge"]


class Outcome(StrEnum):
    """How one call ended. Only `reply` carries a text or a picture that may be scored.

    `reply`, `refused`, `empty` and `bad_picture` are answers of the model and are never asked for again; the others are
    failures on the way, which the next run of the same command tries once more.
    """

    REPLY = "reply"
    REFUSED = "refused"
    EMPTY = "empty"
    BAD_PICTURE = "bad_picture"
    FAILED = "failed"
    TIMEOUT = "timeout"
    NOT_SUPPORTED = "not_supported"


ANSWERED = frozenset({Outcome.REPLY, Outcome.REFUSED, Outcome.EMPTY, Outcome.BAD_PICTURE})
"""Outcomes that a model decided: stored for good."""


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class StoredPicture(Settings):
    """A picture in the store, by the hash of its file, with the size in pixels that its header states."""

    sha256: str
    format: str = Field(description="PNG, JPEG or WEBP, from the content and not from any name")
    width: int
    height: int
    bytes: int = Field(description="size of the file")


class Usage(Settings):
    """What a call consumed, as the server reports it; zero where it says nothing."""

    input_tokens: int = 0
    output_tokens: int = 0
    pictures: int = 0
    cost: float = Field(default=0.0, description="in the currency of the price list; 0 without one")


class Call(Settings):
    """One request to a model and what came back.

    `key` is the hash of everything that was asked (role, model, operation, prompt, pictures, settings, seed, sample),
    so the same request is never sent twice.
    """

    key: str
    role: Role
    operation: Literal["understand", "generate", "edit", "interleave"] = Field(
        description="text out, text to picture, edit, text out with drawings on the way"
    )
    model: str = Field(description="the name that was asked for")
    reported: str = Field(default="", description="the name or version that the server reported")
    versions: str = Field(default="", description="what it reported beside the name: a fingerprint, its libraries")
    prompt: str
    pictures_in: tuple[StoredPicture, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict, description="temperature, size and the like, as sent")
    seed: int | None = None
    outcome: Outcome
    text: str | None = None
    text_sha256: str | None = None
    picture: StoredPicture | None = None
    error: str = Field(default="", description="for a failure, what went wrong; never holds a key")
    usage: Usage = Usage()
    seconds: float = 0.0
    tries: int = 1
    finished: str = Field(default="", description="time in UTC, ISO 8601")

    @property
    def answered(self) -> bool:
        return self.outcome in ANSWERED

    @property
    def rerouted(self) -> bool:
        """Whether the server reported another model than was asked for. A dated version of the name is the same."""
        return bool(self.reported) and not same_model(self.model, self.reported)


def same_model(asked: str, reported: str) -> bool:
    """Whether a reported name is the one asked for, apart from provider prefix, letter case and a dated suffix."""
    one, other = (name.casefold().removeprefix("models/") for name in (asked, reported))
    if one.endswith(other) or other.endswith(one):
        longer, shorter = sorted((one, other), key=len, reverse=True)
        return len(longer) == len(shorter) or longer[-len(shorter) - 1] == "/"
    tail = one.rpartition("/")[2]
    rest = other.rpartition("/")[2].removeprefix(tail)
    return rest != other.rpartition("/")[2] and rest.lstrip("-@").replace("-", "").isdigit()


class Vote(Settings):
    """One reply of one judge to one question. `verdict` is None when the reply decides nothing or never came."""

    judge: str = Field(description="the judge's model name")
    prompt_version: str = Field(default="paper_v1", description="which wording the judge was asked with")
    verdict: Literal["yes", "no", "cannot_tell"] | None
    call: Call


class Polled(Settings):
    """One question about a picture, every vote on it, and the verdict they come to."""

    question: str
    expected: Literal["yes", "no"]
    verdict: Literal["yes", "no", "cannot_tell"] | None
    votes: tuple[Vote, ...]

    @property
    def passed(self) -> bool:
        return self.verdict == self.expected


class ItemRecord(Settings):
    """One finished item under one protocol.

    `calls` holds the model's calls in the order of the stages. The pictures of an item are `source` (GEU, as given),
    `intermediate` (GEU, the edited or the true intermediate one) and `picture` (UEG, the generated one).
    """

    format: int = FORMAT
    item: str = Field(description="like UEG_412_code_to_image")
    category: str
    track: Literal["UEG", "GEU"]
    protocol: Protocol
    sample: int = Field(default=0, description="number of the sample, where an item is asked several times")
    subtask: str | None = None
    status: Status
    right: bool | None = Field(default=None, description="set exactly when the status is ok")
    stage_one_right: bool | None = Field(default=None, description="where a check of stage one says so")
    prompt: str = Field(description="UEG: the prompt of the item; GEU: the multiple-choice request")
    rewritten: str | None = Field(default=None, description="UEG: the prompt that stage two was given")
    truncated: bool = Field(default=False, description="whether `rewritten` was cut to the generator's limit")
    options: tuple[str, ...] = ()
    answer: str | None = Field(default=None, description="GEU: the right letter")
    read: str | None = Field(default=None, description="GEU: the letter that the reply was read as")
    source: StoredPicture | None = None
    intermediate: StoredPicture | None = None
    picture: StoredPicture | None = None
    calls: tuple[Call, ...] = ()
    polled: tuple[Polled, ...] = Field(default=(), description="UEG: every question of the judge")
    scoring: str = Field(default="default", description="name of the scoring; `score` adds others")
    note: str = Field(default="", description="for a failure, its cause in words")

    @property
    def id(self) -> ItemId:
        return ItemId.read(self.item)

    @property
    def key(self) -> tuple[str, Protocol, int]:
        """What may be there once: item, protocol, sample."""
        return self.item, self.protocol, self.sample

    @property
    def reply(self) -> str | None:
        """The text of the last call to the understander: in GEU the answer, in stepwise UEG the rewritten prompt."""
        texts = [call.text for call in self.calls if call.operation in {"understand", "interleave"}]
        return texts[-1] if texts else None

    def result(self) -> ItemResult:
        """The record as the scores take it."""
        return ItemResult(
            self.id,
            self.protocol,
            self.status,
            self.right,
            passed=sum(each.passed for each in self.polled),
            questions=len(self.polled),
            stage_one_right=self.stage_one_right,
            subtask=self.subtask,
        )


def write_line(record: Settings) -> bytes:
    """A record as one line of a store. Fields that hold their default are left out.

    Half a surrogate pair, which a server's JSON may hold and UTF-8 may not, is written as its escape and read back.
    """
    try:
        line = record.model_dump_json(exclude_defaults=True, ensure_ascii=True)
    except PydanticSerializationError:
        line = json.dumps(record.model_dump(exclude_defaults=True), default=str)
    return f"{line}\n".encode("ascii")


def read_item(values: Mapping[str, Any]) -> ItemRecord:
    """An item from the object of its line.

    Raises:
        ConfigError: an unknown or missing field, or a newer format.
    """
    return ItemRecord.model_validate(values)
