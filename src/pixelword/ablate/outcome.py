"""What came out of one run, as it is stored."""

from __future__ import annotations

from pydantic import Field

from pixelword.config import Settings


class Outcome(Settings):
    """One arm with one seed."""

    arm: str
    seed: int
    marks: dict[str, str] = Field(description="by kind of question, 1 for right and 0 for wrong, in the exam's order")
    parameters: int = Field(description="single weights of the model")
    trained: dict[str, int] = Field(description="single weights that each stage trained")
    losses: dict[str, list[float]] = Field(description="by stage, the loss of every step")
    seconds: dict[str, float] = Field(description="cpu and wall seconds of training; only the last part if continued")
    continued: bool = Field(description="whether an earlier process did a part of the run")

    @property
    def all_marks(self) -> str:
        """The marks of all kinds, in the order of their names."""
        return "".join(self.marks[kind] for kind in sorted(self.marks))

    @property
    def right(self) -> int:
        return self.all_marks.count("1")

    @property
    def asked(self) -> int:
        return len(self.all_marks)

    @property
    def share(self) -> float:
        """Right answers of all that were asked."""
        return self.right / max(1, self.asked)
