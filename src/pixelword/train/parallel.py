"""Several processes, one training: what they tell each other, and what is said when one of them is gone.

Values travel as JSON, so that nothing is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pixelword.errors import BackendError, CheckpointError, ConfigError, PixelWordError

GONE = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "socket closed",
    "timed out",
    "timeout",
    "remote process",
)
"""What gloo and NCCL say, in lower case, when another process does not answer any more."""


def refuse_other_sharding() -> None:
    """Recipes are spread by our own FSDP2; what `accelerate launch` was told about its own would be ignored.

    Raises:
        ConfigError: accelerate was told to use its FSDP.
    """
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false")
    if asked.lower() in ("true", "1"):
        raise ConfigError(
            "a recipe is not trained with accelerate's FSDP",
            got=f"ACCELERATE_USE_FSDP={asked}",
            fix="start it with torchrun, which spreads the model by FSDP2 (`spread: all` or `node`), "
            "or with accelerate's DeepSpeed; see docs/scale.md",
        )


def number_of_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes what is written once."""
    return number_of_processes() == 1 or dist.get_rank() == 0


def gathered(value: Any) -> list[Any]:
    """What every process passed, in the order of their ranks, on every process; plain data that JSON can hold."""
    if number_of_processes() == 1:
        return [value]
    own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    lengths = [int(length) for length in _everywhere(torch.tensor([len(own)]))]
    padded = torch.zeros(max(lengths), dtype=torch.uint8)
    padded[: len(own)] = own
    texts = _everywhere(padded)
    return [json.loads(text.numpy().tobytes()[:length]) for text, length in zip(texts, lengths, strict=True)]


def _everywhere(own: Tensor) -> list[Tensor]:
    """Tensors of one shape, of all processes; they travel over the GPUs where only those are connected."""
    sent = own if "gloo" in str(dist.get_backend_config()) else own.cuda()
    received = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(received, sent)
    return [tensor.cpu() for tensor in received]


@contextmanager
def all_or_none(what: str, fix: str) -> Iterator[None]:
    """If the block fails on one process, all processes raise instead of waiting for that one.

    The block must not talk to the other processes.

    Args:
        what, fix: of the error.

    Raises:
        PixelWordError: the block's own, where it failed so.
        CheckpointError: some process met an OSError or an error of this package; says which, and what it was.
    """
    failure = ""
    cause: OSError | PixelWordError | None = None
    try:
        yield
    except (OSError, PixelWordError) as error:
        failure, cause = str(error) or type(error).__name__, error
    failures = {rank: text for rank, text in enumerate(gathered(failure)) if text}
    if isinstance(cause, PixelWordError):
        raise cause
    if failures:
        several = number_of_processes() > 1
        said = "; ".join(f"process {rank}: {text}" if several else text for rank, text in failures.items())
        raise CheckpointError(what, got=said, fix=fix) from cause


@contextmanager
def lost_worker_explained(last_good: Callable[[], str]) -> Iterator[None]:
    """Turn what gloo or NCCL says about a process that is gone into one sentence.

    Args:
        last_good: names what the run goes on from, such as `checkpoint-400`.

    Raises:
        BackendError: another process died, or did not answer for too long.
    """
    try:
        yield
    except RuntimeError as error:
        if number_of_processes() == 1 or not is_about_a_lost_worker(error):
            raise
        raise BackendError(
            f"another process of this run is gone; process {dist.get_rank()} of {dist.get_world_size()} stops too",
            got=str(error).splitlines()[0],
            fix="look for the first error of the other processes (the system ends one that needs too much memory), "
            f"then start the same command again: it goes on from {last_good()}",
        ) from error


def is_about_a_lost_worker(error: RuntimeError) -> bool:
    """Whether an error is how gloo or NCCL report that another process does not answer."""
    text = str(error).lower()
    named = isinstance(error, dist.DistError) or any(name in text for name in ("gloo", "nccl", "tcpstore", "[/"))
    return named and any(sign in text for sign in GONE)
