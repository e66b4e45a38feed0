"""Check: a run that was stopped and resumed goes on with the very batches that it would have had."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pixelword.data import PackedBatch
from pixelword.errors import DataError
from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Cursor, Subject, listed

BATCHES = 2
"""Batches before the stop, and after it."""
NOT_COMPARED = {"complete", "trainer_state.json"}
"""Files of a checkpoint that hold times and sizes."""


def check_resume(subject: Subject) -> Checked:
    """Carry the loader's state over to a new loader; then, if there is a trial, compare what two runs have saved."""
    findings: list[Finding] = []
    notes = []
    if subject.loaders is not None:
        findings += _cursor(subject.loaders)
        notes.append(f"{BATCHES} batches of data, a stop, {BATCHES} more")
    if subject.trial is not None and subject.trial_folder is not None and not findings:
        findings += _two_runs(*subject.trial(subject.trial_folder))
        notes.append(f"2 + 2 steps of training{subject.stand_in}")
    if not notes:
        return not_applicable("resume", "no loader with state() and load() was given")
    return checked("resume", findings, " and ".join(notes) + ", compared bit for bit")


def _cursor(loaders: Callable[[], Cursor]) -> list[Finding]:
    """Read some batches, carry the state over as JSON, and compare what comes next."""
    whole = loaders()
    before = [whole.next() for _ in range(BATCHES)]
    state = json.loads(json.dumps(whole.state()))
    expected = [whole.next() for _ in range(BATCHES)]
    resumed = loaders()
    try:
        resumed.load(state)
    except DataError as error:
        return [_finding("the loader refuses its own state", f"{error.what}; got {error.got}", error.fix)]
    found = [resumed.next() for _ in range(BATCHES)]
    for number, (left, right) in enumerate(zip(found, expected, strict=True)):
        if different := _differences(left, right):
            again = all(not _differences(one, other) for one, other in zip(found, before, strict=True))
            what = "after a resume the data starts again" if again else "after a resume other batches come"
            where = f"batch {BATCHES + number}: {', '.join(different)}"
            return [_finding(what, where, "save the loader's state with every checkpoint, and load all of it")]
    return []


def _two_runs(whole: Path, resumed: Path) -> list[Finding]:
    """Compare every file of the last checkpoints of the uninterrupted and of the resumed run."""
    files = [path.relative_to(run) for run in (whole, resumed) for path in run.rglob("*") if path.is_file()]
    names = sorted({str(name) for name in files if name.name not in NOT_COMPARED})
    differing = [f"{name}{parts}" for name in names if (parts := _difference(whole / name, resumed / name)) is not None]
    if not differing:
        return []
    what = "a resumed run does not end where an uninterrupted one ends"
    fix = "save and load weights, optimiser, schedule, random generators and the data's cursor, all of them"
    return [_finding(what, f"these files of the last checkpoint differ: {', '.join(differing)}", fix)]


def _difference(one: Path, other: Path) -> str | None:
    """None for equal files; of tensors, the names of those that differ."""
    if not one.is_file() or not other.is_file():
        return " (missing)"
    if one.suffix != ".safetensors":
        return None if one.read_bytes() == other.read_bytes() else ""
    left, right = load_file(one), load_file(other)
    names = sorted(left.keys() | right.keys())
    differing = [
        name for name in names if name not in left or name not in right or not torch.equal(left[name], right[name])
    ]
    return f" ({listed(differing)})" if differing else None


def _differences(left: Any, right: Any) -> list[str]:
    """Names of the tensors in which two batches differ; None stands for the end of the data."""
    if left is None or right is None:
        return [] if left is right else ["the end of the data"]
    one, other = _tensors(left), _tensors(right)
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not torch.equal(one[name], other[name])
    )


def _tensors(batch: PackedBatch | Mapping[str, Any]) -> dict[str, Tensor]:
    inputs = batch.inputs if isinstance(batch, PackedBatch) else batch
    return {name: value for name, value in inputs.items() if isinstance(value, Tensor)}


def _finding(what: str, where: str, fix: str) -> Finding:
    return Finding("resume", what, where, fix)
