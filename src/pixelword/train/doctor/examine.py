"""One examination: every check on one model and a few of its batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedModel

from pixelword.data import PackedBatch
from pixelword.errors import InputError
from pixelword.train.doctor.findings import CHECKS, Checked, CheckName, Diagnosis, Finding, checked, not_applicable
from pixelword.train.doctor.forward import check_forward
from pixelword.train.doctor.gradients import check_gradients
from pixelword.train.doctor.labels import check_labels
from pixelword.train.doctor.language import check_language
from pixelword.train.doctor.packing import check_packing
from pixelword.train.doctor.placeholders import check_placeholders
from pixelword.train.doctor.resume import check_resume
from pixelword.train.doctor.subject import Cursor, ForwardFailed, Subject, as_inputs

ON_BATCHES: dict[CheckName, Callable[[Subject], Checked]] = {
    "gradients": check_gradients,
    "packing": check_packing,
    "labels": check_labels,
}
"""Checks that run the model on the batches."""
ON_THE_REST: dict[CheckName, Callable[[Subject], Checked]] = {"resume": check_resume, "language": check_language}


def examine(
    model: PreTrainedModel,
    batches: Iterable[PackedBatch | Mapping[str, Any]],
    *,
    learns: Sequence[str] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    parent: PreTrainedModel | None = None,
    loaders: Callable[[], Cursor] | None = None,
    precision: torch.dtype | None = None,
    tokenizer: Any = None,
    most: int = 4,
) -> Diagnosis:
    """Examine a model before its first step. Weights, gradients and modes are afterwards what they were.

    Args:
        model: any transformers model with a head, in the dtype and on the device it trains in.
        batches: what its collator makes: arguments of its forward, with unshifted `labels`. Give some with pictures.
        learns: patterns of the parameters that are meant to train; without them what has `requires_grad` is believed.
        optimizer: what is going to train it; without it only `requires_grad` is looked at.
        parent: the language model that the model was made from, if this is its first stage.
        loaders: makes a new loader with `next`, `state` and `load`, standing at its first batch.
        precision: of products (autocast), where it is not that of the weights.
        tokenizer: with the chat template of the batches; with it users' turns are told from answers.
        most: batches that are looked at.

    Raises:
        InputError: no batches, or batches without ids and labels.
    """
    inputs = [as_inputs(batch, next(model.parameters()).device) for batch in islice(batches, most)]
    if not inputs:
        raise InputError("an examination needs batches", got="none", fix="give at least one batch of the collator")
    return examine_subject(
        Subject(
            model,
            inputs,
            learns=learns,
            optimizer=optimizer,
            parent=parent,
            loaders=loaders,
            precision=precision,
            tokenizer=tokenizer,
        )
    )


def examine_subject(subject: Subject) -> Diagnosis:
    """Every check; batches with wrong placeholders and those that the model does not take are left out by the rest."""
    started = time.perf_counter()
    placeholders, unequal = check_placeholders(subject)
    outcomes: dict[CheckName, Checked] = {"placeholders": _timed(placeholders, started)}
    started = time.perf_counter()
    forward, refused = check_forward(subject, unequal)
    outcomes["forward"] = _timed(forward, started)
    sound = [batch for number, batch in enumerate(subject.batches) if number not in unequal | refused]
    for name, check in (ON_BATCHES | ON_THE_REST).items():
        started = time.perf_counter()
        if name in ON_THE_REST:
            outcomes[name] = _timed(_carried_out(name, check, subject), started)
        elif sound:
            outcomes[name] = _timed(_carried_out(name, check, replace(subject, batches=sound)), started)
        else:
            outcomes[name] = not_applicable(name, "the model takes none of the batches")
    return Diagnosis(tuple(outcomes[name] for name in CHECKS))


def _carried_out(name: CheckName, check: Callable[[Subject], Checked], subject: Subject) -> Checked:
    """The outcome of a check; an error of the model's own is its finding."""
    try:
        return check(subject)
    except ForwardFailed as error:
        where = f"{error.got}; while it was looked at whether {CHECKS[name]}"
        return checked(name, [Finding(name, error.what, where, error.fix)], "not finished")


def _timed(outcome: Checked, started: float) -> Checked:
    return replace(outcome, seconds=time.perf_counter() - started)
