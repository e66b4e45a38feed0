"""Servers that speak OpenAI's chat and images APIs: the vendor, vLLM, vLLM-Omni, SGLang, gateways."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request, operations
from pixelword.realunify.backends.http import File, Http, Refused, key_from
from pixelword.realunify.records import Outcome

TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}

OFFICIAL = "https://api.openai.com/v1"


class OpenAiHttp(Backend):
    """Chat completions for texts; images/generations and images/edits, or chat again, for pictures.

    Args:
        model: the name that the server knows.
        base_url: up to and with `/v1`; the vendor's own by default.
        key_env: the environment variable that holds the key; OPENAI_API_KEY by default.
        can: operations that the server has, such as "understand" or "generate,edit".
        pictures_by: "images" for the images API, "chat" for servers that answer a chat with a picture.
        timeout: seconds.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "",
        key_env: str = "",
        can: str = "understand,generate,edit",
        pictures_by: str = "images",
        timeout: float = 600.0,
        at_once: int = 16,
    ) -> None:
        self.model, self.can, self.pictures_by, self.at_once = model, operations(can), pictures_by, at_once
        names = [key_env] if key_env else ["OPENAI_API_KEY"]
        self.http = Http(base_url or OFFICIAL, key_from(names, needed=not base_url or bool(key_env)), timeout)

    async def call(self, request: Request) -> Answer:
        if request.operation not in self.can:
            fix = "give the role to another model"
            raise NotSupported("this model is said not to have this step", got=request.operation, fix=fix)
        try:
            if request.operation == Operation.UNDERSTAND:
                return read_chat(await self.chat(request))
            if request.operation == Operation.INTERLEAVE or self.pictures_by == "chat":
                return read_chat(await self.chat(request, {"modalities": ["text", "image"]}))
            return read_images(await self.images(request))
        except Refused as declined:
            return Answer(text=str(declined), refused=True)

    async def chat(self, request: Request, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        plain = {uuid4().hex: data_url_bytes(path.read_bytes()) for path in request.pictures}
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": token}} for token in plain]
        parts.append({"type": "text", "text": request.prompt})
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": parts if request.pictures else request.prompt}],
            **seed_of(request),
            **request.settings,
            **(more or {}),
        }
        if not more:
            payload.pop("size", None)
        return await self.http.post("chat/completions", payload, plain=plain)

    async def images(self, request: Request) -> dict[str, Any]:
        # The vendor refuses a field that it does not know, and its images API knows no seed; other servers take one.
        seed = {} if self.http.base_url == OFFICIAL else seed_of(request)
        fields = {"model": self.model, "prompt": request.prompt, "n": 1, **seed, **request.settings}
        if request.operation == Operation.GENERATE:
            return await self.http.post("images/generations", fields)
        files: list[File] = []
        for number, path in enumerate(request.pictures):
            content = path.read_bytes()
            kind = media_type(content)
            name = "image" if len(request.pictures) == 1 else "image[]"
            files.append((name, (f"picture{number}.{kind.removeprefix('image/')}", content, kind)))
        return await self.http.post(
            "images/edits", form={key: str(value) for key, value in fields.items()}, files=files
        )

    async def close(self) -> None:
        await self.http.close()


def seed_of(request: Request) -> dict[str, int]:
    return {} if request.seed is None else {"seed": request.seed}


def media_type(content: bytes) -> str:
    """The type of a picture by its first bytes."""
    return next((kind for start, kind in TYPES.items() if content.startswith(start)), "application/octet-stream")


def data_url(content: bytes) -> str:
    return data_url_bytes(content).decode()


def data_url_bytes(content: bytes) -> bytes:
    return b"data:%s;base64,%s" % (media_type(content).encode(), base64.b64encode(content))


def picture_bytes(encoded: str) -> bytes:
    """The bytes of a picture in base64, with or without `data:` in front.

    Raises:
        CallFailed: an address instead of bytes, or no base64.
    """
    if encoded.startswith(("http://", "https://")):
        fix = "let the server return base64 (response_format=b64_json)"
        raise CallFailed("the server sent an address instead of a picture", fix=fix, again=False)
    try:
        return base64.b64decode(encoded.partition(",")[2] if encoded.startswith("data:") else encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        fix = "check the server"
        raise CallFailed("a picture is not base64", got=error, fix=fix, outcome=Outcome.BAD_PICTURE) from error


def read_chat(reply: Mapping[str, Any]) -> Answer:
    """What a chat completion holds: a text, a picture in `images` or in a content part, or a refusal.

    Raises:
        CallFailed: no choice in it.
    """
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        raise CallFailed("the reply has no message", got=list(reply), fix="check that this is a chat server")
    content, refusal = message.get("content"), message.get("refusal")
    parts = content if isinstance(content, list) else []
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    pictures = [found for part in [*parts, *list_of(message.get("images"))] if (found := url_in(part))]
    refused = bool(refusal) or choice.get("finish_reason") == "content_filter"
    return Answer(
        text=content if isinstance(content, str) else "".join(texts) or (refusal if isinstance(refusal, str) else None),
        # The last picture is the finished one where a model shows its steps.
        picture=picture_bytes(pictures[-1]) if pictures and not refused else None,
        reported=text_of(reply.get("model")),
        versions=text_of(reply.get("system_fingerprint")),
        refused=refused,
        input_tokens=tokens(reply, "prompt_tokens", "input_tokens"),
        output_tokens=tokens(reply, "completion_tokens", "output_tokens"),
    )


def read_images(reply: Mapping[str, Any]) -> Answer:
    """What an images reply holds; the vendor's states no model, gateways do."""
    data = list_of(reply.get("data"))
    first = data[0] if data and isinstance(data[0], dict) else {}
    encoded = first.get("b64_json") or first.get("url")
    return Answer(
        picture=picture_bytes(encoded) if isinstance(encoded, str) else None,
        reported=text_of(reply.get("model")),
        input_tokens=tokens(reply, "prompt_tokens", "input_tokens"),
        output_tokens=tokens(reply, "completion_tokens", "output_tokens"),
    )


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def url_in(part: Any) -> str | None:
    """The address or data of a picture part."""
    found = part.get("image_url") if isinstance(part, dict) else None
    url = found.get("url") if isinstance(found, dict) else found
    return url if isinstance(url, str) else None


def tokens(reply: Mapping[str, Any], *names: str) -> int:
    """A number of tokens under either API's name for it."""
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)
