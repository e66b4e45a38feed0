"""What an examination says: per check a status, and per fault what, where and how to mend it.

A finding is a fault. A warning is something that a sound training may have too, and that its owner should know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

CheckName = Literal["forward", "gradients", "packing", "labels", "placeholders", "resume", "language"]
Status = Literal["sound", "warning", "faulty", "not applicable"]

CHECKS: dict[CheckName, str] = {
    "forward": "the model takes the batches and gives a loss",
    "gradients": "what trains, and exactly that, receives gradient",
    "packing": "a packed sample has the logits that it has alone",
    "labels": "every position is taught the next token",
    "placeholders": "there are as many placeholders as patches",
    "resume": "a resumed run equals an uninterrupted one",
    "language": "text has the logits of the parent LLM before the first step",
}
"""Every check and the property that it holds the training to."""


@dataclass(frozen=True)
class Finding:
    """One fault, or one thing to know.

    Attributes:
        check: the property that it belongs to.
        what: what is wrong, in one sentence.
        where: parameter, sample, position or key.
        fix: what to do.
    """

    check: CheckName
    what: str
    where: str
    fix: str


@dataclass(frozen=True)
class Checked:
    """The outcome of one check.

    Attributes:
        check: which.
        status: "faulty" if and only if there are findings; "warning" if there are only warnings.
        note: what was looked at; of a check that is not applicable, the reason.
        findings: its faults.
        warnings: what is no fault by itself.
        seconds: how long it took.
    """

    check: CheckName
    status: Status
    note: str
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    seconds: float = 0.0


def checked(check: CheckName, findings: Sequence[Finding], note: str, *, warnings: Sequence[Finding] = ()) -> Checked:
    """The outcome of a check that was carried out."""
    status: Status = "faulty" if findings else "warning" if warnings else "sound"
    return Checked(check, status, note, tuple(findings), tuple(warnings))


def not_applicable(check: CheckName, reason: str) -> Checked:
    """The outcome of a check that does not fit the model or its data."""
    return Checked(check, "not applicable", reason)


@dataclass(frozen=True)
class Diagnosis:
    """All outcomes, in the order of `CHECKS`."""

    checks: tuple[Checked, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The faults."""
        return tuple(finding for outcome in self.checks for finding in outcome.findings)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is no fault by itself."""
        return tuple(finding for outcome in self.checks for finding in outcome.warnings)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {"checks": [asdict(replace(outcome, seconds=round(outcome.seconds, 2))) for outcome in self.checks]}

    def __str__(self) -> str:
        lines = []
        for outcome in self.checks:
            lines.append(f"{outcome.check}: {outcome.status} ({outcome.note})")
            for finding in outcome.findings + outcome.warnings:
                lines += [f"  what:  {finding.what}", f"  where: {finding.where}", f"  fix:   {finding.fix}"]
        return "\n".join(lines)
