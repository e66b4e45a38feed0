"""`pixelword explain`: text, a page, with weights and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from pixelword.cli.main import run
from tests.convert.qwen3_folder import FIXTURES


def leave(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        run([str(word) for word in words])
    return int(leaving.value.code or 0)


@pytest.fixture
def picture(tmp_path) -> Path:
    Image.linear_gradient("L").resize((300, 200)).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_a_real_sample_as_text_and_as_a_page(picture, tmp_path, capsys):
    page = tmp_path / "deep" / "page.html"
    words = ("--image", picture, "--question", "What?", "--out", page)
    assert leave("explain", FIXTURES / "tied", *words) == 0
    said = capsys.readouterr().out
    assert "picture 1: 320 x 224 pixels, 7 x 10 tokens = 70" in said
    assert "Where the model looks" in said
    assert f"page: {page}" in said
    assert "What?" in page.read_text()


def test_without_weights_the_rules_are_shown(picture, tmp_path, capsys):
    folder = Path(shutil.copytree(FIXTURES / "tied", tmp_path / "bare"))
    words = ("explain", folder, "--image", picture, "--question", "What?")
    assert leave(*words, "--rule-only") == 0
    rules = capsys.readouterr().out
    (folder / "model.safetensors").unlink()
    assert leave(*words) == 0
    assert capsys.readouterr().out == rules
    assert "Who attends to whom" in rules
    assert "Where the model looks" not in rules


def test_pixel_bounds_change_the_grid(picture, capsys):
    words = ("explain", FIXTURES / "tied", "--rule-only", "--image", picture)
    assert leave(*words, "--min-pixels", 1024, "--max-pixels", 8192) == 0
    assert "96 x 64 pixels, 2 x 3 tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("{neo}",), "nothing to explain"),
        (("{neo}", "--image", "/nowhere.png"), "cannot be opened"),
        (("/nowhere", "--question", "a"), "no such folder"),
        (("{broken}", "--question", "a"), "not a whole safetensors file"),
        (("{neo}", "--question", "a", "--device", "typewriter"), "no device"),
        (("{neo}", "--question", "a", "--out", "{file}/page.html"), "cannot be written"),
    ],
)
def test_a_mistake_exits_with_2(tmp_path, capsys, words, told):
    broken = Path(shutil.copytree(FIXTURES / "tied", tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"half")
    (tmp_path / "file").write_text("")
    places = {"neo": FIXTURES / "tied", "broken": broken, "file": tmp_path / "file"}
    assert leave("explain", *(word.format(**places) for word in words)) == 2
    assert told in capsys.readouterr().err
