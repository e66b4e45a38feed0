"""Recipes from YAML files: one `extends`, `a.b=c` on the command line, the resolved recipe and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pixelword.config import Settings, override, read_yaml
from pixelword.errors import ConfigError, nearest
from pixelword.recipe.settings import Recipe

S = TypeVar("S", bound=Settings)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe of a stage of training; see `read_recipe`."""
    return read_recipe(Recipe, path, overrides)


def read_recipe(kind: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read a recipe of some kind.

    A file may name one other with `extends: other.yaml`, relative to itself; its own values win, key by key, and a
    list replaces a list. Words `a.b=c` win over files.

    Raises:
        ConfigError: a file cannot be read, extends itself in a circle, or a key or value is refused.
    """
    values = _extended(found(path), ())
    for word in overrides:
        override(values, word)
    return kind.model_validate(values)


def found(path: Path) -> Path:
    """The file itself, or for `recipes/...` without such a file the one that the installed package brings."""
    if not path.exists() and path.parts[:1] == ("recipes",):
        brought = Path(__file__).parents[1].joinpath(*path.parts)
        return brought if brought.exists() else path
    return path


def resolved(recipe: Settings) -> str:
    """The whole recipe as YAML, defaults included; it loads to the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def fingerprint(recipe: Settings) -> str:
    """16 hexadecimal digits that change when any value does, and do not when a file is only written differently."""
    canonical = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def differences(old: Settings, new: Settings) -> list[str]:
    """What changed between two recipes: `optimizer.rate: 0.0008 -> 4e-05`, in order of the keys."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


def _extended(path: Path, below: tuple[Path, ...]) -> dict[Any, Any]:
    here = path.resolve()
    if here in below:
        circle = " -> ".join(file.name for file in (*below, here))
        raise ConfigError(f"{path} extends itself", got=circle, fix="remove one `extends`")
    if not path.exists():
        others = [file.stem for file in found(path.parent).glob("*.yaml")]
        fix = nearest(path.stem, others) if others else "give the path of a YAML file"
        raise ConfigError("there is no such recipe", got=path, fix=fix)
    values = read_yaml(path)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends names one file", got=parent, fix="write extends: other.yaml")
    return _merged(_extended(path.parent / parent, (*below, here)), values)


def _merged(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(values, dict | list) or not values:
        return {key: values}
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    return {
        name: leaf
        for part, value in pairs
        for name, leaf in _flat(value, f"{key}.{part}" if key else str(part)).items()
    }
