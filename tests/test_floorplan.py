"""The architecture as a test: who may import whom, no cycles, no long files and functions.

A floor is a file or sub-package right below `pixelword`. Imports count wherever they stand, also inside functions and
under TYPE_CHECKING: a floor that only calls upstairs later still depends on upstairs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pixelword

SOURCE = Path(pixelword.__file__).parent
ROOT = "pixelword"

LOWER = {"errors", "config", "locks"}
# Floor -> the floors it may import. The package's own __init__ is the floor "pixelword" and may be imported by all.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "pixelword": {"errors"},
    "config": {"errors"},
    "locks": {"errors"},
    "world": LOWER,
    "realunify": LOWER | {"world", "answering", "report"},
    "report": LOWER,
    "jigsaw": LOWER | {"report"},
    "inspect_tasks": LOWER | {"jigsaw", "realunify"},
    "model": {"errors"},
    "convert": {"errors", "model"},
    "explain": {"errors", "model", "report"},
    "answering": LOWER | {"model", "convert"},
    "lmms": {"errors", "model", "convert", "answering"},
    "recipe": LOWER,
    "data": LOWER | {"recipe", "model"},
    "train": LOWER | {"recipe", "data", "model", "convert"},
    "posttrain": LOWER | {"world", "report", "jigsaw", "recipe", "model", "convert", "answering", "data", "train"},
    "demo": LOWER
    | {"world", "model", "convert", "recipe", "data", "train", "report", "jigsaw", "posttrain", "realunify"},
    "ablate": LOWER | {"world", "model", "convert", "train", "report", "demo"},
    "cli": LOWER
    | {
        "ablate",
        "world",
        "model",
        "convert",
        "recipe",
        "data",
        "train",
        "report",
        "explain",
        "demo",
        "jigsaw",
        "answering",
        "posttrain",
        "realunify",
    },
}
# What the front door may import at import time, so that --help answers at once.
CLI_AT_ONCE = {"errors", "pixelword", "cli"}

FILE_LINES = 400
FUNCTION_LINES = 80


def modules(source: Path) -> dict[str, Path]:
    """Dotted module name -> file."""
    return {
        ".".join((ROOT, *file.relative_to(source).with_suffix("").parts)).removesuffix(".__init__"): file
        for file in sorted(source.rglob("*.py"))
    }


def floor_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ROOT


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that Python meets while importing: no function bodies, nothing under TYPE_CHECKING."""
    yield node
    for child in ast.iter_child_nodes(node):
        only_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if only_types:
            for other in child.orelse:
                yield from at_import_time(other)
        else:
            yield from at_import_time(child)


def imports(module: str, tree: ast.Module, files: dict[str, Path], *, lazy: bool) -> set[str]:
    """The modules of this package that `module` imports, relative ones resolved; with `lazy`, those in functions too.

    `from pixelword.model import rope` is an import of the file `pixelword.model.rope` when that file exists, else of
    the name `rope` from `pixelword.model`.
    """
    is_package = files[module].name == "__init__.py"
    found: set[str] = set()
    for node in ast.walk(tree) if lazy else at_import_time(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) + is_package - node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            inside = {f"{origin}.{alias.name}" for alias in node.names}
            found |= {name if name in files else origin for name in inside}
    return {name for name in found if name.partition(".")[0] == ROOT} - {module}


def import_table(source: Path, *, lazy: bool) -> dict[str, set[str]]:
    files = modules(source)
    return {
        module: imports(module, ast.parse(file.read_text(encoding="utf-8")), files, lazy=lazy)
        for module, file in files.items()
    }


def trespasses(table: dict[str, set[str]]) -> list[str]:
    """Imports of a floor that the table of floors does not allow, as 'module -> module'."""
    return [
        f"{module} -> {imported}"
        for module, names in table.items()
        for imported in sorted(names)
        if floor_of(imported) not in MAY_IMPORT.get(floor_of(module), set()) | {floor_of(module), ROOT}
    ]


