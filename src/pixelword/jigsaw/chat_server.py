"""An OpenAI-compatible chat server as a provider of Inspect AI, with every picture in its place between the texts.

    pixelword jigsaw eval held_out --model inspect:pixelword-chat/NAME --base-url http://localhost:8000/v1

Inspect's own `openai-api/...` does the same where the library `openai` is installed; this needs only httpx.

RealUnify's `pixelword-openai` is another provider and stays one: it sends one request of its own kinds (draw and edit
too), with pictures as files before the text and replies kept in RealUnify's store. A puzzle is a conversation in which
each picture follows its label, and puzzles know nothing of RealUnify.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import httpx
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
    StopReason,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from pixelword.errors import BackendError, ConfigError, InputError

KEY = "PIXELWORD_CHAT_KEY"
"""Environment variable of the server's key. No other key is ever sent to it."""
SECONDS = 600.0
BUSY = (408, 409, 429)
STOPS: dict[str, StopReason] = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


class ChatServer(ModelAPI):
    """One server.

    Args:
        model_name: what the server calls the model.
        base_url: up to and with `/v1`.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  (Inspect's signature)
        **unknown: Any,
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        if base_url is None or api_key is not None or unknown:
            raise ConfigError(
                "a chat server has an address, and its key stands in the environment",
                got=sorted(unknown) or base_url,
                fix=f"give --base-url http://host:port/v1, and the key, if any, as {KEY}",
            )
        self.address = base_url.rstrip("/") + "/chat/completions"
        key = os.environ.get(KEY, "")
        self.client = httpx.AsyncClient(timeout=SECONDS, headers={"Authorization": f"Bearer {key}"} if key else {})

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        settings = {
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "seed": config.seed,
        }
        asked: dict[str, Any] = {"model": self.model_name, "messages": [spoken(message) for message in input]}
        asked |= {name: value for name, value in settings.items() if value is not None}
        reply = await self.client.post(self.address, json=asked)
        if reply.is_error:
            # Raised as it is when asking again may help.
            if reply.status_code in BUSY or reply.status_code >= 500:
                reply.raise_for_status()
            raise BackendError(
                "the server refuses the request",
                got=f"{reply.status_code}: {reply.text[:300]}",
                fix="check the model's name, the address, and what the server can read",
            )
        return self.read(reply)

    def read(self, reply: httpx.Response) -> ModelOutput:
        """What the server said.

        Raises:
            BackendError: it is no chat completion.
        """
        try:
            said = reply.json()
            choice = said["choices"][0]
            text, reason = choice["message"].get("content") or "", str(choice.get("finish_reason") or "stop")
            used = said.get("usage") or {}
            counts = int(used.get("prompt_tokens", 0)), int(used.get("completion_tokens", 0))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise BackendError(
                "the server's answer is no chat completion",
                got=f"{type(error).__name__} in {reply.text[:300]}",
                fix="check that the address ends before /chat/completions",
            ) from error
        message = ChatMessageAssistant(content=text)
        return ModelOutput(
            model=str(said.get("model", self.model_name)),
            choices=[ChatCompletionChoice(message=message, stop_reason=STOPS.get(reason, "unknown"))],
            usage=ModelUsage(input_tokens=counts[0], output_tokens=counts[1], total_tokens=sum(counts)),
        )

    def should_retry(self, ex: BaseException) -> bool:
        return isinstance(ex, httpx.HTTPStatusError | httpx.TransportError)

    async def aclose(self) -> None:
        await self.client.aclose()


def spoken(message: ChatMessage) -> dict[str, Any]:
    """A message as the API has it.

    Raises:
        InputError: it holds something else than texts and pictures.
    """
    if isinstance(message.content, str):
        return {"role": message.role, "content": message.content}
    parts: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, ContentText):
            parts.append({"type": "text", "text": part.text})
        elif isinstance(part, ContentImage):
            parts.append({"type": "image_url", "image_url": {"url": data_url(part.image)}})
        else:
            raise InputError("a chat server is sent texts and pictures", got=part.type, fix="export pictures or frames")
    return {"role": message.role, "content": parts}


def data_url(image: str) -> str:
    """A picture as an address that holds it; files are PNG, as exports are."""
    if image.startswith(("data:", "http:", "https:")):
        return image
    return "data:image/png;base64," + base64.b64encode(Path(image).read_bytes()).decode()


@modelapi(name="pixelword-chat")
def pixelword_chat() -> type[ModelAPI]:
    """An OpenAI-compatible chat server."""
    return ChatServer
