"""What is odd about data: kinds of deviation, each with a count and its first examples."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixelword.errors import DataError

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One kind of deviation in one file."""

    file: str
    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.what} ({self.count}; {', '.join(self.examples)})"


@dataclass
class Findings:
    """Collects deviations while data is read."""

    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, file: str, what: str, example: object) -> None:
        self.found.setdefault((file, what), []).append(str(example)[:80])

    def result(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(file, what, len(examples), tuple(examples[:EXAMPLES]))
            for (file, what), examples in self.found.items()
        )

    def refuse_any(self) -> None:
        """Raises DataError that lists every finding, if there is one."""
        if self.found:
            raise DataError(
                "the data deviates from the benchmark",
                got="\n".join(map(str, self.result())),
                fix="repair the files, or read them without `strict` and keep the findings in view",
            )
