"""Pipelines of diffusers in this process: they draw and, given an image, edit. The library is not ours to pin."""

from __future__ import annotations

import inspect
import io
from typing import Any

from pixelword.errors import BackendError, ConfigError, nearest
from pixelword.realunify.backends.calls import Answer, Operation, Request, RunStopped
from pixelword.realunify.backends.calls import operations as read_operations
from pixelword.realunify.backends.in_process import InProcess
from pixelword.realunify.paths import open_picture


class DiffusersPipeline(InProcess):
    """A pipeline.

    Args:
        model: a folder, or owner/name on the hub.
        can: "generate" for text to image, "edit" for a pipeline that takes an image, or both.
        device: cpu, cuda, ...
        dtype: of the weights.
        arguments: further ones of the pipeline's call, such as num_inference_steps and guidance_scale.
    """

    lacks = "this pipeline is said not to have this step"
    libraries = ("torch", "diffusers", "transformers")

    def __init__(
        self, model: str, can: str = "generate", device: str = "cuda", dtype: str = "bfloat16", **arguments: Any
    ) -> None:
        super().__init__(model)
        self.can, self.device, self.dtype = read_operations(can), device, dtype
        self.arguments = arguments

    def load(self) -> Any:
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

    def check(self, request: Request) -> None:
        """Every argument against the signature of the pipeline's call."""
        taken = inspect.signature(type(self.loaded).__call__).parameters
        if any(each.kind == inspect.Parameter.VAR_KEYWORD for each in taken.values()):
            return
        for name in self.names(request):
            if name not in taken:
                known = [each for each in taken if each != "self"]
                fix = "leave edit out of can=..." if name == "image" else nearest(name, known)
                raise RunStopped(
                    f"{type(self.loaded).__name__} does not take the argument {name!r}", got=self.model, fix=fix
                )

    def names(self, request: Request) -> list[str]:
        """The arguments of a call, by name; `size` is two of them."""
        found = {"prompt": None, **self.arguments, **request.settings}
        pixels = ["width", "height"] if found.pop("size", None) else []
        seed = [] if request.seed is None else ["generator"]
        return [*found, *pixels, *seed, *(["image"] if request.operation == Operation.EDIT else [])]

    def respond(self, request: Request) -> Answer:
        import torch

        arguments: dict[str, Any] = {**self.arguments, **request.settings}
        if size := arguments.pop("size", None):
            arguments["width"], arguments["height"] = read_size(str(size))
        if request.seed is not None:
            arguments["generator"] = torch.Generator("cpu").manual_seed(request.seed)
        if request.operation == Operation.EDIT:
            pictures = [open_picture(path) for path in request.pictures]
            arguments["image"] = pictures[0] if len(pictures) == 1 else pictures
        picture = self.loaded(prompt=request.prompt, **arguments).images[0]
        content = io.BytesIO()
        picture.save(content, "PNG")
        return Answer(picture=content.getvalue())


def read_size(text: str) -> tuple[int, int]:
    """Width and height from "1024x768".

    Raises:
        RunStopped: another form, which every request would have.
    """
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise RunStopped("a size is width x height", got=text, fix="write it like 1024x1024")
    return int(width), int(height)
