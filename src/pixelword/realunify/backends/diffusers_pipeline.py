"""Pipelines of diffusers in this process: they draw and, given an image, edit. The library is not ours to pin."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from pixelword.errors import BackendError, ConfigError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request, RunStopped
from pixelword.realunify.backends.calls import operations as read_operations
from pixelword.realunify.paths import open_picture


class DiffusersPipeline(Backend):
    """A pipeline, loaded at its first call.

    Args:
        model: a folder, or owner/name on the hub.
        can: "generate" for text to image, "edit" for a pipeline that takes an image, or both.
        device: cpu, cuda, ...
        dtype: of the weights.
        arguments: further ones of the pipeline's call, such as num_inference_steps and guidance_scale.
    """

    at_once = 1

    def __init__(
        self, model: str, can: str = "generate", device: str = "cuda", dtype: str = "bfloat16", **arguments: Any
    ) -> None:
        self.model, self.can, self.device, self.dtype = model, read_operations(can), device, dtype
        self.arguments = arguments
        self.pipeline: Any = None
        self.turn: Any = None

    async def call(self, request: Request) -> Answer:
        import anyio

        if request.operation not in self.can:
            fix = "give the role to another model, or say can=generate,edit"
            raise NotSupported("this pipeline is said not to have this step", got=request.operation, fix=fix)
        if self.turn is None:
            self.turn = anyio.Lock()
        async with self.turn:
            return await anyio.to_thread.run_sync(partial(self.answer, request))

    def load(self) -> Any:
        """The pipeline.

        Raises:
            RunStopped: the library is absent, the pipeline cannot be loaded, or there is no such device or dtype.
        """
        try:
            from diffusers import DiffusionPipeline  # type: ignore[import-not-found,unused-ignore]

            from pixelword.answering.devices import device_named, dtype_named
        except ModuleNotFoundError as error:
            raise RunStopped(
                "this needs a library that no extra installs",
                got=error.name,
                fix='pip install diffusers "pixelword[model]"',
            ) from error
        try:
            # Before the weights are read: a device that is not there would read them anew for every item.
            place, dtype = device_named(self.device), dtype_named(self.dtype)
            pipeline = DiffusionPipeline.from_pretrained(self.model, torch_dtype=dtype)
        except (BackendError, ConfigError) as error:
            raise RunStopped(error.what, got=error.got, fix=error.fix) from error
        except (OSError, ValueError) as error:
            got = str(error).strip().partition("\n")[0]
            raise RunStopped("the pipeline cannot be loaded", got=got, fix="check its name") from error
        return pipeline.to(place)

    def answer(self, request: Request) -> Answer:
        if self.pipeline is None:
            self.pipeline = self.load()
        import torch

        arguments: dict[str, Any] = {**self.arguments, **request.settings}
        if size := arguments.pop("size", None):
            arguments["width"], arguments["height"] = read_size(str(size))
        if request.seed is not None:
            arguments["generator"] = torch.Generator("cpu").manual_seed(request.seed)
        if request.operation == Operation.EDIT:
            pictures = [open_picture(path) for path in request.pictures]
            arguments["image"] = pictures[0] if len(pictures) == 1 else pictures
        try:
            picture = self.pipeline(prompt=request.prompt, **arguments).images[0]
        except torch.OutOfMemoryError as error:
            raise CallFailed("the device has no memory left", got=error, fix="ask for less", again=False) from error
        content = io.BytesIO()
        picture.save(content, "PNG")
        return Answer(picture=content.getvalue(), reported=self.model)


def read_size(text: str) -> tuple[int, int]:
    """Width and height from "1024x768"."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ConfigError("a size is width x height", got=text, fix="write it like 1024x1024")
    return int(width), int(height)
