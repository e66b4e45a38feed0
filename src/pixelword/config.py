"""Settings: frozen, typed, and strict about their keys.

A settings class names every key once, with its type, default and meaning. A key that does not exist is an error that
suggests the nearest one, wherever it came from: Python, a YAML file, or the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pixelword.errors import ConfigError, PixelWordError, nearest


class Settings(BaseModel):
    """Base of every settings class. Fields cannot be changed; unknown keys and wrong values are refused.

    Raises:
        ConfigError: names the dotted path of the key, what was given, and the nearest known key or the default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, /, **values: Any) -> None:
        with _one_sentence(type(self)):
            super().__init__(**values)

    # Without this mark pydantic would call __init__ for nested settings too, and the outer path would be lost.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        with _one_sentence(cls):
            return super().model_validate(obj, **options)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed and checked like any other; pydantic alone would not look at `update`."""
        copy = super().model_copy(deep=deep)
        return self.model_validate({**dict(copy), **update}) if update else copy


S = TypeVar("S", bound=Settings)


def load_settings(cls: type[S], path: Path | None = None, overrides: Sequence[str] = ()) -> S:
    """Settings from a YAML file and from `a.b=c` words, which win over the file; the last word wins over all.

    Args:
        cls: the settings class.
        path: a YAML file whose top level is a mapping; None starts from the defaults.
        overrides: dotted key, equals sign, value. The value is read as YAML: `steps=3`, `sizes=[1, 2]`, `name=null`.

    Raises:
        ConfigError: the file cannot be read, is not a mapping or repeats a key; an override is malformed; or a key
            or value is refused by `cls`.
    """
    values = {} if path is None else read_yaml(path)
    for word in overrides:
        override(values, word)
    return cls.model_validate(values)


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds; empty for an empty file.

    Raises:
        ConfigError: it cannot be read, is not YAML, is not a mapping, or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a text file", got=error, fix="give a YAML file in UTF-8"
        ) from error
    values = _parse(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the top level of {path} is not a mapping", got=values, fix="write lines like 'key: value'")
    return values


def override(values: dict[Any, Any], word: str) -> None:
    """Set the value that `a.b=c` names, making the sections on the way; `values` is changed.

    In a list a part of the key is a place, from 0: `data.sources.0.path=rows.jsonl`.

    Raises:
        ConfigError: the word is malformed, or leads through something that is no section.
    """
    key, equals, text = word.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError("a setting on the command line is a dotted key, '=' and a value", got=word, fix="--set a.b=c")
    section: Any = values
    for depth, name in enumerate(path[:-1], start=1):
        place = _place(section, name, ".".join(path[: depth - 1]), word)
        if isinstance(section, dict) and section.get(place) is None:
            section[place] = {}
        section = section[place]
    place = _place(section, path[-1], ".".join(path[:-1]), word)
    section[place] = _parse(text, f"the value of {key.strip()!r}")


def _place(section: Any, name: str, above: str, word: str) -> str | int:
    """The key of a mapping, or the place in a list, that `name` stands for."""
    if isinstance(section, dict):
        return name
    if not isinstance(section, list):
        raise ConfigError(f"{above!r} is a value and has no keys below it", got=word, fix="set the whole value")
    if not (name.isascii() and name.isdecimal() and int(name) < len(section)):
        there = f"{above}.0 to {above}.{len(section) - 1}" if section else "nothing, it is empty"
        raise ConfigError(
            f"{above!r} is a list and has no place {name!r}", got=word, fix=f"there is {there}; or set the whole list"
        )
    return int(name)


class _OneKeyOnce(yaml.SafeLoader):
    """YAML without repeated keys, which the standard loader drops silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str, place: str) -> Any:
    try:
        return yaml.load(text, Loader=_OneKeyOnce)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{place} is not YAML", got=" ".join(str(error).split()), fix="check it at that place"
        ) from error


@contextmanager
def _one_sentence(cls: type[BaseModel]) -> Iterator[None]:
    """Turn pydantic's list of complaints into our error about the first, unknown keys before all."""
    try:
        yield
    except ValidationError as error:
        complaints = sorted(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
        raise _error(cls, complaints[0], others=len(complaints) - 1) from error


def _error(cls: type[BaseModel], complaint: ErrorDetails, others: int) -> ConfigError:
    more = f" (and {others} more)" if others else ""
    path, sections, field = _follow(cls, complaint["loc"])
    key = ".".join(path)
    if complaint["type"] == "extra_forbidden":
        known = {name for section in sections for name in section.model_fields}
        fix = nearest(path[-1], known) if known else "remove it"
        return ConfigError(f"{cls.__name__} has no key {key!r}{more}", got=f"{key} = {complaint['input']!r}", fix=fix)
    if complaint["type"] == "missing":
        return ConfigError(f"{cls.__name__} needs the key {key!r}{more}", fix=_advice(field))
    place = f"{cls.__name__}, {key!r}" if key else cls.__name__
    cause = complaint.get("ctx", {}).get("error")
    if isinstance(cause, PixelWordError):
        return ConfigError(f"{place}: {cause.what}{more}", got=cause.got, fix=cause.fix)
    return ConfigError(f"{place}: {complaint['msg']}{more}", got=repr(complaint["input"]), fix=_advice(field))


def _advice(field: FieldInfo | None) -> str:
    """What a field says about itself: its meaning and its default."""
    advice = (field and field.description) or "give a value that fits"
    if field is None or field.is_required():
        return advice
    return f"{advice}; the default is {field.get_default(call_default_factory=True)!r}"


def _follow(
    cls: type[BaseModel], place: Sequence[int | str]
) -> tuple[list[str], set[type[BaseModel]], FieldInfo | None]:
    """Follow a complaint's place into the settings.

    Returns:
        The parts of the dotted path, the classes that were searched for its last part, and the last field met.
        Where a field allows several classes, pydantic puts the class's name into the place; it is no part of the path.
    """
    path: list[str] = []
    field = None
    searched = here = {cls}
    for part in place:
        if part in {section.__name__ for section in here}:
            continue
        path.append(str(part))
        searched = here
        found = [section.model_fields[part] for section in here if part in section.model_fields]
        if found:
            field = found[0]
            here = _sections(field.annotation)
    return path, searched, field


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """The settings classes inside a type: of `list[A] | B`, A and B."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {section for inner in get_args(annotation) for section in _sections(inner)}
