"""Asking through Inspect, with the store before it: a stored reply is never asked for again."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
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

from pixelword.errors import ConfigError, ImageError
from pixelword.realunify.backends.calls import CallFailed, NotSupported, Operation, RunStopped
from pixelword.realunify.backends.openai_http import data_url
from pixelword.realunify.costs import Purse
from pixelword.realunify.dataset import Question
from pixelword.realunify.inspecting.providers import KEEP_PICTURE, OURS, BackendApi, settings_of
from pixelword.realunify.judge import Attempt, JudgeSettings, poll
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


@dataclass
class Halt:
    """Why a run was stopped, once it was."""

    reason: RunStopped | None = None

    def check(self) -> None:
        """Raises the reason, if there is one."""
        if self.reason is not None:
            raise RunStopped(self.reason.what, got=self.reason.got, fix=self.reason.fix)


def made_or_halted(halt: Halt, make: Callable[[], InspectAsker]) -> InspectAsker:
    """The asker of a task. A mistake in the settings stops the run, because every item would meet it.

    Raises:
        RunStopped: the settings cannot be used.
    """
    try:
        return make()
    except ConfigError as error:
        halt.reason = halt.reason or RunStopped(error.what, got=error.got, fix=error.fix)
        raise halt.reason from error


@dataclass
class InspectAsker:
    """Asks the models of a run's roles.

    Args:
        settings: role -> what its model is told with every call, such as the size of a picture.
        seed: sent with each call, plus the number of the sample; None sends none.
        rerouted: (asked, reported) model names that differ; each is warned about once.
    """

    store: Store
    models: dict[Role, Model]
    judge: JudgeSettings
    purse: Purse
    halt: Halt
    limits: Limits = field(default_factory=Limits)
    settings: dict[Role, dict[str, Any]] = field(default_factory=dict)
    seed: int | None = None
    rerouted: set[tuple[str, str]] = field(default_factory=set)
    known: dict[Path, Shown] = field(default_factory=dict)
    on_the_way: dict[str, anyio.Event] = field(default_factory=dict)

    async def ask(
        self,
        role: Role,
        operation: Operation,
        prompt: str,
        pictures: tuple[Shown, ...] = (),
        *,
        sample: int = 0,
        attempt: str = "",
    ) -> Call:
        """The stored reply to this request, or a new one. A failure on the way is an outcome.

        Raises:
            RunStopped: no further call would succeed.
        """
        model = self.models[role]
        seed = None if self.seed is None else self.seed + sample
        settings = {**settings_of(model.config), **self.settings.get(role, {})}
        asked: dict[str, Any] = {
            "role": role,
            "model": str(model),
            "operation": str(operation),
            "prompt": prompt,
            "pictures_in": [shown.picture.sha256 for shown in pictures],
            "settings": settings,
            "seed": seed,
            "sample": sample,
            "attempt": attempt,
        }
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        # Two items may ask the same at once, as when two protocols drew the same picture.
        while key in self.on_the_way:
            await self.on_the_way[key].wait()
        if key in self.store.replies:
            return self.store.replies[key]
        self.on_the_way[key] = anyio.Event()
        try:
            call = await self.ask_anew(key, role, model, operation, prompt, pictures, seed, settings)
        finally:
            self.on_the_way.pop(key).set()
        return call

    async def ask_anew(
        self,
        key: str,
        role: Role,
        model: Model,
        operation: Operation,
        prompt: str,
        pictures: tuple[Shown, ...],
        seed: int | None,
        settings: dict[str, Any],
    ) -> Call:
        """Ask what is not stored, and store the answer."""
        self.halt.check()
        aside = 0.0
        try:
            aside = self.purse.reserve(str(model))
            start = time.monotonic()
            ended = await self.send(model, operation, prompt, pictures, seed, settings)
        except RunStopped as stopped:
            self.halt.reason = self.halt.reason or stopped
            raise
        finally:
            self.purse.release(aside)
        call = Call(
            key=key,
            role=role,
            operation=operation.value,
            model=str(model),
            prompt=prompt,
            pictures_in=tuple(shown.picture for shown in pictures),
            settings=settings,
            seed=seed,
            seconds=round(time.monotonic() - start, 3),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            **ended,
        )
        self.purse.add(call.model, call.usage.cost)
        self.store.keep_call(call)
        self.warn_of_route(call)
        return call

    async def send(
        self,
        model: Model,
        operation: Operation,
        prompt: str,
        pictures: tuple[Shown, ...],
        seed: int | None,
        settings: dict[str, Any],
    ) -> dict[str, Any]:
        """Ask through Inspect; what came of it, as fields of a `Call`."""
        limits = GenerateConfig(max_retries=self.limits.retries, attempt_timeout=self.limits.timeout)
        if self.limits.at_once is not None:
            limits.max_connections = self.limits.at_once
        try:
            if isinstance(model.api, BackendApi):
                ours = {
                    "operation": str(operation),
                    "pictures": [str(shown.path) for shown in pictures],
                    "seed": seed,
                    "settings": settings,
                }
                message = ChatMessageUser(content=prompt, metadata={OURS: ours})
                token = KEEP_PICTURE.set(self.store.keep_picture)
                try:
                    output = await model.generate([message], config=limits, cache=False)
                finally:
                    KEEP_PICTURE.reset(token)
            else:
                output = await self.send_inline(model, operation, prompt, pictures, seed, settings, limits)
        except RetryError as error:
            return failure(error.last_attempt.exception() or error)
        except (CallFailed, NotSupported) as error:
            return failure(error)
        return self.read(output, str(model), operation)

    async def send_inline(
        self,
        model: Model,
        operation: Operation,
        prompt: str,
        pictures: tuple[Shown, ...],
        seed: int | None,
        settings: dict[str, Any],
        limits: GenerateConfig,
    ) -> ModelOutput:
        """Ask a provider of Inspect's own, which answers with text only.

        Raises:
            NotSupported: a picture is wanted.
        """
        if operation != Operation.UNDERSTAND:
            fix = "use pixelword-openai/... or another of our providers"
            raise NotSupported("Inspect's own providers return no pictures", got=str(model), fix=fix)
        content: list[Content] = [ContentImage(image=data_url(shown.path.read_bytes())) for shown in pictures]
        told = GenerateConfig(
            seed=seed, **{name: settings[name] for name in settings if name in GenerateConfig.model_fields}
        )
        message = ChatMessageUser(content=[*content, ContentText(text=prompt)])
        return await model.generate([message], config=told.merge(limits), cache=False)

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
        """Put every question of an item to the judge."""

        async def ask(shown: Shown, request: str, attempt: Attempt) -> Call:
            number = f"{attempt.vote}.{attempt.number}"
            return await self.ask("judge", Operation.UNDERSTAND, request, (shown,), sample=sample, attempt=number)

        return await poll(ask, picture, questions, self.judge, pause=anyio.sleep)

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


def failure(error: BaseException) -> dict[str, Any]:
    """A failed call as fields of a `Call`."""
    if isinstance(error, NotSupported):
        return {"outcome": Outcome.NOT_SUPPORTED, "error": str(error)}
    if isinstance(error, CallFailed):
        return {"outcome": error.outcome, "error": str(error)}
    timeout = "Timeout" in type(error).__name__
    return {"outcome": Outcome.TIMEOUT if timeout else Outcome.FAILED, "error": f"{type(error).__name__}: {error}"}
