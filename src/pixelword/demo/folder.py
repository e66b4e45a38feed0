"""The folder of a run: what it is of, and where what is said goes."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers

import pixelword
from pixelword.demo.plan import Plan
from pixelword.demo.progress import Bars
from pixelword.errors import ConfigError
from pixelword.train import Machine, write_json


def begin(out: Path, plan: Plan, machine: Machine, fast: bool, seed: int) -> None:
    """Write down what this run is, or make sure that the folder is of the same run."""
    file, now = out / "run.json", {"seed": seed, "fast": fast, "plan": plan.model_dump(mode="json")}
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        other = [key for key in now if before.get(key) != now[key]]
        if other:
            raise ConfigError(
                f"{out} holds a run with another {' and '.join(other)}",
                got=", ".join(f"{key} {before.get(key)} there, {now[key]} now" for key in other if key != "plan"),
                fix="choose another --out, or remove the folder",
            )
        return
    modules = {"pixelword": pixelword, "torch": torch, "transformers": transformers}
    versions = {name: module.__version__ for name, module in modules.items()}
    write_json(
        file,
        {**now, "machine": machine.why, "processor": platform.processor() or platform.machine(), "versions": versions},
    )


class Say(logging.Handler):
    """Prints log lines above the progress bars."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self.bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        self.bars.say(self.format(record))


@contextmanager
def said_in(out: Path, bars: Bars) -> Iterator[None]:
    """Send what pixelword logs to the terminal and into log.txt."""
    root = logging.getLogger("pixelword")
    file = logging.FileHandler(out / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handlers: list[logging.Handler] = [file, Say(bars)]
    level = root.level
    root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the loading bars of transformers, which would tear ours apart."""
    log = transformers.utils.logging
    verbosity, shown = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if shown:
            log.enable_progress_bar()
