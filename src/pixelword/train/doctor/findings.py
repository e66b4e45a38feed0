"""What an examination says: per check a status, and per fault what, where and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

CheckName = Literal["gradients", "packing", "labels", "placeholders", "resume", "language"]
Status = Literal["sound", "faulty", "not applicable"]

CHECKS: dict[CheckName, str] = {
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
    """One fault.

    Attributes:
        check: the property that is broken.
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
        status: "faulty" if and only if there are findings.
        note: what was looked at; of a check that is not applicable, the reason.
        findings: its faults.
        seconds: how long it took.
    """

    check: CheckName
    status: Status
    note: str
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


def checked(check: CheckName, findings: Sequence[Finding], note: str) -> Checked:
    """The outcome of a check that was carried out."""
    return Checked(check, "faulty" if findings else "sound", note, tuple(findings))


def not_applicable(check: CheckName, reason: str) -> Checked:
    """The outcome of a check that does not fit the model or its data."""
    return Checked(check, "not applicable", reason)


@dataclass(frozen=True)
class Diagnosis:
    """All outcomes, in the order of `CHECKS`."""

    checks: tuple[Checked, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for outcome in self.checks for finding in outcome.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {"checks": [asdict(replace(outcome, seconds=round(outcome.seconds, 2))) for outcome in self.checks]}

    def __str__(self) -> str:
        lines = []
        for outcome in self.checks:
            lines.append(f"{outcome.check}: {outcome.status} ({outcome.note})")
            for finding in outcome.findings:
                lines += [f"  what:  {finding.what}", f"  where: {finding.where}", f"  fix:   {finding.fix}"]
        return "\n".join(lines)
