"""What loads without torch. Each claim is tried in a fresh interpreter, where nothing is loaded yet."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pixelword

HEAVY = {"torch", "transformers", "trl", "accelerate", "datasets", "peft"}
TORCH_FREE = ["config", "errors", "world", "realunify", "report", "jigsaw"]


def loaded_by(code: str) -> set[str]:
    """The first-level modules in memory after `code` ran in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def with_everything_below(floor: str) -> list[str]:
    """The module name of a floor and of every file in it."""
    name = f"pixelword.{floor}"
    inside = pkgutil.walk_packages([str(Path(pixelword.__path__[0]) / floor)], f"{name}.")
    return [name, *(found.name for found in inside)]


@pytest.mark.parametrize(
    "module", ["pixelword", "pixelword.world", "pixelword.report", "pixelword.recipe", "pixelword.cli.main"]
)
def test_importing_loads_no_torch(module):
    assert loaded_by(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("floor", TORCH_FREE)
def test_no_file_of_a_torch_free_floor_loads_torch(floor):
    assert loaded_by("import " + ", ".join(with_everything_below(floor))) & HEAVY == set()


def test_the_root_package_loads_nothing_outside_the_standard_library():
    foreign = loaded_by("import pixelword") - set(sys.stdlib_module_names)
    nothing_imported = loaded_by("") - set(sys.stdlib_module_names)
    assert foreign - nothing_imported == {"pixelword"}


def test_a_library_that_is_loaded_would_be_seen():
    assert "numpy" in loaded_by("import numpy")
