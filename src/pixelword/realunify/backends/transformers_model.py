"""Models in this process that read pictures: ours, or any of transformers. Needs the extra `model`."""

from __future__ import annotations

from typing import Any

from pixelword.errors import BackendError, CheckpointError, ConfigError, ImageError, MissingExtra, PromptError
from pixelword.realunify.backends.calls import Answer, CallFailed, Operation, Request, RunStopped
from pixelword.realunify.backends.in_process import InProcess
from pixelword.realunify.paths import open_picture

KNOWN = frozenset({"temperature", "max_tokens"})


class TransformersModel(InProcess):
    """A model that reads pictures and writes text, greedily.

    Args:
        model: a folder, or owner/name on the hub. Code from the hub is never run.
        device: cpu, cuda, ...
        dtype: bfloat16, float32, ...; that of the files by default.
        max_new_tokens: longest answer.
    """

    can = frozenset({Operation.UNDERSTAND})
    lacks = "this model reads pictures and does not draw"

    def __init__(self, model: str, device: str = "cpu", dtype: str = "", max_new_tokens: int = 512) -> None:
        super().__init__(model)
        self.device, self.dtype, self.max_new_tokens = device, dtype, max_new_tokens

    def load(self) -> Any:
        try:
            from pixelword.answering import load_answerer
            from pixelword.answering.devices import device_named, dtype_named
        except ModuleNotFoundError as error:
            missing = MissingExtra(error.name or "torch", "model")
            raise RunStopped(missing.what, fix=missing.fix) from error
        try:
            place, dtype = device_named(self.device), dtype_named(self.dtype)
            return load_answerer(self.model, max_new_tokens=self.max_new_tokens, dtype=dtype, device=place)
        except (BackendError, CheckpointError, ConfigError) as error:
            raise RunStopped(error.what, got=error.got, fix=error.fix) from error

    def check(self, request: Request) -> None:
        """Greedy is the only way; `max_tokens` of a judge is what `max_new_tokens` is here."""
        strange = sorted(set(request.settings) - KNOWN)
        if request.settings.get("temperature") or strange:
            raise RunStopped(
                "models in this process answer greedily and take no further settings",
                got=dict(request.settings),
                fix="leave the temperature and other settings away; say max_new_tokens=... among the args",
            )

    def respond(self, request: Request) -> Answer:
        parts = [{"type": "image"} for _ in request.pictures] + [{"type": "text", "text": request.prompt}]
        try:
            pictures = [open_picture(path) for path in request.pictures]
            said = self.loaded([{"role": "user", "content": parts}], pictures)
        except (ImageError, PromptError) as error:
            raise CallFailed(error.what, got=error.got, fix=error.fix, again=False) from error
        return Answer(text=said.text.strip(), output_tokens=said.tokens)
