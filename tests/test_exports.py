"""The public names: a change of this list is a change for every user, so it is made twice, here and there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import pixelword

PUBLIC = [
    "BackendError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageError",
    "InputError",
    "MissingExtra",
    "PixelWordError",
    "PromptError",
    "ShapeError",
    "TrainingError",
    "__version__",
]


def packages() -> Iterator[str]:
    """The package and its sub-packages that offer names; the front door offers a command instead."""
    yield "pixelword"
    yield from (f"pixelword.{found.name}" for found in pkgutil.iter_modules(pixelword.__path__) if found.ispkg)


def test_the_public_names_of_the_package():
    assert pixelword.__all__ == PUBLIC


@pytest.mark.parametrize("name", sorted(set(packages()) - {"pixelword.cli"}))
def test_a_package_offers_exactly_what_it_lists(name):
    package = importlib.import_module(name)
    assert len(package.__all__) == len(set(package.__all__))
    assert [public for public in package.__all__ if not hasattr(package, public)] == []
    assert package.__doc__, "a package says what it is for"


def test_the_version_is_that_of_the_installed_distribution():
    assert importlib.import_module("importlib.metadata").version("pixelword") == pixelword.__version__
