"""`pixelword jigsaw preview` writes a page for each kind of puzzle, and says what it refused."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from pixelword.cli.main import run
from tests.jigsaw.pictures import busy, folder_of
from tests.jigsaw.test_sources import scan


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    try:
        run(["jigsaw", "preview", *words])
    except SystemExit as leaving:
        assert int(leaving.code or 0) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def words_of(path: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8")))


def test_a_page_of_puzzles_with_their_solutions(tmp_path, capsys):
    folder = folder_of(tmp_path / "in", 3)
    (folder / "notes.txt").write_text("x")
    page = tmp_path / "page.html"
    out, _ = told(capsys, str(folder), "--out", str(page), "--set", "rows=2", "--set", "rule.container=tag")
    assert "3 puzzles, 1 refused" in out
    assert str(page) in out
    words = words_of(page)
    assert "2x3" in words
    assert "notes.txt" in words
    assert "within <answer></answer> tags" in words
    assert page.read_text().count("<img") == 6
    first = page.read_bytes()
    told(capsys, str(folder), "--out", str(page), "--set", "rows=2", "--set", "rule.container=tag")
    assert page.read_bytes() == first
    told(capsys, str(folder), "--out", str(page), "--set", "rows=2", "--epoch", "1")
    assert page.read_bytes() != first


def test_the_other_kinds(tmp_path, capsys):
    root = scan(tmp_path / "scannet", "color")
    small = ("--set", "points=4", "--set", "min_pixel_gap=12", "--set", "marker_radius=6")
    for kind, more in (("depth", small), ("motion", ()), ("pose", ("--set", "marker_radius=8"))):
        page = tmp_path / f"{kind}.html"
        views = ("--count", "2", "--layout", "scannet")
        if kind == "depth":
            told(capsys, str(root), "--kind", kind, "--out", str(page), *views, *more)
            assert "closest to farthest" in words_of(page)
        else:
            # One frame in twenty is too few for a scan of eight; it is refused and said.
            out, _ = told(capsys, str(root), "--kind", kind, "--out", str(page), *views, *more)
            assert "close_poses" in out
    folder_of(tmp_path / "rgb", 1)
    np.save(tmp_path / "rgb" / "0.npy", np.tile(np.linspace(1, 4, 120), (96, 1)))
    words = (str(tmp_path / "rgb"), "--kind", "depth", "--out", str(tmp_path / "d.html"), *small)
    assert "1 puzzles" in told(capsys, *words, "--depths", str(tmp_path / "rgb"))[0]
    assert "--depths" in told(capsys, *words, code=2)[1]


def test_mistakes_are_told(tmp_path, capsys):
    folder = folder_of(tmp_path / "in", 1)
    (folder / "bad.png").write_text("x")
    _, error = told(capsys, str(folder), "--strict", "--out", str(tmp_path / "a.html"), code=2)
    assert "bad.png cannot become a puzzle" in error
    _, error = told(capsys, str(folder), "--set", "row=2", code=2)
    assert "did you mean 'rows'" in error
    _, error = told(capsys, str(folder), "--kind", "pose", code=2)
    assert "--layout scannet" in error
    _, error = told(capsys, str(tmp_path / "nowhere"), code=2)
    assert "not there" in error
    busy(0)
