"""What this machine can do for training, found out by looking and trying; the log says what was chosen."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """How to train here.

    Attributes:
        bfloat16: matrix products in bfloat16 (autocast); weights stay in float32.
        compiled: torch.compile each layer.
        why: one sentence on both choices.
    """

    bfloat16: bool
    compiled: bool
    why: str


def look_at_machine(*, short: bool = False) -> Machine:
    """bfloat16 only where the CPU multiplies it fast, torch.compile only where a C++ compiler works.

    Args:
        short: the run is over before compiling would have paid for itself.
    """
    fast, compiler = has_fast_bfloat16(), not short and compiler_works()
    products = "bfloat16 products (the CPU has AMX)" if fast else "float32 (no fast bfloat16 on this CPU)"
    reason = "a short run" if short else "no working C++ compiler for torch.compile"
    layers = "compiled layers" if compiler else f"eager layers ({reason})"
    threads = torch.get_num_threads()
    return Machine(fast, compiler, f"{products}, {layers}, {threads} thread{'s' if threads > 1 else ''}")


def has_fast_bfloat16() -> bool:
    """Whether the CPU has tiles for bfloat16 (AMX). Without them autocast is slower than float32."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "amx_bf16" in cpu.read_text(errors="replace").split()


@cache
def compiler_works() -> bool:
    """Whether torch.compile can build and run a kernel for the CPU: a compiler is there, and so are its headers."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return False
    try:
        with torch.no_grad():
            torch.compile(_probe)(torch.ones(64))
    except torch._dynamo.exc.TorchDynamoException as error:
        logger.warning("torch.compile does not work here: %s", str(error).splitlines()[0])
        return False
    return True


def _probe(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + x.cos()
