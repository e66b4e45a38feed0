"""Timing that can be trusted on a noisy machine: both sides in turn in one process, medians and spread, and ratios.

A ratio is taken round by round, so that a slow phase of the machine hits both of its sides. The ceilings (matrix
products, reading memory) are measured in the same run. Result files name the hardware, never the machine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of several runs."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} [{self.low:.4g}, {self.high:.4g}]"


def in_turn(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Wall seconds of every side, one run of each per round, after one warm-up of each."""
    for run in sides.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(slow: list[float], fast: list[float], gain: float = 1.0) -> Spread:
    """How many times faster, round by round; `gain` counts what one run of the fast side does more."""
    return Spread.of([gain * one / other for one, other in zip(slow, fast, strict=True)])


def matrix_peak(dtype: torch.dtype, size: int = 2048, runs: int = 5) -> float:
    """GFLOP/s of the best of several square products."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    a @ b
    best = min(_seconds(lambda: a @ b) for _ in range(runs))
    return 2 * size**3 / best / 1e9


def reading_rate(megabytes: int = 97, runs: int = 9) -> float:
    """GB/s of reading that much memory once, as decoding reads the weights: a matrix-vector product per row block."""
    width = 1792
    weight = torch.randn(megabytes * 2**20 // 4 // width, width)
    vector = torch.randn(width)
    best = min(_seconds(lambda: weight @ vector) for _ in range(runs))
    return weight.numel() * 4 / best / 1e9


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def machine() -> dict[str, Any]:
    """What the numbers depend on, without names of machines or paths."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(errors="replace") if info.exists() else ""
    flags = set(text.split())
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    named = [flag for flag in ("avx2", "avx512f", "amx_bf16", "amx_int8") if flag in flags]
    return {
        "cpu": names[0] if names else platform.machine(),
        "flags": named,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
    }


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def write_result(theme: str, rows: list[dict[str, Any]], notes: dict[str, Any]) -> Path:
    """`results/<theme>_<hardware>_<date>.json` and a table to read beside it."""
    about = machine() | notes
    hardware = "gpu" if about["gpu"] else "cpu-amx" if "amx_bf16" in about["flags"] else "cpu"
    path = RESULTS / f"{theme}_{hardware}_{about['date']}.json"
    path.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"# {theme}", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
