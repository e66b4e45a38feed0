"""Which training parameters the loss reaches, and which it does not depend on at all.

A parameter without gradient is one of two things. Its gradient was cut off (a detach, a freezing on the way): then the
loss still moves when the parameter is changed, and training is spoilt. Or it stands idle: a layer behind the one whose
states are read, a head that nobody calls. Stock models have such parts, and training goes on without them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelword.train.doctor.subject import Subject, model_errors

NUDGE = 0.02
MOST_GROUPS = 16
"""Modules that are changed one by one to see whether the loss moves; those beyond are taken for cut off."""


@dataclass(frozen=True)
class Reach:
    """What the loss of all batches reaches; names of training parameters.

    Attributes:
        trained: all of them.
        zero: with a gradient of exactly zero.
        unconnected: with none at all.
        broken: with one that is not finite.
        called: whose module ran.
    """

    trained: tuple[str, ...]
    zero: tuple[str, ...]
    unconnected: tuple[str, ...]
    broken: tuple[str, ...]
    called: frozenset[str]


def reach(subject: Subject) -> Reach:
    """Run every batch forward and backward; gradients and mode are afterwards what they were."""
    model, was_training = subject.model, subject.model.training
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    model.train()
    try:
        with _calls(model) as called:
            for batch in subject.batches:
                loss = subject.loss_of(batch)
                if loss.requires_grad:
                    with model_errors():
                        loss.backward()
        gradients = {name: parameter.grad for name, parameter in trained.items()}
        return Reach(
            tuple(trained),
            tuple(name for name, gradient in gradients.items() if gradient is not None and not gradient.any()),
            tuple(name for name, gradient in gradients.items() if gradient is None),
            tuple(
                name for name, gradient in gradients.items() if gradient is not None and not gradient.isfinite().all()
            ),
            frozenset(name for name, parameter in trained.items() if id(parameter) in called),
        )
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = before[name]
        model.train(was_training)


def idle_groups(subject: Subject, found: Reach) -> dict[str, list[str]]:
    """Modules on which the loss does not depend, with the names of their training parameters.

    A part that stands idle as a whole (a projector that runs and is thrown away) is not among them if it was called:
    there the model must be at fault.
    """
    groups = _topmost(found.trained, found.unconnected)
    part_of = _parts(subject)
    reached = {part_of[name] for name in found.trained if name not in {*found.unconnected, *found.zero}}
    usual = {
        group: names
        for group, names in groups.items()
        if part_of[names[0]] in reached or found.called.isdisjoint(names)
    }
    if not _moves_the_loss(subject, [name for names in usual.values() for name in names]):
        return usual
    tried = list(usual.items())[:MOST_GROUPS]
    return {group: names for group, names in tried if not _moves_the_loss(subject, names)}


def _moves_the_loss(subject: Subject, names: Collection[str]) -> bool:
    """Whether another value of these parameters gives another loss in any batch."""
    if not names:
        return False
    was_training = subject.model.training
    subject.model.eval()
    try:
        before = _losses(subject)
        with other_values({name: subject.model.get_parameter(name) for name in names}, 1.0):
            return _losses(subject) != before
    finally:
        subject.model.train(was_training)


@torch.no_grad()
def _losses(subject: Subject) -> list[float]:
    return [float(subject.loss_of(batch)) for batch in subject.batches]


@contextmanager
def other_values(parameters: Mapping[str, nn.Parameter], size: float) -> Iterator[None]:
    """Add random numbers of this size for a while."""
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for parameter in parameters.values():
                noise = torch.randn(parameter.shape, generator=generator) * size
                parameter.add_(noise.to(parameter.device, parameter.dtype))
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(kept[name])


def without_zeros(model: nn.Module) -> AbstractContextManager[None]:
    """Fill the training matrices that are all zero with small numbers for a while."""
    zeros = {name: p for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1 and not p.any()}
    return other_values(zeros, NUDGE)


@contextmanager
def _calls(model: nn.Module) -> Iterator[set[int]]:
    """Identities of the parameters whose own module runs inside."""
    called: set[int] = set()

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        called.update(id(parameter) for parameter in module.parameters(recurse=False))

    owners = [module for module in model.modules() if next(module.parameters(recurse=False), None) is not None]
    handles = [module.register_forward_pre_hook(note) for module in owners]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def _topmost(trained: Collection[str], names: Collection[str]) -> dict[str, list[str]]:
    """Each name under the outermost module that holds, of what trains, such names only; or alone under its own."""

    def outwards(name: str) -> list[str]:
        words = name.split(".")
        return [".".join(words[:depth]) for depth in range(1, len(words) + 1)]

    under = Counter(prefix for name in trained for prefix in outwards(name))
    inside = Counter(prefix for name in names for prefix in outwards(name))
    groups = defaultdict(list)
    for name in names:
        groups[next(prefix for prefix in outwards(name) if inside[prefix] == under[prefix])].append(name)
    return dict(groups)


def _parts(subject: Subject) -> dict[str, str]:
    """The part of the model that a parameter belongs to: a child of the backbone, or what it is itself."""
    backbone = subject.network.base_model
    parts = {id(p): child for child, module in backbone.named_children() for p in module.parameters()}
    return {name: parts.get(id(parameter), name) for name, parameter in subject.model.named_parameters()}