def cycle(table: dict[str, set[str]]) -> list[str]:
    """One circle of modules that import each other, or nothing."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(table.get(module, ())):
            if found := search(imported, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in table if (found := search(module, []))), [])


def too_long(source: Path) -> list[str]:
    found = []
    for file in sorted(source.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(source)
        if (lines := len(text.splitlines())) > FILE_LINES:
            found.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found.append(f"{name}: {node.name} has {lines} lines")
    return found


def test_every_floor_is_in_the_table_and_every_import_goes_down():
    assert {floor_of(module) for module in modules(SOURCE)} - set(MAY_IMPORT) == set(), "a floor without a rule"
    assert trespasses(import_table(SOURCE, lazy=True)) == []


def test_the_table_itself_has_no_circle_and_nobody_imports_the_front_door():
    assert cycle(MAY_IMPORT) == []
    assert [floor for floor, allowed in MAY_IMPORT.items() if "cli" in allowed] == []


def test_the_list_of_floors_in_the_readme_has_them_all_and_goes_down():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| floor | holds |")[2].partition("\n\n")[0]
    floors = [
        name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(floors) == sorted(set(MAY_IMPORT) - {ROOT})
    for place, floor in enumerate(floors):
        assert MAY_IMPORT[floor] <= set(floors[:place]) | {ROOT}, floor


def test_no_two_files_import_each_other_in_a_circle():
    assert cycle(import_table(SOURCE, lazy=False)) == []


def test_the_front_door_imports_the_house_only_inside_functions():
    at_once = {
        f"{module} -> {imported}"
        for module, names in import_table(SOURCE, lazy=False).items()
        for imported in names
        if floor_of(module) == "cli" and floor_of(imported) not in CLI_AT_ONCE
    }
    assert at_once == set()


def test_no_file_and_no_function_is_too_long():
    assert too_long(SOURCE) == []


# The witnesses: a made-up house with a fault in it, which each rule must find.


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("model/rope.py", "model/masks.py", "world/scene.py", "errors.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for name in (".", "model", "world"):
        (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "import pixelword.model.rope",
        "from pixelword.model.rope import turn",
        "from pixelword.model import rope",
        "from pixelword import model",
        "from ..model.rope import turn",
        "from ..model import rope",
        "from .. import model",
        "import numpy, pixelword.model",
        "def later():\n    from pixelword.model import rope",
        "if TYPE_CHECKING:\n    from pixelword.model import rope",
    ],
)
def test_a_bad_import_is_found(house, line):
    (house / "world" / "scene.py").write_text(line)
    assert [found.split(".")[1] for found in trespasses(import_table(house, lazy=True))] == ["world"], line


@pytest.mark.parametrize(
    "line",
    ["from .. import errors", "from pixelword.errors import X", "from pixelword import __version__", "import model"],
)
def test_a_good_import_is_not_found(house, line):
    (house / "world" / "scene.py").write_text(line)
    assert trespasses(import_table(house, lazy=True)) == []


def test_an_import_inside_a_package_init_is_resolved_from_the_package(house):
    (house / "world" / "__init__.py").write_text("from . import scene\nfrom ..model import rope")
    table = import_table(house, lazy=True)
    assert table["pixelword.world"] == {"pixelword.world.scene", "pixelword.model.rope"}


def test_a_circle_is_found_and_a_later_import_is_none(house):
    (house / "model" / "rope.py").write_text("from .masks import mask")
    (house / "model" / "masks.py").write_text("from . import rope")
    assert cycle(import_table(house, lazy=False))[:2] == ["pixelword.model.masks", "pixelword.model.rope"]
    (house / "model" / "masks.py").write_text("def later():\n    from . import rope")
    assert cycle(import_table(house, lazy=False)) == []


def test_a_long_file_and_a_long_function_are_found(house):
    (house / "errors.py").write_text("def f():\n" + "    x = 1\n" * FILE_LINES)
    assert too_long(house) == ["errors.py: 401 lines", "errors.py: f has 401 lines"]
    (house / "errors.py").write_text("def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1))
    assert too_long(house) == []
