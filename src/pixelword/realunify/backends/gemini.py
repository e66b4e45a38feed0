"""Google's generateContent: texts, pictures and edits are one call that names the kinds of reply it wants."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request, operations
from pixelword.realunify.backends.http import Http, Refused, key_from
from pixelword.realunify.backends.openai_http import list_of, media_type, picture_bytes, text_of

OFFICIAL = "https://generativelanguage.googleapis.com/v1beta"

DECLINED = frozenset(
    {"SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION", "SPII"}
)


class Gemini(Backend):
    """A model behind `models/NAME:generateContent`.

    Args:
        model: such as gemini-3-pro-image.
        base_url: up to the version; Google's own by default.
        key_env: the environment variable that holds the key; GEMINI_API_KEY or GOOGLE_API_KEY by default.
        can: operations that the model has; "understand" for a model without pictures.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "",
        key_env: str = "",
        can: str = "understand,generate,edit,interleave",
        timeout: float = 600.0,
        at_once: int = 16,
    ) -> None:
        self.model, self.can, self.at_once = model, operations(can), at_once
        names = [key_env] if key_env else ["GEMINI_API_KEY", "GOOGLE_API_KEY"]
        key = key_from(names, needed=not base_url or bool(key_env))
        self.http = Http(base_url or OFFICIAL, key, timeout, header=("x-goog-api-key", ""))

    async def call(self, request: Request) -> Answer:
        if request.operation not in self.can:
            fix = "give the role to another model"
            raise NotSupported("this model is said not to have this step", got=request.operation, fix=fix)
        parts: list[dict[str, Any]] = [
            {"inlineData": {"mimeType": media_type(content), "data": base64.b64encode(content).decode()}}
            for content in (path.read_bytes() for path in request.pictures)
        ]
        wanted = ["TEXT"] if request.operation == Operation.UNDERSTAND else ["TEXT", "IMAGE"]
        payload = {
            "contents": [{"role": "user", "parts": [*parts, {"text": request.prompt}]}],
            "generationConfig": {"responseModalities": wanted, **configuration(request)},
        }
        try:
            return read_candidates(await self.http.post(f"models/{self.model}:generateContent", payload))
        except Refused as declined:
            return Answer(text=str(declined), refused=True)

    async def close(self) -> None:
        await self.http.close()


def configuration(request: Request) -> dict[str, Any]:
    """Settings under Google's names. Pixels cannot be asked for; the shape can."""
    renamed = {"max_tokens": "maxOutputTokens", "top_p": "topP", "aspect_ratio": "aspectRatio"}
    found = {renamed.get(name, name): value for name, value in request.settings.items() if name != "size"}
    shape = {"imageConfig": {"aspectRatio": found.pop("aspectRatio")}} if "aspectRatio" in found else {}
    seed = {} if request.seed is None else {"seed": request.seed}
    return {**found, **shape, **seed}


def read_candidates(reply: Mapping[str, Any]) -> Answer:
    """What a reply holds. A text where a picture was wanted is an answer without a picture.

    Raises:
        CallFailed: neither a candidate nor a reason for its absence.
    """
    feedback = reply.get("promptFeedback")
    candidates = list_of(reply.get("candidates"))
    first = candidates[0] if candidates and isinstance(candidates[0], dict) else None
    if first is None and not (isinstance(feedback, dict) and feedback.get("blockReason")):
        raise CallFailed("the reply has no candidate", got=list(reply), fix="check the address of the server")
    content = (first or {}).get("content")
    parts = [
        part for part in list_of((content if isinstance(content, dict) else {}).get("parts")) if isinstance(part, dict)
    ]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str) and not part.get("thought")]
    pictures = [data for part in parts if not part.get("thought") and (data := data_in(part))]
    usage = reply.get("usageMetadata")
    usage = usage if isinstance(usage, dict) else {}
    refused = first is None or first.get("finishReason") in DECLINED
    return Answer(
        text="".join(texts) or None,
        picture=picture_bytes(pictures[-1]) if pictures and not refused else None,
        reported=text_of(reply.get("modelVersion")),
        refused=refused,
        input_tokens=usage.get("promptTokenCount") or 0,
        output_tokens=usage.get("candidatesTokenCount") or 0,
    )


def data_in(part: Mapping[str, Any]) -> str | None:
    found = part.get("inlineData") or part.get("inline_data")
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, str) else None
