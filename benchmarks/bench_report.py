"""What a RealUnify page of 1,000 items costs: to write it, to open it, and the thumbnails of large pictures.

    python benchmarks/bench_report.py

A simulated run of the mini (three protocols, three judges) is written and put on a page. A Chromium that is installed
opens it beside an empty page. Then 1,000 PNG of 1024 pixels and 1.7 MB are made small, and again from what was kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pixelword.realunify.mini import Skills  # noqa: E402
from pixelword.realunify.page import build_page, read_runs  # noqa: E402
from pixelword.realunify.page.looks import look_at_all  # noqa: E402
from pixelword.realunify.page.thumbnails import Wanted  # noqa: E402
from tests.realunify.simulated_run import SimulatedRun  # noqa: E402
from tests.report.test_browser import CHROMIUM, QUIET  # noqa: E402

REPEATS = 5
PICTURES = 1_000

OPENING = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>
const page = document.createElement("iframe"), start = performance.now();
const [port, name] = location.hash.slice(1).split("/");
page.width = 1280; page.height = 900; page.src = name;
page.onload = () => requestAnimationFrame(() => setTimeout(() => fetch(`http://127.0.0.1:${port}/`,
  {mode: "no-cors", method: "POST", body: JSON.stringify({ms: performance.now() - start})}), 0));
document.body.append(page);
</script>"""


class Opened(BaseHTTPRequestHandler):
    """Takes what the page around the page has measured; both are read from the disk, as a reader's browser does."""

    def __init__(self, *values: Any, heard: dict[str, Any], done: threading.Event, **options: Any) -> None:
        self.heard, self.done = heard, done
        super().__init__(*values, **options)

    def do_POST(self) -> None:
        self.heard |= json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.done.set()

    def log_message(self, format: str, *values: object) -> None:
        """Says nothing."""


def opened(folder: Path, name: str) -> dict[str, Any]:
    """One start of Chromium: ms until the page is painted, and CPU seconds of all processes."""
    heard: dict[str, Any] = {}
    done = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Opened, heard=heard, done=done))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = tempfile.mkdtemp(prefix="bench-report-")
    url = f"{(folder / 'opening.html').as_uri()}#{server.server_port}/{name}"
    line = [str(CHROMIUM), *QUIET, "--hide-scrollbars", f"--user-data-dir={profile}", url]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(line, start_new_session=True, **quiet) as process:
        done.wait(120)
        heard["cpu"] = session_seconds(process.pid)
        process.terminate()
    server.shutdown()
    shutil.rmtree(profile, ignore_errors=True)
    return heard


def session_seconds(session: int) -> float:
    """CPU seconds of the processes of a session."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += (int(fields[11]) + int(fields[12])) * (int(fields[3]) == session)
    return ticks / os.sysconf("SC_CLK_TCK")


def opening(folder: Path) -> dict[str, Any]:
    """The page beside an empty one, in turn."""
    (folder / "opening.html").write_text(OPENING)
    (folder / "empty.html").write_text("<!DOCTYPE html><p>empty")
    found: dict[str, list[dict[str, Any]]] = {"empty.html": [], "page.html": []}
    for _ in range(REPEATS):
        for name, each in found.items():
            each.append(opened(folder, name))
    page, empty = found["page.html"], found["empty.html"]
    return {
        "load": round(os.getloadavg()[0], 1),
        "elements": len(re.findall("<[a-z]", (folder / "page.html").read_text(encoding="utf-8"))),
        "until painted, s": spread([each["ms"] / 1000 for each in page]),
        "CPU with Chromium's own start, s": spread([each["cpu"] for each in page]),
        "the same of an empty page, s": spread([each["cpu"] for each in empty]),
    }


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def writing(folder: Path) -> dict[str, Any]:
    """A page of one simulated run."""
    SimulatedRun(folder / "run", Skills(0.8, 0.6, 0.7), judges=3).write()
    cpu, wall = time.process_time(), time.monotonic()
    written = build_page(read_runs([folder / "run"])).page.write(folder / "page.html")
    return {
        "CPU, s": round(time.process_time() - cpu, 1),
        "wall, s": round(time.monotonic() - wall, 1),
        "MB": round(written.stat().st_size / 1e6, 1),
    }


def large_picture(path: Path) -> None:
    """A smooth picture with a grain: 1024 pixels, about 1.7 MB."""
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).resize((1024, 1024))
    grain = random.integers(-3, 4, (1024, 1024, 3))
    Image.fromarray((np.asarray(smooth).astype(int) + grain).clip(0, 255).astype(np.uint8)).save(path)


def thumbnails(folder: Path) -> dict[str, Any]:
    """The same large file under 1,000 names, decoded only, made small, and read from what was kept."""
    path = folder / "large.png"
    large_picture(path)
    floor = time.process_time()
    for _ in range(20):
        with Image.open(path) as picture:
            picture.load()
    floor = (time.process_time() - floor) / 20 * PICTURES
    keys = [sha256(str(number).encode()).hexdigest() for number in range(PICTURES)]
    wanted = {key: Wanted(path, key, folder, compared=True) for key in keys}
    found: dict[str, Any] = {"MB of one": round(path.stat().st_size / 1e6, 2), "CPU of decoding alone, s": round(floor)}
    for name in ("first page", "second page"):
        cpu, wall = time.process_time(), time.monotonic()
        assert len(look_at_all(wanted)) == PICTURES
        found[f"{name}, CPU, s"] = round(time.process_time() - cpu, 1)
        found[f"{name}, wall, s"] = round(time.monotonic() - wall, 1)
    kept = sum(file.stat().st_size for file in (folder / "thumbnails").rglob("*") if file.is_file())
    return {**found, "MB kept": round(kept / 1e6, 1)}


def measure() -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="bench-report-"))
    load = os.getloadavg()[0]
    try:
        found: dict[str, Any] = {"writing 1,000 items": writing(folder)}
        if CHROMIUM is not None:
            found["opening them in Chromium"] = opening(folder)
        found["1,000 large PNG"] = thumbnails(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about = {"date": date.today().isoformat(), "cores": os.cpu_count(), "load at the start": round(load, 1)}
    return {**about, **found}


if __name__ == "__main__":
    measured = measure()
    text = json.dumps(measured, indent=1)
    (ROOT / "benchmarks" / "results" / "realunify_report.json").write_text(text + "\n", encoding="utf-8")
    print(text)
