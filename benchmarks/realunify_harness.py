"""The harness at full size against the loopback server: 1,000 mini items under faults, and twenty kills.

    python -m benchmarks.realunify_harness faults --out runs/faults
    python -m benchmarks.realunify_harness kills --out runs/kills

Writes what it measured as JSON to benchmarks/results. docs/realunify_harness.md has the numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from pixelword.realunify.inspecting.running import run_plan
from pixelword.realunify.store import Store
from tests.realunify.harness import KEY, Plan, asked_name, command, environment, killed_after, known, plan_for
from tests.realunify.loopback import FAULTS, Loopback

RESULTS = Path(__file__).parent / "results"


def faults(out: Path, number: int = 100, share: float = 0.3) -> dict[str, Any]:
    """Every item of both tracks under both protocols, with every kind of fault."""
    os.environ["OPENAI_API_KEY"] = KEY
    start, cpu = time.monotonic(), time.process_time()
    with Loopback(Plan(FAULTS, share=share, slow=1.5, side=64), known(number)) as server:
        run_plan(plan_for(server, out, number, args={"timeout": 1.0}, run={"at_once": 32}))
        asked, met = sum(server.asked.values()), dict(server.met)
    store = Store(out)
    records = list(store.items().values())
    counts = Counter(f"{record.protocol} {record.track} {record.status}" for record in records)
    expected = {str(run.protocol) + run.track: len(run.expected) for run in store.runs()}
    return {
        "items": len(records),
        "expected": sum(expected.values()),
        "statuses": dict(sorted(counts.items())),
        "failures with a score": sum(
            record.right is not None and any(call.outcome != "reply" for call in record.calls) for record in records
        ),
        "requests": asked,
        "faults met": met,
        "calls with another model's name": sum(call.rerouted for call in store.calls()),
        "seconds": round(time.monotonic() - start, 1),
        "cpu seconds, server included": round(time.process_time() - cpu, 1),
    }


def kills(out: Path, number: int = 15, times: int = 20, seed: int = 0) -> dict[str, Any]:
    """Kill -9 at random moments, then the same command to its end; the server counts."""
    random, killed, seen = Random(seed), 0, []
    with Loopback(Plan(side=64, delay=0.02), known(number)) as server:
        line = command(out, server.url, number)
        for _ in range(times):
            killed += killed_after(line, out, random.randint(1, 30))
            stored = {asked_name(call) for call in Store(out).calls()}
            seen.append({name: server.asked[name] for name in stored})
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
        asked = dict(server.asked)
    store = Store(out)
    calls = [call.key for call in store.calls()]
    records = store.items().values()
    return {
        "kills": killed,
        "exit status of the last start": done.returncode,
        "items": len(records),
        "expected": 2 * 10 * number,
        "statuses": dict(Counter(str(record.status) for record in records)),
        "replies stored": len(calls),
        "replies stored twice": len(calls) - len(set(calls)),
        "replies stored before the last start": len(seen[-1]),
        "stored replies that were asked for again": sum(
            asked[name] > count for counts in seen for name, count in counts.items()
        ),
        "requests that a kill cut off, and that were sent again": sum(count - 1 for count in asked.values()),
    }


def main() -> None:
    kind, _, out = sys.argv[1:4]
    measured = {"faults": faults, "kills": kills}[kind](Path(out))
    text = json.dumps(measured, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"realunify_harness_{kind}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
