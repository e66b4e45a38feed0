"""The page of the demo with made-up measurements: what a demo hands over is on the page, with what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelword.world import KINDS
from tests.report.demo_like import ASKED, BLIND, SIGHTED, UNSEEN, demo_like_page
from tests.report.reading import Element, read
from tests.report.test_hostile import nothing_foreign


@pytest.fixture(scope="module")
def root() -> Element:
    rng = np.random.default_rng(0)
    photos = {
        "wide.png": Image.fromarray(rng.integers(0, 256, (96, 160, 3), dtype=np.uint8)),
        "<tall>.jpg": Image.fromarray(rng.integers(0, 256, (200, 70, 3), dtype=np.uint8)),
    }
    return read(demo_like_page(photos).html())


def section(root: Element, anchor: str) -> Element:
    return root.one("section", id=anchor)


def test_the_chapters_in_order(root):
    titles = ["What happened", "Text LM", "Surgery", "Three stages", "What it sees", "Answers", "Real pictures"]
    assert [h.text for h in root.all("h2")][:7] == titles


def test_the_key_figures_are_those_of_the_counts(root):
    values = [value.text for value in root.all("dd", class_="value")]
    shares = [sum(counts.values()) / asked for counts, asked in ((SIGHTED, 2048), (BLIND, 2048), (UNSEEN, 1024))]
    assert values == [*(f"{100 * share:.1f} %" for share in shares), "9 min 41 s"]


def test_the_story_says_whether_the_intervals_overlap(root):
    assert "The two intervals do not overlap" in section(root, "what-happened").text


def test_each_kind_of_question_has_its_line_sighted_blind_and_never_trained(root):
    sees = section(root, "what-it-sees")
    assert [entry.text for entry in sees.one("ul", class_="legend").all("li")] == [
        "sighted",
        "blind",
        "pairs never trained",
        "chance",
    ]
    rows = [[cell.text.split(" [")[0] for cell in row.children] for row in sees.one("tbody").all("tr")]
    assert [row[0] for row in rows] == list(KINDS)
    assert [row[1] for row in rows] == [f"{100 * SIGHTED[kind] / ASKED:.1f} %" for kind in KINDS]
    assert [row[2] for row in rows] == [f"{100 * BLIND[kind] / ASKED:.1f} %" for kind in KINDS]


def test_mistakes_come_first(root):
    verdicts = [card.attributes["class"].split()[1] for card in section(root, "answers").all("article")]
    assert verdicts == sorted(verdicts, key=["wrong", "open", "right"].index)
    assert set(verdicts) == {"wrong", "right"}


def test_each_photograph_has_its_own_grid(root):
    grids = section(root, "real-pictures").all("figure", class_="token-grid")
    assert [grid.one("figcaption").text for grid in grids] == [
        "wide.png: 5 by 3 tokens of 32 px.",
        "<tall>.jpg: 2 by 6 tokens of 32 px.",
    ]
    assert grids[1].one("path", class_="over").attributes["d"].count("H") == 5


def test_it_asks_for_nothing_outside(root):
    assert nothing_foreign(root)
    assert not root.all("script")
