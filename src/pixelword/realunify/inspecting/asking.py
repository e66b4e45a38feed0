"""Asking through Inspect, with the store before it: a stored reply is never asked for again."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from inspect_ai.model import (
    ChatMessageUser,
    Content,
    ContentImage,
    ContentText,
    GenerateConfig,
    Model,
    ModelOutput,
)
from PIL import Image
from tenacity import RetryError

from pixelword.errors import ImageError
from pixelword.realunify.backends.calls import CallFailed, NotSupported, Operation, RunStopped
from pixelword.realunify.backends.http import Refused
from pixelword.realunify.backends.openai_http import data_url
from pixelword.realunify.costs import Purse
from pixelword.realunify.dataset import Question
from pixelword.realunify.inspecting.asked import Asked
from pixelword.realunify.inspecting.foreign_errors import AsOurs, as_ours
from pixelword.realunify.inspecting.providers import KEEP_PICTURE, OURS, BackendApi, settings_of
from pixelword.realunify.inspecting.stopping import Halt
from pixelword.realunify.judge import Ask, Attempt, JudgeSettings, check_names, poll_panel
from pixelword.realunify.paths import BROKEN, open_picture
from pixelword.realunify.picture_bytes import FORMATS, read_header
from pixelword.realunify.protocols import Shown
from pixelword.realunify.records import Call, Outcome, Polled, Role, StoredPicture, Usage, text_sha256
from pixelword.realunify.store import Store

LOG = logging.getLogger(__name__)

ORIENTATION = 0x0112
"""Number of the EXIF field that says how a picture is to be turned."""


@dataclass(frozen=True)
class Limits:
    """How hard a call is tried.

    Args:
        retries: further tries after a failure on the way.
        timeout: seconds for one try.
        at_once: calls of one model at the same time; None leaves it to Inspect, which adapts.
    """

    retries: int = 4
    timeout: int = 900
    at_once: int | None = None


@dataclass(frozen=True)
class Judge:
    """One judge of a panel, which may be the only one."""

    model: Model
    settings: JudgeSettings


@dataclass
class InspectAsker:
    """Asks the models of a run's roles.

    Args:
        models: of the two roles that answer items.
        judges: asked about pictures, each every question.
        settings: role -> what its model is told with every call, such as the size of a picture.
        seed: sent with each call, plus the number of the sample; None sends none. Votes and repairs of a judge get
            seeds of their own.
        rerouted: (asked, reported) model names that differ; each is warned about once.

    Raises:
        ConfigError: two judges of one name, or a cap and a model without a price.
    """

    store: Store
    models: dict[Role, Model]
    judges: tuple[Judge, ...]
    purse: Purse
    halt: Halt
    limits: Limits = field(default_factory=Limits)
    settings: dict[Role, dict[str, Any]] = field(default_factory=dict)
    seed: int | None = None
    rerouted: set[tuple[str, str]] = field(default_factory=set)
    known: dict[Path, Shown] = field(default_factory=dict)
    on_the_way: dict[str, anyio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.judges:
            check_names([judge.settings for judge in self.judges])
        self.purse.check_prices(map(str, [*self.models.values(), *(judge.model for judge in self.judges)]))

    async def ask(
        self, role: Role, operation: Operation, prompt: str, pictures: tuple[Shown, ...] = (), *, sample: int = 0
    ) -> Call:
        """The stored reply to this request, or a new one. A failure on the way is an outcome.

        Raises:
            RunStopped: no further call would succeed.
        """
        model = self.models[role]
        told = {**settings_of(model.config), **self.settings.get(role, {})}
        seed = None if self.seed is None else self.seed + sample
        return await self.once(Asked(role, model, operation, prompt, pictures, spoken(told), seed, sample))

    async def ask_judge(
        self, judge: Judge, prompt: str, pictures: tuple[Shown, ...], attempt: Attempt, *, sample: int = 0
    ) -> Call:
        """As `ask`, of a judge."""
        told = {**judge.settings.told, **settings_of(judge.model.config), **self.settings.get("judge", {})}
        shift = sample + 1000 * attempt.vote + 100_000 * attempt.number
        seed = None if self.seed is None else self.seed + shift
        number = f"{attempt.vote}.{attempt.number}"
        asked = Asked("judge", judge.model, Operation.UNDERSTAND, prompt, pictures, spoken(told), seed, sample, number)
        return await self.once(asked)

    async def once(self, asked: Asked) -> Call:
        """The reply to a request that goes out once, however many items need it and whenever."""
        key = asked.key()
        # Two items may ask the same at once, as when two protocols drew the same picture.
        while key in self.on_the_way:
            await self.on_the_way[key].wait()
        if key in self.store.replies:
            return self.store.replies[key]
        self.on_the_way[key] = anyio.Event()
        try:
            return await self.ask_anew(key, asked)
        finally:
            self.on_the_way.pop(key).set()

    async def ask_anew(self, key: str, asked: Asked) -> Call:
        """Ask what is not stored, and store the answer."""
        self.halt.check()
        aside = 0.0
        model = str(asked.model)
        try:
            aside = self.purse.reserve(model, tokens=asked.tokens())
            start = time.monotonic()
            ended = await self.send(asked)
        except RunStopped as stopped:
            self.halt.reason = self.halt.reason or stopped
            raise
        finally:
            self.purse.release(aside)
        call = Call(
            key=key,
            role=asked.role,
            operation=asked.operation.value,
            model=model,
            prompt=asked.prompt,
            pictures_in=tuple(shown.picture for shown in asked.pictures),
            settings=asked.settings,
            seed=asked.seed,
            seconds=round(time.monotonic() - start, 3),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            **ended,
        )
        if call.answered:
            self.purse.add(call.model, call.usage.cost)
        self.store.keep_call(call)
        self.warn_of_route(call)
        self.halt.note(call)
        return call

    async def send(self, asked: Asked) -> dict[str, Any]:
        """Ask through Inspect; what came of it, as fields of a `Call`."""
        limits = GenerateConfig(max_retries=self.limits.retries, attempt_timeout=self.limits.timeout)
        if self.limits.at_once is not None:
            limits.max_connections = self.limits.at_once
        try:
            if isinstance(asked.model.api, BackendApi):
                message = ChatMessageUser(content=asked.prompt, metadata={OURS: asked.ours()})
                token = KEEP_PICTURE.set(self.store.keep_picture)
                try:
                    output = await asked.model.generate([message], config=limits, cache=False)
                finally:
                    KEEP_PICTURE.reset(token)
            else:
                with AsOurs():
                    output = await send_inline(asked, limits)
        except RetryError as error:
            return failure(as_ours(error.last_attempt.exception() or error))
        except (CallFailed, NotSupported, Refused) as error:
            return failure(error)
        return self.read(output, str(asked.model), asked.operation)

    def read(self, output: ModelOutput, asked: str, operation: Operation) -> dict[str, Any]:
        """What an output holds, as fields of a `Call`."""
        ours = (output.metadata or {}).get(OURS, {})
        used = output.usage
        tokens = (used.input_tokens, used.output_tokens) if used else (0, 0)
        text = output.completion or None
        picture = StoredPicture(**ours["picture"]) if "picture" in ours else None
        drawn = operation in {Operation.GENERATE, Operation.EDIT}
        refused = ours.get("refused", False) or (bool(output.choices) and output.stop_reason == "content_filter")
        empty = picture is None if drawn else not text and picture is None
        return {
            "reported": ours.get("reported", output.model),
            "versions": ours.get("versions", ""),
            "outcome": Outcome.REFUSED if refused else Outcome.EMPTY if empty else Outcome.REPLY,
            "text": text,
            "text_sha256": None if text is None else text_sha256(text),
            "picture": picture,
            "usage": Usage(
                input_tokens=tokens[0],
                output_tokens=tokens[1],
                pictures=int(picture is not None),
                cost=self.purse.price(asked, *tokens),
            ),
        }

    async def poll(self, picture: Shown, questions: tuple[Question, ...], *, sample: int = 0) -> tuple[Polled, ...]:
        """Put every question of an item to every judge."""

        def by(judge: Judge) -> Ask[Shown]:
            return lambda shown, request, attempt: self.ask_judge(judge, request, (shown,), attempt, sample=sample)

        settings = [judge.settings for judge in self.judges]
        return await poll_panel(list(map(by, self.judges)), picture, questions, settings, pause=anyio.sleep)

    def show(self, path: Path) -> Shown:
        """A picture of the data. One in another format, transparent or turned by EXIF is shown as an upright copy.

        Raises:
            ImageError: no readable picture.
        """
        if path not in self.known:
            self.known[path] = self.prepare(path)
        return self.known[path]

    def prepare(self, path: Path) -> Shown:
        from io import BytesIO

        try:
            with Image.open(path) as opened:
                turned = opened.getexif().get(ORIENTATION, 1) != 1
                plain = opened.format in FORMATS and not turned and not opened.has_transparency_data
        except BROKEN as error:
            raise ImageError("a picture cannot be read", got=f"{path}: {error}", fix="check the data") from error
        if plain:
            content = path.read_bytes()
            header = read_header(content)
            sha256 = hashlib.sha256(content).hexdigest()
            return Shown(
                path,
                StoredPicture(
                    sha256=sha256, format=header.format, width=header.width, height=header.height, bytes=len(content)
                ),
            )
        copy = BytesIO()
        open_picture(path).save(copy, "PNG")
        return self.stored(self.store.keep_picture(copy.getvalue()))

    def stored(self, picture: StoredPicture) -> Shown:
        return Shown(self.store.path(picture), picture)

    def warn_of_route(self, call: Call) -> None:
        """Warn once of a name that leads to another model."""
        pair = call.model, call.reported
        if call.rerouted and pair not in self.rerouted:
            self.rerouted.add(pair)
            LOG.warning("asked for the model %s, the server reports %s", *pair)


async def send_inline(asked: Asked, limits: GenerateConfig) -> ModelOutput:
    """Ask a provider of Inspect's own, which answers with text only.

    Raises:
        NotSupported: a picture is wanted.
    """
    if asked.operation != Operation.UNDERSTAND:
        fix = "use pixelword-openai/... or another of our providers"
        raise NotSupported("Inspect's own providers return no pictures", got=str(asked.model), fix=fix)
    content: list[Content] = [ContentImage(image=data_url(shown.path.read_bytes())) for shown in asked.pictures]
    known = {name: value for name, value in asked.settings.items() if name in GenerateConfig.model_fields}
    message = ChatMessageUser(content=[*content, ContentText(text=asked.prompt)])
    told = GenerateConfig(seed=asked.seed, **known)
    return await asked.model.generate([message], config=told.merge(limits), cache=False)


def spoken(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that are null, which a server is not to be told."""
    return {name: value for name, value in settings.items() if value is not None}


def failure(error: BaseException) -> dict[str, Any]:
    """A failed call as fields of a `Call`.

    Raises:
        RunStopped: it is one.
    """
    if isinstance(error, RunStopped):
        raise error
    if isinstance(error, Refused):
        return {"outcome": Outcome.REFUSED, "error": str(error)}
    if isinstance(error, NotSupported):
        return {"outcome": Outcome.NOT_SUPPORTED, "error": str(error)}
    if isinstance(error, CallFailed):
        return {"outcome": error.outcome, "error": str(error)}
    timeout = "Timeout" in type(error).__name__
    return {"outcome": Outcome.TIMEOUT if timeout else Outcome.FAILED, "error": f"{type(error).__name__}: {error}"}
