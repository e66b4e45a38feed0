"""What the wheel and the sdist hold, asked of the build backend itself; the witness is a walk over the folders."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md"}


def files_below(folder: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def selected(target: str) -> set[str]:
    """Paths inside the distribution."""
    builder = pytest.importorskip(f"hatchling.builders.{target}", reason="the extra dev brings hatchling")
    made = getattr(builder, f"{target.capitalize()}Builder")(str(ROOT))
    return {file.distribution_path for file in made.recurse_included_files()}


def test_the_wheel_holds_the_package_and_the_recipes_and_nothing_else():
    package = {path.removeprefix("src/") for path in files_below("src/pixelword")}
    assert {"pixelword/py.typed", "pixelword/report/templates/page.css"} <= package
    assert selected("wheel") == package | {f"pixelword/{path}" for path in files_below("recipes")}


def test_the_sdist_holds_what_builds_and_tests_the_wheel_and_nothing_that_lies_about():
    """pyproject.toml and the metadata are added by the backend in any case."""
    held = selected("sdist")
    wanted = set().union(*(files_below(folder) for folder in ("src", "recipes", "tests", "benchmarks", "docs")))
    assert held - {".gitignore"} == wanted | TOP | {"constraints.txt", "mkdocs.yml"}


def test_every_library_that_an_extra_names_has_an_exact_version():
    """torch is a range, and what mypy alone reads stands there too; a missing one would float."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = {normal(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    names = {normal(re.split(r"[<>=\[ ]", name)[0]) for name in named}
    assert names - exact == {"pixelword", "torch"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
