"""What the harness costs above a bare client loop, in CPU time for each call of a model.

    python benchmarks/bench_harness.py

Both do the same calls at 64 in flight against a loopback server in a process of its own: an edit that answers with a
1024-pixel PNG of about 1.5 MB, then a question about that picture (GEU, stepwise). The harness does them through
Inspect with its log, the store of replies and pictures, and the scores.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pixelword.realunify.inspecting.running import run_plan  # noqa: E402
from pixelword.realunify.run_settings import RunPlan  # noqa: E402
from pixelword.realunify.sources import MiniSize, read_source  # noqa: E402
from pixelword.realunify.store import Store  # noqa: E402

IN_FLIGHT = 64
PER_CATEGORY = 64
SIDE = 64
GOAL_MS = 15.0


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that always draws the same picture and always says B."""
    line = [sys.executable, "-m", "tests.realunify.loopback", json.dumps({"noise": 1024, "says": "B"})]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


async def bare(url: str, items: list[Any]) -> int:
    """The same calls without anything around them; returns the bytes of the pictures."""
    gate, total = anyio.Semaphore(IN_FLIGHT), [0]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=IN_FLIGHT)

    async def one(client: httpx.AsyncClient, item: Any) -> None:
        async with gate:
            form = {"model": "tiny", "prompt": item.edit_prompt, "n": "1", "seed": "0"}
            files = {"image": ("picture.png", item.image.read_bytes(), "image/png")}
            edited = (await client.post(f"{url}/images/edits", data=form, files=files)).json()
            picture = base64.b64decode(edited["data"][0]["b64_json"])
            total[0] += len(picture)
            url_part = {"url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}
            parts = [{"type": "image_url", "image_url": url_part}, {"type": "text", "text": item.evaluation_prompt}]
            payload = {"model": "tiny", "messages": [{"role": "user", "content": parts}], "seed": 0}
            (await client.post(f"{url}/chat/completions", json=payload)).json()

    async with httpx.AsyncClient(timeout=600, limits=limits) as client, anyio.create_task_group() as group:
        for item in items:
            group.start_soon(one, client, item)
    return total[0]


def harness(url: str, out: Path) -> None:
    choice = {"name": "pixelword-openai/tiny", "args": {"base_url": url}}
    run = {"out": str(out), "mini_number": PER_CATEGORY, "mini_side": SIDE, "at_once": IN_FLIGHT}
    run_plan(
        RunPlan.model_validate({"models": {"model": choice}, "tracks": ["GEU"], "protocols": ["stepwise"], "run": run})
    )


def measure() -> dict[str, Any]:
    os.environ.setdefault("OPENAI_API_KEY", "sk-loopback")
    folder = Path(tempfile.mkdtemp(prefix="bench-harness-"))
    source = read_source("mini", folder / "mini", MiniSize(PER_CATEGORY, 0, SIDE))
    items = list(source.benchmark.choice)
    calls = 2 * len(items)
    try:
        with server() as url:
            anyio.run(bare, url, items[:IN_FLIGHT])  # connections, imports
            harness_warm = folder / "warm"
            (harness_warm).mkdir()
            shutil.copytree(
                folder / "mini" / f"mini-{PER_CATEGORY}-0-{SIDE}", harness_warm / f"mini-{PER_CATEGORY}-0-{SIDE}"
            )
            shutil.copytree(harness_warm, folder / "run")
            start, wall = time.process_time(), time.monotonic()
            pictures = anyio.run(bare, url, items)
            bare_cpu, bare_wall = time.process_time() - start, time.monotonic() - wall
            start, wall = time.process_time(), time.monotonic()
            harness(url, folder / "run")
            harness_cpu, harness_wall = time.process_time() - start, time.monotonic() - wall
        done = len(list(Store(folder / "run").calls()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    above = 1000 * (harness_cpu - bare_cpu) / calls
    return {
        "date": date.today().isoformat(),
        "calls": calls,
        "stored replies": done,
        "in flight": IN_FLIGHT,
        "bytes of one picture": pictures // len(items),
        "bare loop, ms CPU per call": round(1000 * bare_cpu / calls, 2),
        "harness, ms CPU per call": round(1000 * harness_cpu / calls, 2),
        "overhead, ms CPU per call": round(above, 2),
        "goal": GOAL_MS,
        "seconds": {"bare": round(bare_wall, 1), "harness": round(harness_wall, 1)},
    }


if __name__ == "__main__":
    measured = measure()
    text = json.dumps(measured, indent=1)
    (ROOT / "benchmarks" / "results" / "harness.json").write_text(text + "\n", encoding="utf-8")
    print(text)
