"""The folder of all runs of one budget: what it is of, and its log."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

import pixelword
from pixelword.ablate.plan import Budget
from pixelword.ablate.vocabulary import FINGERPRINT
from pixelword.errors import CheckpointError, ConfigError, InputError
from pixelword.locks import alone_in
from pixelword.train import Machine, write_json


def begin(out: Path, budget: Budget, minutes: float, machine: Machine) -> None:
    """Write down what the folder is of, or make sure that it is of the same budget.

    Raises:
        CheckpointError: its `run.json` is damaged.
        ConfigError: it belongs to another budget.
    """
    file, now = out / "run.json", {**budget.model_dump(mode="json"), "vocabulary": FINGERPRINT}
    if file.exists():
        stored = read_back(file)
        before = {**stored.get("budget", {}), "vocabulary": stored.get("vocabulary")}
        other = [key for key in now if before.get(key) != now[key]]
        if other:
            raise ConfigError(
                f"{out} holds runs of another budget or vocabulary",
                got=", ".join(f"{key} {before.get(key)} there, {now[key]} now" for key in other),
                fix="choose another --out, or the same --minutes-per-run as before",
            )
        return
    modules = {"pixelword": pixelword, "torch": torch, "transformers": transformers}
    versions = {name: module.__version__ for name, module in modules.items()}
    processor = platform.processor() or platform.machine()
    content: dict[str, Any] = {"minutes": minutes, "budget": budget.model_dump(mode="json"), "vocabulary": FINGERPRINT}
    content |= {"machine": machine.why, "processor": processor, "versions": versions}
    write_json(file, content)


def read_back(file: Path) -> dict[str, Any]:
    """What a JSON file of the folder holds.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__} in place of an object")
    except (ValueError, TypeError) as error:
        fix = "remove this file; what it said is made again"
        raise CheckpointError(f"{file} is damaged", got=error, fix=fix) from error
    return content


@contextmanager
def written_in(out: Path) -> Iterator[None]:
    """Around everything that writes: one run at a time, and a disk that is full or closed is said in one sentence.

    Raises:
        BackendError: another ablation is writing into the folder.
        InputError: it cannot be written.
    """
    try:
        with alone_in(out):
            yield
    except (OSError, SafetensorError) as error:
        raise InputError(
            "the folder of the ablation cannot be written",
            got=f"{out}: {error}",
            fix="check space and rights, or choose another --out; the same command goes on after the last whole stage",
        ) from error


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what pixelword logs to a file."""
    root = logging.getLogger("pixelword")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
