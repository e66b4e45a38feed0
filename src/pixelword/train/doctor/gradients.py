"""Check: what trains is what was declared, and all of it receives gradient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pixelword.train.adapters import is_adapter, own_name
from pixelword.train.doctor.findings import Checked, Finding, checked
from pixelword.train.doctor.subject import Subject, listed

NUDGE = 0.02


def check_gradients(subject: Subject) -> Checked:
    """Compare what trains with what was declared, then look for parameters that the loss does not reach.

    A gradient of exactly zero may only be due to the start: a matrix of zeros (new height and width keys, the second
    half of an adapter) hides the ones that it is multiplied with. So zero gradients are looked at once more with those
    matrices filled, and the weights put back.
    """
    parameters = dict(subject.model.named_parameters())
    trains = [name for name, parameter in parameters.items() if parameter.requires_grad]
    findings = list(_undeclared(subject.learns, parameters))
    findings += _outside_the_optimizer(subject.optimizer, parameters)
    unreached, broken = _reach(subject)
    if unreached:
        with _without_zeros(subject.model):
            still, _ = _reach(subject)
        unreached = [name for name in unreached if name in still]
    if not trains:
        findings.append(_finding("nothing trains", "every parameter has requires_grad False", "name what learns"))
    if unreached:
        findings.append(
            _finding(
                f"{len(unreached)} parameters train but never receive gradient",
                listed(unreached),
                "freeze them, or find out why the loss does not depend on them; those of pictures need data with"
                " pictures, and those below frozen embeddings need enable_input_require_grads() with checkpointing",
            )
        )
    if broken:
        findings.append(
            _finding(
                f"{len(broken)} parameters have a gradient that is not finite",
                listed(broken),
                "look for a norm of zeros or for weights that are not finite",
            )
        )
    numbers = sum(parameters[name].numel() for name in trains)
    note = f"{len(trains)} of {len(parameters)} parameters train ({numbers:,} numbers), {len(subject.batches)} batches"
    return checked("gradients", findings, note)


def _undeclared(learns: Sequence[str] | None, parameters: Mapping[str, nn.Parameter]) -> Iterator[Finding]:
    """Differences between the declared patterns and what has requires_grad."""
    if learns is None:
        return
    declared = {
        name
        for name in parameters
        if is_adapter(name) or any(re.fullmatch(pattern, own_name(name)) for pattern in learns)
    }
    frozen = [name for name, parameter in parameters.items() if name in declared and not parameter.requires_grad]
    learning = [name for name, parameter in parameters.items() if name not in declared and parameter.requires_grad]
    idle = [pattern for pattern in learns if not any(re.fullmatch(pattern, own_name(name)) for name in parameters)]
    if frozen:
        yield _finding(
            f"{len(frozen)} parameters should learn and are frozen", listed(frozen), "set their requires_grad to True"
        )
    if learning:
        yield _finding(
            f"{len(learning)} parameters learn that no pattern names",
            listed(learning),
            "set their requires_grad to False, or name them under `learns`",
        )
    if idle:
        yield _finding("a pattern of what learns matches no parameter", listed(idle), "correct the pattern")


def _outside_the_optimizer(
    optimizer: torch.optim.Optimizer | None, parameters: Mapping[str, nn.Parameter]
) -> Iterator[Finding]:
    """Differences between what has requires_grad and what the optimiser was given."""
    if optimizer is None:
        return
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    missing = [name for name, p in parameters.items() if p.requires_grad and id(p) not in given]
    frozen = [name for name, p in parameters.items() if not p.requires_grad and id(p) in given]
    if missing:
        what = f"{len(missing)} parameters train that the optimiser does not have"
        yield _finding(what, listed(missing), "make the optimiser after it was chosen what learns")
    if frozen:
        what = f"the optimiser has {len(frozen)} frozen parameters"
        yield _finding(what, listed(frozen), "give it only what learns")


def _reach(subject: Subject) -> tuple[list[str], list[str]]:
    """Names of the training parameters without gradient after all batches, and of those with one that is not finite."""
    model = subject.model
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before, was_training = {name: parameter.grad for name, parameter in model.named_parameters()}, model.training
    model.zero_grad(set_to_none=True)
    model.train()
    try:
        for batch in subject.batches:
            with subject.products():
                loss = model(**batch).loss
            if loss.requires_grad:
                loss.backward()
        unreached = [name for name, parameter in trained.items() if parameter.grad is None or not parameter.grad.any()]
        broken = [name for name, p in trained.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = before[name]
        model.train(was_training)
    return unreached, broken


@contextmanager
def _without_zeros(model: nn.Module) -> Iterator[None]:
    """Fill the training matrices that are all zero with small numbers for a while."""
    zeros = [p for p in model.parameters() if p.requires_grad and p.ndim > 1 and not p.any()]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for parameter in zeros:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * NUDGE)
        yield
    finally:
        with torch.no_grad():
            for parameter in zeros:
                parameter.zero_()


def _finding(what: str, where: str, fix: str) -> Finding:
    return Finding("gradients", what, where, fix)
