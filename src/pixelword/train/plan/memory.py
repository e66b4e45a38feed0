"""The most memory that something took, as the system and the GPU saw it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from types import TracebackType

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures while entered.

    Args:
        device: the GPU whose memory is measured too, if it is one.

    Attributes:
        process: most bytes of the process in the machine's memory, everything that it held before included.
        gpu: most bytes of tensors on the GPU; 0 without one.
        since_start: whether `process` counts from the start of the process, because the system cannot reset it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.process = self.gpu = 0
        self.since_start = False

    def __enter__(self) -> PeakMemory:
        try:
            CLEAR.write_text("5")
        except OSError:
            self.since_start = True
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process = peak_of_process()
        if self.device.type == "cuda":
            self.gpu = torch.cuda.max_memory_allocated(self.device)


def peak_of_process() -> int:
    """Bytes, since the last reset where the system has one."""
    if STATUS.exists():
        line = next((line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
