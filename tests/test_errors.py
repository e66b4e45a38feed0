"""Claims of `pixelword.errors`: the drawing is the tree, and every error says what, got and fix."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixelword
from pixelword import errors
from pixelword.errors import ConfigError, MissingExtra, PixelWordError, nearest

SOURCE = Path(pixelword.__file__).parent


def drawn_tree(drawing: str) -> dict[str, tuple[str | None, str]]:
    """Name -> (parent, description), read from the drawing by indentation alone."""
    tree: dict[str, tuple[str | None, str]] = {}
    open_branches: list[str] = []
    for line in drawing.splitlines():
        row = re.fullmatch(r"((?:[│ ] {3})*(?:[├└]── )?)(\w+)(?: {2,}(.+))?", line)
        if row and (row[1] or row[2] == "PixelWordError"):
            depth = len(row[1]) // 4
            tree[row[2]] = (open_branches[depth - 1] if depth else None, row[3] or "")
            open_branches[depth:] = [row[2]]
    return tree


def all_errors() -> dict[str, type[PixelWordError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, PixelWordError)
    }


def test_the_drawing_in_the_docstring_is_the_class_tree():
    drawn = {name: parent for name, (parent, _) in drawn_tree(errors.__doc__).items()}
    real = {name: None if kind is PixelWordError else kind.__bases__[0].__name__ for name, kind in all_errors().items()}
    assert drawn == real
    assert list(drawn) == list(all_errors()), "drawn in another order than defined"


def test_every_leaf_of_the_drawing_is_described():
    parents = {parent for parent, _ in drawn_tree(errors.__doc__).values()}
    assert [name for name, (_, text) in drawn_tree(errors.__doc__).items() if not text and name not in parents] == []


def test_every_error_is_exported_and_documented():
    for name, kind in all_errors().items():
        assert getattr(pixelword, name) is kind
        assert name in pixelword.__all__
        assert kind.__doc__


@pytest.mark.parametrize("kind", [kind for kind in all_errors().values() if kind is not MissingExtra])
def test_the_text_carries_what_got_and_fix(kind):
    error = kind("a grid has two sides", got=(1, 2, 3), fix="give rows and columns")
    assert str(error) == "a grid has two sides\n  got: (1, 2, 3)\n  fix: give rows and columns"
    assert (error.what, error.got, error.fix) == ("a grid has two sides", (1, 2, 3), "give rows and columns")


def test_what_alone_is_one_line_and_a_falsy_value_is_still_shown():
    assert str(ConfigError("no width")) == "no width"
    assert str(ConfigError("no width", got=0)) == "no width\n  got: 0"


@given(st.text(min_size=401, max_size=2000))
def test_a_long_value_is_shortened_in_the_text_and_whole_in_the_error(value):
    error = ConfigError("too long", got=value)
    assert str(error) == f"too long\n  got: {value[:397]}..."
    assert error.got == value


def test_a_missing_extra_gives_the_line_to_type():
    error = MissingExtra("trl", "rl")
    assert "'trl'" in str(error)
    assert '\n  fix: pip install "pixelword[rl]"' in str(error)
    assert isinstance(error, ImportError)


def test_an_error_survives_the_way_home_from_a_worker_process():
    error = ConfigError("what", got=3, fix="fix")
    home = pickle.loads(pickle.dumps(error))
    assert (type(home), str(home), vars(home)) == (type(error), str(error), vars(error))


def test_nearest_suggests_a_close_name_and_lists_all_when_none_is_close():
    assert nearest("peek", {"peak", "warmup"}) == "did you mean 'peak'?"
    assert nearest("zzz", {"warmup", "peak"}) == "known: peak, warmup"


def without_fix(source: str) -> list[int]:
    """Lines where an error of ours is raised with neither `fix=` nor arguments handed on with `**`."""
    names = set(all_errors()) - {"MissingExtra"}
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if getattr(node.exc.func, "attr", getattr(node.exc.func, "id", "")) in names
        if not {"fix", None} & {keyword.arg for keyword in node.exc.keywords}
    ]


def test_every_error_raised_in_the_package_says_what_to_do():
    assert without_fix("raise errors.ConfigError('x')\nraise ImageError('x', fix='y')\nraise ValueError('x')") == [1]
    assert {
        str(file.relative_to(SOURCE)): lines
        for file in sorted(SOURCE.rglob("*.py"))
        if (lines := without_fix(file.read_text(encoding="utf-8")))
    } == {}
