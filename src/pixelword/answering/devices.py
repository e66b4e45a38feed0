"""Devices and number formats by the names a user types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.errors import BackendError, ConfigError, nearest

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def dtype_named(name: str) -> torch.dtype | None:
    """The dtype of this name; None for an empty one.

    Raises:
        ConfigError: no such dtype, or none that a model can have.
    """
    import torch

    if not name:
        return None
    if name not in DTYPES:
        raise ConfigError("dtype must be float32, bfloat16 or float16", got=name, fix=nearest(name, DTYPES))
    kind: torch.dtype = getattr(torch, name)
    return kind


def device_named(name: str) -> torch.device:
    """The device of this name; for an empty one the first GPU, or else the processor.

    Raises:
        ConfigError: no device has such a name.
        BackendError: this machine does not have it.
    """
    import torch

    best = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if not name:
        return best or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError("no device has such a name", got=name, fix="use cpu, cuda, cuda:1 or mps") from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BackendError(
            "this machine does not have the device",
            got=f"{name}: {str(error).splitlines()[0]}",
            fix=f"use {best or 'cpu'}, or leave --device out",
        ) from error
    return device
