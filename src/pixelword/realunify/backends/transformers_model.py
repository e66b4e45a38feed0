"""Vision-language models of transformers in this process, and the models of this package. Needs the extra `model`."""

from __future__ import annotations

from functools import partial
from typing import Any

from pixelword.errors import MissingExtra
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request, RunStopped


class TransformersModel(Backend):
    """A model that reads pictures and writes text, loaded at its first call.

    Args:
        model: a folder, or owner/name on the hub. Code from the hub is never run.
        device: cpu, cuda, ...; where transformers puts it by default.
        dtype: bfloat16, float32, ...; that of the files by default.
        max_new_tokens: of a reply without a setting of its own.
    """

    can = frozenset({Operation.UNDERSTAND})
    at_once = 1

    def __init__(self, model: str, device: str = "", dtype: str = "auto", max_new_tokens: int = 512) -> None:
        self.model, self.device, self.dtype, self.max_new_tokens = model, device, dtype, max_new_tokens
        self.loaded: tuple[Any, Any] | None = None
        self.turn: Any = None

    async def call(self, request: Request) -> Answer:
        import anyio

        if request.operation not in self.can:
            fix = "give the role to another model"
            raise NotSupported("this model reads pictures and does not draw", got=request.operation, fix=fix)
        if self.turn is None:
            self.turn = anyio.Lock()
        async with self.turn:
            return await anyio.to_thread.run_sync(partial(self.answer, request))

    def prepare(self) -> None:
        """Called before the weights are read."""

    def load(self) -> tuple[Any, Any]:
        """The processor and the model.

        Raises:
            MissingExtra: torch or transformers is absent.
            RunStopped: the model cannot be loaded.
        """
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "transformers", "model") from error
        self.prepare()
        dtype = "auto" if self.dtype == "auto" else getattr(torch, self.dtype)
        try:
            processor = AutoProcessor.from_pretrained(self.model, trust_remote_code=False)
            network: Any = AutoModelForImageTextToText.from_pretrained(self.model, dtype=dtype, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            got = str(error).strip().partition("\n")[0]
            raise RunStopped("the model cannot be loaded", got=got, fix="check its name; see the worker") from error
        return processor, network.to(self.device or network.device).eval()

    def answer(self, request: Request) -> Answer:
        import torch

        if self.loaded is None:
            self.loaded = self.load()
        processor, network = self.loaded
        settings = dict(request.settings)
        content = [{"type": "image", "url": str(path)} for path in request.pictures]
        turn = [{"role": "user", "content": [*content, {"type": "text", "text": request.prompt}]}]
        inputs = processor.apply_chat_template(
            turn, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(network.device)
        temperature = settings.get("temperature") or 0
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        if request.seed is not None:
            torch.manual_seed(request.seed)
        length = int(settings.get("max_tokens") or self.max_new_tokens)
        try:
            with torch.inference_mode():
                tokens = network.generate(**inputs, max_new_tokens=length, **sampling)
        except torch.OutOfMemoryError as error:
            raise CallFailed(
                "the device has no memory left", got=error, fix="use a smaller model", again=False
            ) from error
        prompt_length = inputs["input_ids"].shape[1]
        new = tokens[0, prompt_length:]
        text = processor.batch_decode(new[None], skip_special_tokens=True)[0]
        return Answer(
            text=text.strip(),
            reported=str(getattr(network.config, "_name_or_path", "") or self.model),
            input_tokens=prompt_length,
            output_tokens=len(new),
        )


class NativeModel(TransformersModel):
    """A model of this package: its classes are made known to transformers first. It cannot draw yet."""

    def prepare(self) -> None:
        import pixelword.model  # noqa: F401  (registers the classes)
