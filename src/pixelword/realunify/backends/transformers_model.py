"""Models in this process that read pictures: ours, or any of transformers. Needs the extra `model`."""

from __future__ import annotations

from functools import partial
from typing import Any

from pixelword.errors import BackendError, CheckpointError, ConfigError, ImageError, MissingExtra, PromptError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request, RunStopped
from pixelword.realunify.paths import open_picture


class TransformersModel(Backend):
    """A model that reads pictures and writes text, greedily; loaded at its first call, asked one prompt at a time.

    Args:
        model: a folder, or owner/name on the hub. Code from the hub is never run.
        device: cpu, cuda, ...
        dtype: bfloat16, float32, ...; that of the files by default.
        max_new_tokens: longest answer.
    """

    can = frozenset({Operation.UNDERSTAND})
    at_once = 1

    def __init__(self, model: str, device: str = "cpu", dtype: str = "", max_new_tokens: int = 512) -> None:
        self.model, self.device, self.dtype, self.max_new_tokens = model, device, dtype, max_new_tokens
        self.answerer: Any = None
        self.turn: Any = None

    async def call(self, request: Request) -> Answer:
        import anyio

        if request.operation not in self.can:
            fix = "give the role to another model"
            raise NotSupported("this model reads pictures and does not draw", got=request.operation, fix=fix)
        if request.settings.get("temperature"):
            raise ConfigError(
                "models in this process answer greedily", got=request.settings, fix="leave the temperature away"
            )
        if self.turn is None:
            self.turn = anyio.Lock()
        async with self.turn:
            return await anyio.to_thread.run_sync(partial(self.answer, request))

    def load(self) -> Any:
        """The model with its processor.

        Raises:
            RunStopped: a library is absent, the model cannot be loaded, or there is no such device or dtype.
        """
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

    def answer(self, request: Request) -> Answer:
        if self.answerer is None:
            self.answerer = self.load()
        import torch

        parts = [{"type": "image"} for _ in request.pictures] + [{"type": "text", "text": request.prompt}]
        try:
            pictures = [open_picture(path) for path in request.pictures]
            said = self.answerer([{"role": "user", "content": parts}], pictures)
        except (ImageError, PromptError) as error:
            raise CallFailed(error.what, got=error.got, fix=error.fix, again=False) from error
        except torch.OutOfMemoryError as error:
            fix = "use a smaller model or another device"
            raise CallFailed("the device has no memory left", got=error, fix=fix, again=False) from error
        return Answer(text=said.text.strip(), reported=self.model, output_tokens=said.tokens)
