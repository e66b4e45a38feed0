"""The demo's page in a real browser: it fits a phone, follows light and dark, and asks for nothing.

Uses a Chromium that is installed, and never downloads one. It can reach no host but this test's own server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.report.demo_like import demo_like_page

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium on this machine (looked for {', '.join(NAMES)})")

WIDTHS = (1280, 500, 390)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# A page of our own around the page under test reads its measures, because that one may run no script.
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><style>iframe { border: 0; height: 900px }</style>
<iframe src="report.html" width="1280"></iframe><iframe src="report.html" width="500"></iframe>
<iframe src="report.html" width="390"></iframe>
<script>
onload = () => {
  const seen = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
    const shown = [...page.querySelectorAll("svg text")].filter(text => text.getBoundingClientRect().width > 0);
    const inside = element => element.closest(".scroll, .along, .band");
    return {
      width: root.clientWidth, needed: root.scrollWidth,
      background: view.getComputedStyle(page.body).backgroundColor,
      ink: view.getComputedStyle(page.body).color,
      plotInk: view.getComputedStyle(shown[0]).fill,
      drawings: [...page.querySelectorAll(".drawing")].map(
        one => [one.className, one.getBoundingClientRect().width > 0]),
      smallest: Math.min(...shown.map(text =>
        parseFloat(view.getComputedStyle(text).fontSize) * text.getScreenCTM().a)),
      beyond: [...page.querySelectorAll("main *, nav *")].filter(one => !inside(one)
        && one.getBoundingClientRect().right > root.clientWidth + 1).map(one => one.outerHTML.slice(0, 99)),
      broken: [...page.images].filter(image => !image.naturalWidth).length,
      pictures: page.images.length,
      fetched: view.performance.getEntriesByType("resource").map(one => one.name),
    };
  });
  document.body.append(Object.assign(document.createElement("pre"), {id: "seen", textContent: JSON.stringify(seen)}));
};
</script>"""


class Recorder(SimpleHTTPRequestHandler):
    """Serves one folder and remembers what it was asked for."""

    asked: list[str]

    def __init__(self, *arguments, asked: list[str], **options) -> None:
        self.asked = asked
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *values: object) -> None:
        """Says nothing; Chromium may try TLS first, which this server refuses."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8))
    demo_like_page({"wide.png": photo, "tall.png": photo.rotate(90, expand=True)}).write(folder / "report.html")
    (folder / "measure.html").write_text(MEASURE)
    return folder


@pytest.fixture
def server(folder) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    handler = partial(Recorder, asked=asked, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def chromium(tmp_path: Path, scheme: str, *arguments: str) -> str:
    dark = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path}", dark, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def measured(dom: str) -> list[dict[str, Any]]:
    """What the measuring page wrote down: one entry for each of WIDTHS."""
    return json.loads(unescape(dom.partition('<pre id="seen">')[2].partition("</pre>")[0]))


def brightness(colour: str) -> float:
    return sum(map(float, colour.strip("rgb()").split(","))) / 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_follows_the_scheme_and_asks_for_nothing(server, tmp_path, scheme):
    port, asked = server
    dom = chromium(tmp_path, scheme, "--dump-dom", f"http://127.0.0.1:{port}/measure.html")
    for width, measures in zip(WIDTHS, measured(dom), strict=True):
        assert abs(measures["width"] - width) <= 20, "a scroll bar at most"
        assert measures["needed"] <= measures["width"], "nothing makes the page scroll sideways"
        assert measures["beyond"] == []
        assert measures["smallest"] >= 9.5, "every label of a plot can be read"
        assert measures["broken"] == 0
        assert measures["fetched"] == []
        assert measures["pictures"] > 20
        kind = "drawing wide" if width > 1000 else "drawing narrow"
        assert {name for name, shown in measures["drawings"] if shown} == {kind}
        light, ink = brightness(measures["background"]), brightness(measures["ink"])
        assert (light > 230 and ink < 60) if scheme == "light" else (light < 40 and ink > 200)
        assert brightness(measures["plotInk"]) < 130 if scheme == "light" else brightness(measures["plotInk"]) > 130
    assert set(asked) == {"/measure.html", "/report.html"}


def test_the_measures_would_find_a_bad_page(folder, server, tmp_path):
    port, _ = server
    (folder / "bad").mkdir()
    (folder / "bad" / "measure.html").write_text(MEASURE)
    (folder / "bad" / "report.html").write_text(
        "<main><p style='width: 900px'>too wide</p><img src='elsewhere.png'>"
        "<svg viewBox='0 0 1000 100' width='300'><text y='20' font-size='12'>tiny</text></svg></main>"
    )
    wide, *_, narrow = measured(chromium(tmp_path, "light", "--dump-dom", f"http://127.0.0.1:{port}/bad/measure.html"))
    assert wide["needed"] <= wide["width"]
    assert narrow["needed"] > narrow["width"]
    assert any("too wide" in one for one in narrow["beyond"])
    assert narrow["smallest"] < 5
    assert narrow["broken"] == 1
    assert [name.rpartition("/")[2] for name in narrow["fetched"]] == ["elsewhere.png"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_painted(folder, tmp_path, scheme):
    shot = tmp_path / "shot.png"
    chromium(
        tmp_path / "profile",
        scheme,
        "--window-size=1280,1600",
        f"--screenshot={shot}",
        (folder / "report.html").as_uri(),
    )
    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("L"), dtype=float)
    assert pixels.shape == (1600, 1280)
    paper = np.median(pixels)
    assert paper > 230 if scheme == "light" else paper < 40
    painted = np.abs(pixels - paper) > 60
    assert 0.005 < painted.mean() < 0.3
    assert painted[:400].any()
    assert painted[1200:].any()
