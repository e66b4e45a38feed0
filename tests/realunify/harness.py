"""What the tests of the harness share: a run in this process, and one in a process that can be killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pixelword.realunify.records import Call
from pixelword.realunify.run_settings import RunPlan
from pixelword.realunify.store import Store
from tests.realunify.loopback import KEY, Knowledge, Loopback, Plan

SIDE = 64
PATHS = {"generate": "generations", "edit": "edits"}


def plan_for(server: Loopback | str, out: Path, number: int, **more: Any) -> RunPlan:
    """A run of the mini against the loopback server, with short pauses between tries."""
    url = server if isinstance(server, str) else server.url
    args = {"base_url": url, "backoff": 0.02, "timeout": 30.0, **more.pop("args", {})}
    choice = {"name": "pixelword-openai/tiny", "args": args}
    run = {
        "out": str(out),
        "mini_number": number,
        "mini_side": SIDE,
        "retries": 2,
        "timeout": 60,
        **more.pop("run", {}),
    }
    return RunPlan.model_validate(
        {"models": {"model": choice, "judge": choice, **more.pop("models", {})}, "run": run, **more}
    )


def known(number: int) -> Knowledge:
    return Knowledge.of(number, 0, SIDE)


def statuses(out: Path) -> Counter[str]:
    """How many items ended in each status, every item once."""
    return Counter(str(record.status) for record in Store(out).items().values())


def command(out: Path, url: str, number: int, *words: str) -> list[str]:
    """The same run from the command line."""
    settings = [
        f"models.model.args.base_url={url}",
        "models.model.args.backoff=0.02",
        f"models.judge.args.base_url={url}",
        "models.judge.args.backoff=0.02",
        f"run.mini_side={SIDE}",
        "run.retries=2",
    ]
    line = [sys.executable, "-m", "pixelword.cli.main", "realunify", "run", str(out), "--display", "none"]
    line += [
        "--model",
        "pixelword-openai/tiny",
        "--judge",
        "pixelword-openai/tiny",
        "--mini-number",
        str(number),
        "--at-once",
        "8",
        *words,
    ]
    return [*line, *(word for setting in settings for word in ("--set", setting))]


def environment() -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1"}


def asked_name(call: Call) -> str:
    """The name under which the server counts the request of a stored call."""
    path = "/v1/chat/completions" if call.operation == "understand" else f"/v1/images/{PATHS[call.operation]}"
    seen = [path, call.prompt, str(call.seed), *(shown.sha256 for shown in call.pictures_in)]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def killed_after(line: list[str], out: Path, replies: int) -> bool:
    """Start a run, kill -9 it once it has stored so many more replies; False when it ended first."""
    file = out / "replies.jsonl"

    def stored() -> int:
        return file.read_bytes().count(b"\n") if file.exists() else 0

    goal = stored() + replies
    with subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and stored() < goal:
            time.sleep(0.005)
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
    return not ended


__all__ = [
    "KEY",
    "SIDE",
    "Loopback",
    "Plan",
    "asked_name",
    "command",
    "environment",
    "killed_after",
    "known",
    "plan_for",
    "statuses",
]
