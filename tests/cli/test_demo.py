"""`pixelword demo` hands its words to the library and says where the page is."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pixelword.cli.main import run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Stands in for `pixelword.demo` and keeps what it was called with."""
    seen: list[dict[str, object]] = []
    demo = ModuleType("pixelword.demo")

    def run_demo(out: Path, photos: Path | None, fast: bool, seed: int) -> None:
        seen.append({"out": out, "photos": photos, "fast": fast, "seed": seed})

    demo.run_demo = run_demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pixelword.demo", demo)
    return seen


@pytest.mark.parametrize(
    ("words", "call", "page"),
    [
        ([], {"out": Path("runs/demo"), "photos": None, "fast": False, "seed": 0}, "runs/demo/report.html"),
        (
            ["--out", "there", "--photos", "mine", "--fast", "--seed", "7"],
            {"out": Path("there"), "photos": Path("mine"), "fast": True, "seed": 7},
            "there/report.html",
        ),
    ],
)
def test_the_words_arrive_and_the_page_is_named(calls, capsys, words, call, page):
    with pytest.raises(SystemExit) as leaving:
        run(["demo", *words])
    assert leaving.value.code == 0
    assert calls == [call]
    assert capsys.readouterr().out == f"report: {page}\n"
