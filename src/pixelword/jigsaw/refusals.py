"""What cannot become a puzzle: refused, counted and named, never replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pixelword.errors import DataError, nearest

REASONS = {
    "unreadable": "the file cannot be decoded",
    "missing": "the file or a value of the row is not there",
    "outside": "the path of a row leads out of the folder of its data",
    "bad_row": "the values of the row do not fit together",
    "bad_name": "the file's name is no text in UTF-8",
    "not_media": "the file is neither a picture nor a film",
    "animated": "the picture moves; give it as a film",
    "too_large": "more pixels than allowed",
    "too_small": "a side is shorter than allowed",
    "identical_tiles": "two tiles look the same",
    "blank_tiles": "more tiles than allowed show nothing",
    "no_frames": "the film has no frames",
    "too_short": "the film is shorter than allowed",
    "too_few_frames": "not enough frames for the clips",
    "variable_rate": "the film's frames are not evenly spaced in time",
    "static_clips": "two clips look the same",
    "depth_size": "the depth map's shape does not fit the picture's",
    "no_valid_depth": "not enough pixels have a usable depth",
    "close_depths": "no points found that differ enough in depth and place",
    "no_poses": "a pose is missing or no rigid motion",
    "close_poses": "not enough views that differ enough from each other",
    "no_plan": "no bird's-eye view, and no depth to draw one from",
}
"""Every reason, and what it means. The thresholds are settings of the puzzles."""

OnBad = Literal["skip", "fail"]
NAMED = 20


@dataclass(frozen=True)
class Refusal:
    """One sample that is no puzzle.

    Args:
        sample: its id.
        reason: a key of `REASONS`.
        detail: what was measured or what the decoder said.
    """

    sample: str
    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        assert self.reason in REASONS, nearest(self.reason, REASONS)

    def __str__(self) -> str:
        return f"{self.sample}: {REASONS[self.reason]}" + (f" ({self.detail})" if self.detail else "")


class Ledger:
    """Counts puzzles and refusals, and names the first of each reason.

    Args:
        on_bad: `skip` goes on; `fail` stops at the first refusal.
        named: refusals that are kept per reason.
    """

    def __init__(self, on_bad: OnBad = "skip", named: int = NAMED) -> None:
        self.on_bad, self.named = on_bad, named
        self.made = 0
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[Refusal]] = {}

    def refuse(self, refusal: Refusal) -> None:
        """Count one.

        Raises:
            DataError: the policy is `fail`.
        """
        if self.on_bad == "fail":
            raise DataError(
                f"{refusal.sample} cannot become a puzzle: {REASONS[refusal.reason]}",
                got=refusal.detail or None,
                fix='remove it, change the threshold, or skip such samples with on_bad="skip"',
            )
        self._counts[refusal.reason] += 1
        kept = self._first.setdefault(refusal.reason, [])
        if len(kept) < self.named:
            kept.append(refusal)

    @property
    def counts(self) -> Mapping[str, int]:
        """Refusals by reason, the most frequent first."""
        return dict(self._counts.most_common())

    @property
    def refused(self) -> int:
        return self._counts.total()

    def first(self, reason: str) -> tuple[Refusal, ...]:
        """The first refusals of a reason."""
        return tuple(self._first.get(reason, ()))

    def __str__(self) -> str:
        lines = [f"{self.made} puzzles, {self.refused} refused"]
        for reason, count in self.counts.items():
            lines.append(f"  {count} x {reason}: {REASONS[reason]}, such as {self._first[reason][0].sample}")
        return "\n".join(lines)
