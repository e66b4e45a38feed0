"""Check: what trains is what was declared, and all of it receives gradient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pixelword.train.adapters import is_adapter, own_name
from pixelword.train.doctor.findings import Checked, Finding, checked
from pixelword.train.doctor.reach import Reach, idle_groups, reach, without_zeros
from pixelword.train.doctor.subject import Subject, listed


def check_gradients(subject: Subject) -> Checked:
    """Compare what trains with what was declared, then look for parameters that the loss does not reach.

    A gradient of exactly zero may only be due to the start: a matrix of zeros (new height and width keys, the second
    half of an adapter) hides the ones that it is multiplied with. So zero gradients are looked at once more with those
    matrices filled, and the weights put back.
    """
    parameters = dict(subject.model.named_parameters())
    found = reach(subject)
    broken, idle = found.broken, {}
    if found.zero or found.unconnected:
        with without_zeros(subject.model):
            found = reach(subject)
            idle = idle_groups(subject, found)
    declared = _nothing_reached(subject.learns, found)
    idle = {group: names for group, names in idle.items() if declared.isdisjoint(names)}
    known = {name for names in idle.values() for name in names}
    unreached = [name for name in (*found.unconnected, *found.zero) if name not in known]
    findings = list(_undeclared(subject.learns, parameters))
    findings += _outside_the_optimizer(subject.optimizer, parameters)
    findings += _without_gradient(found, unreached, broken)
    numbers = sum(parameters[name].numel() for name in found.trained)
    note = f"{len(found.trained)} of {len(parameters)} parameters train ({numbers:,} numbers)"
    note += f", {len(subject.batches)} batches"
    return checked("gradients", findings, note, warnings=[_idle(idle)] if idle else [])


def _without_gradient(found: Reach, unreached: Sequence[str], broken: Sequence[str]) -> Iterator[Finding]:
    if not found.trained:
        yield _finding("nothing trains", "every parameter has requires_grad False", "name what learns")
    if unreached:
        silent = ", whose modules never run" if found.called.isdisjoint(unreached) else ""
        yield _finding(
            f"{len(unreached)} parameters train but never receive gradient",
            listed(unreached) + silent,
            "freeze them, or find out why the loss does not depend on them; those of pictures need data with"
            " pictures, and those below frozen embeddings need enable_input_require_grads() with checkpointing",
        )
    if broken:
        yield _finding(
            f"{len(broken)} parameters have a gradient that is not finite",
            listed(broken),
            "look for a norm of zeros or for weights that are not finite",
        )


def _nothing_reached(learns: Sequence[str] | None, found: Reach) -> set[str]:
    """Names of a pattern of which nothing is reached: what was named on its own is missed, idle or not."""
    unreached = {*found.unconnected, *found.zero}
    missed: set[str] = set()
    for pattern in learns or ():
        matched = {name for name in found.trained if re.fullmatch(pattern, own_name(name))}
        if matched <= unreached:
            missed |= matched
    return missed


def _idle(groups: Mapping[str, Sequence[str]]) -> Finding:
    count = sum(len(names) for names in groups.values())
    return _finding(
        f"{count} parameters train, and the loss does not depend on them: their modules are not called, or nothing"
        " reads what they give",
        listed(groups),
        "freeze them with requires_grad_(False): they only cost memory; or give batches that need them",
    )


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
    still = {id(p) for group in optimizer.param_groups if _never_moves(group) for p in group["params"]}
    if standing := [name for name, p in parameters.items() if p.requires_grad and id(p) in still]:
        what = f"{len(standing)} parameters are in a group of the optimiser whose rate is 0: they never move"
        yield _finding(what, listed(standing), "give the group a rate above 0, or freeze its parameters")


def _never_moves(group: Mapping[str, Any]) -> bool:
    """A rate of 0 that no schedule will raise; the first step of a warm-up has one in `initial_lr`."""
    return float(group["lr"]) == 0 and float(group.get("initial_lr", 0)) == 0


def _finding(what: str, where: str, fix: str) -> Finding:
    return Finding("gradients", what, where, fix)
