"""Our ways of reaching a model as providers of Inspect, so that its concurrency, retries, limits and logs hold.

A request of ours travels in the metadata of the user message: the operation and the paths of its pictures. A picture
that comes back goes into the store at once, and Inspect sees its hash. Other tasks may use the same providers; their
pictures then travel as data URIs in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ContentImage,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    RetryDecision,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from tenacity import RetryCallState
from tenacity.wait import wait_base, wait_exponential_jitter

from pixelword.errors import ConfigError, ImageError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request
from pixelword.realunify.backends.openai_http import data_url
from pixelword.realunify.records import Outcome, StoredPicture

OURS = "pixelword"
"""The key of our part of a message's and an output's metadata."""

KEEP_PICTURE: ContextVar[Callable[[bytes], StoredPicture] | None] = ContextVar("keep_picture", default=None)
"""Where pictures go; set by our tasks."""


class WaitAsAsked(wait_base):
    """What the other side asked for, and else exponential with jitter."""

    def __init__(self, first: float, longest: float = 60.0) -> None:
        self.otherwise = wait_exponential_jitter(initial=first, max=longest, jitter=first)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.after if isinstance(error, CallFailed) else None
        return self.otherwise(retry_state) if asked is None else asked


class BackendApi(ModelAPI):
    """A backend behind Inspect's interface.

    Args:
        model_args: those of the backend, and `backoff`, the seconds before the first retry.
    """

    make: ClassVar[Callable[..., Backend]]

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  (Inspect's signature)
        backoff: float = 2.0,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        if api_key is not None:
            raise ConfigError(
                "a key given as an argument would stand in the log", fix="set it in the environment, see key_env"
            )
        if base_url is not None:
            model_args["base_url"] = base_url
        self.backend = type(self).make(model_name, **model_args)
        self.backoff = backoff

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        request = read_request(input[-1], config)
        answer = await self.backend.call(request)
        keep = KEEP_PICTURE.get()
        ours: dict[str, Any] = {"reported": answer.reported, "refused": answer.refused, "versions": answer.versions}
        content: list[ContentText | ContentImage] = [ContentText(text=answer.text)] if answer.text else []
        if answer.picture is not None and keep is not None:
            ours["picture"] = kept(keep, answer.picture).model_dump()
        elif answer.picture is not None:
            content.append(ContentImage(image=data_url(answer.picture)))
        return output(answer, content, ours, self.model_name)

    def should_retry(self, ex: Exception) -> RetryDecision:
        if not isinstance(ex, CallFailed) or not ex.again:
            return RetryDecision.no()
        return RetryDecision.rate_limit(ex.after) if ex.busy else RetryDecision.transient(ex.after)

    def retry_wait(self) -> wait_base:
        return WaitAsAsked(self.backoff)

    def max_connections(self) -> int:
        return self.backend.at_once

    def connection_key(self) -> str:
        return f"{self.base_url} {self.model_name}"

    async def aclose(self) -> None:
        await self.backend.close()


def kept(keep: Callable[[bytes], StoredPicture], content: bytes) -> StoredPicture:
    """A stored picture. A broken one is asked for again, because most were cut off on their way."""
    try:
        return keep(content)
    except ImageError as error:
        again = content[:4] in (b"\x89PNG", b"RIFF") or content[:3] == b"\xff\xd8\xff"
        raise CallFailed(
            error.what, got=error.got, fix="look at the server", again=again, outcome=Outcome.BAD_PICTURE
        ) from error


def output(answer: Answer, content: list[ContentText | ContentImage], ours: dict[str, Any], model: str) -> ModelOutput:
    """The answer as Inspect keeps it."""
    message = ChatMessageAssistant(content=list(content) if len(content) != 1 or answer.picture else answer.text or "")
    total = answer.input_tokens + answer.output_tokens
    return ModelOutput(
        model=answer.reported or model,
        choices=[
            ChatCompletionChoice(message=message, stop_reason="content_filter" if answer.refused else "stop"),
        ],
        usage=ModelUsage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens, total_tokens=total),
        metadata={OURS: ours},
    )


def read_request(message: ChatMessage, config: GenerateConfig) -> Request:
    """The request that a message carries: ours from its metadata, any other task's from its content."""
    ours = (message.metadata or {}).get(OURS)
    if ours is not None:
        pictures = tuple(map(Path, ours["pictures"]))
        return Request(Operation(ours["operation"]), message.text, pictures, ours["seed"], ours["settings"])
    inline = [part for part in message.content if isinstance(part, ContentImage)] if message.content else []
    if inline:
        raise NotSupported(
            "this provider takes pictures as files", got=f"{len(inline)} inline pictures", fix="use our tasks"
        )
    return Request(Operation.UNDERSTAND, message.text, (), config.seed, settings_of(config))


def settings_of(config: GenerateConfig) -> dict[str, Any]:
    """What of Inspect's settings a server is told."""
    named = {"temperature": config.temperature, "top_p": config.top_p, "max_tokens": config.max_tokens}
    return {name: value for name, value in named.items() if value is not None}


def provider(make: Callable[..., Backend]) -> type[BackendApi]:
    """A class of its own for each backend, as Inspect wants it."""
    return type(f"{make.__name__}Api", (BackendApi,), {"make": staticmethod(make)})


@modelapi(name="pixelword-openai")
def pixelword_openai() -> type[ModelAPI]:
    """Chat and images over OpenAI's HTTP APIs."""
    from pixelword.realunify.backends.openai_http import OpenAiHttp

    return provider(OpenAiHttp)


@modelapi(name="pixelword-gemini")
def pixelword_gemini() -> type[ModelAPI]:
    """Google's generateContent."""
    from pixelword.realunify.backends.gemini import Gemini

    return provider(Gemini)


@modelapi(name="pixelword-worker")
def pixelword_worker() -> type[ModelAPI]:
    """A process in an environment of its own."""
    from pixelword.realunify.backends.worker import Worker

    return provider(Worker)


@modelapi(name="pixelword-transformers")
def pixelword_transformers() -> type[ModelAPI]:
    """A vision-language model of transformers in this process."""
    from pixelword.realunify.backends.transformers_model import TransformersModel

    return provider(TransformersModel)


@modelapi(name="pixelword-diffusers")
def pixelword_diffusers() -> type[ModelAPI]:
    """A pipeline of diffusers in this process."""
    from pixelword.realunify.backends.diffusers_pipeline import DiffusersPipeline

    return provider(DiffusersPipeline)


@modelapi(name="pixelword-native")
def pixelword_native() -> type[ModelAPI]:
    """A model of this package; it cannot draw yet."""
    from pixelword.realunify.backends.transformers_model import TransformersModel

    return provider(TransformersModel)


@modelapi(name="pixelword-exact")
def pixelword_exact() -> type[ModelAPI]:
    """The mini's exact judge."""
    from pixelword.realunify.backends.exact import ExactJudge

    return provider(ExactJudge)


@modelapi(name="pixelword-absent")
def pixelword_absent() -> type[ModelAPI]:
    """Nobody."""
    from pixelword.realunify.backends.absent import Absent

    return provider(Absent)
