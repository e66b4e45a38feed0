"""A run's page in a real browser: it fits a phone, follows light and dark, fetches nothing, and its filters filter.

Uses a Chromium that is installed, and never downloads one.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from pixelword.realunify.mini import Skills
from pixelword.realunify.page import build_page, read_runs
from tests.realunify.simulated_run import SimulatedRun
from tests.report.test_browser import CHROMIUM, MEASURE, NAMES, WIDTHS, Recorder, brightness, chromium, measured

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium on this machine (looked for {', '.join(NAMES)})")

CLICK = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe src="report.html" width="1280" height="900"></iframe>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const count = () => [...page.querySelectorAll(".card")].filter(card => card.getClientRects().length).length;
  const labels = [...page.querySelectorAll("#items label")];
  const seen = [{label: "", shown: count()}];
  for (const label of labels) {
    const any = label.closest("fieldset").querySelector("input");
    label.querySelector("input").checked = true;
    seen.push({label: label.textContent, shown: count()});
    any.checked = true;
  }
  document.body.append(Object.assign(document.createElement("pre"), {id: "seen", textContent: JSON.stringify(seen)}));
};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    runs = [
        SimulatedRun(folder / name, skills, name=name, per_category=1, side=64, failing=0.2).write()
        for name, skills in (("one", Skills(0.8, 0.5, 0.7)), ("two", Skills(0.5, 0.9, 0.9)))
    ]
    build_page(read_runs(runs)).page.write(folder / "report.html")
    (folder / "measure.html").write_text(MEASURE)
    (folder / "click.html").write_text(CLICK)
    shutil.rmtree(folder / "one")
    return folder


@pytest.fixture
def server(folder) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Recorder, asked=asked, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_fits_follows_the_scheme_and_asks_for_nothing(server, tmp_path, scheme):
    port, asked = server
    dom = chromium(tmp_path, scheme, "--dump-dom", f"http://127.0.0.1:{port}/measure.html")
    for width, measures in zip(WIDTHS, measured(dom), strict=True):
        assert measures["needed"] <= measures["width"], f"nothing makes the page scroll sideways at {width}"
        assert measures["beyond"] == []
        assert measures["smallest"] >= 9.5
        assert measures["broken"] == 0
        assert measures["fetched"] == []
        assert measures["pictures"] > 10
        light = brightness(measures["background"])
        assert light > 230 if scheme == "light" else light < 40
    assert set(asked) == {"/measure.html", "/report.html"}


def test_every_filter_leaves_as_many_cards_as_it_says(server, tmp_path):
    port, _ = server
    seen = measured(chromium(tmp_path, "light", "--dump-dom", f"http://127.0.0.1:{port}/click.html"))
    everything = seen[0]["shown"]
    assert everything == 10
    for each in seen[1:]:
        number = each["label"].split()[-1]
        assert each["shown"] == (int(number) if number.isdigit() else everything), each
    assert len(seen) > 15
