"""`pixelword ablate` hands its words to the library and shows the table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pixelword.cli.main import run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[object, ...]]:
    """Stands in for `pixelword.ablate`, keeps what it was called with, and leaves a table."""
    seen: list[tuple[object, ...]] = []
    module = ModuleType("pixelword.ablate")

    def run_ablation(experiment: str, out: Path, *, seeds: int, minutes: float, host: str) -> Path:
        seen.append((experiment, out, seeds, minutes, host))
        (tmp_path / "rows.md").write_text("| arm |\n")
        return tmp_path / "rows.html"

    module.run_ablation = run_ablation  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pixelword.ablate", module)
    return seen


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["rows"], ("rows", Path("runs/ablate"), 3, 2.0, "parent")),
        (
            ["reuse", "--seeds", "2", "--out", "there", "--minutes-per-run", "0.5", "--host", "other"],
            ("reuse", Path("there"), 2, 0.5, "other"),
        ),
    ],
)
def test_the_words_arrive_and_the_table_is_shown(calls, capsys, words, call):
    with pytest.raises(SystemExit) as leaving:
        run(["ablate", *words])
    assert leaving.value.code == 0 and calls == [call]
    shown = capsys.readouterr().out
    assert shown.startswith("| arm |") and "rows.html" in shown
