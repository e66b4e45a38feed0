"""Check: the model takes what the collator makes."""

from __future__ import annotations

from collections.abc import Collection

import torch

from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import ForwardFailed, Subject


def check_forward(subject: Subject, skipped: Collection[int]) -> tuple[Checked, set[int]]:
    """Run the model once on each batch.

    Args:
        subject: what is examined.
        skipped: numbers of the batches whose fault is known already.

    Returns:
        The outcome, and the numbers of the batches that the model does not take: no other check can use those.
    """
    model, was_training = subject.model, subject.model.training
    numbers = [number for number in range(len(subject.batches)) if number not in skipped]
    if not numbers:
        return not_applicable("forward", "in every batch placeholders and patches differ"), set()
    findings: list[Finding] = []
    failed: set[int] = set()
    model.eval()
    try:
        for number in numbers:
            try:
                with torch.no_grad():
                    loss = subject.loss_of(subject.batches[number])
            except ForwardFailed as error:
                findings.append(Finding("forward", error.what, f"batch {number}: {error.got}", error.fix))
                failed.add(number)
                continue
            if not isinstance(loss, torch.Tensor):
                fix = "compute the loss in the model's forward when labels are given"
                findings.append(Finding("forward", "the model gives no loss for its labels", f"batch {number}", fix))
                failed.add(number)
    finally:
        model.train(was_training)
    return checked("forward", findings[:3], f"{len(numbers)} batches"), failed
