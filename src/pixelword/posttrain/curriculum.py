"""A curriculum that holds the success rate between two bounds. No torch.

The level is a number: 1.25 means that three quarters of the prompts are of level 1 and one quarter of level 2. After
each generation it moves by how far the success rate is from the middle between the bounds, so that it comes to rest
inside them and follows the model as it learns. A puzzle's level is a function of the seed and the number of its
prompt, so that every member of a group, every process and every restart has the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from pixelword.jigsaw import Key

FINE = 1 << 32
"""Parts into which a level is divided for a draw."""


@dataclass
class Curriculum:
    """Where the difficulty stands.

    Args:
        levels: how many there are.
        low, high: bounds of the success rate.
        step: levels to move at most after a generation.
        level: from 0, the easiest alone, to levels - 1, the hardest alone.
        smoothing: generations over which the success rate is averaged before it steers.
        recent: success rates of the last generations.
    """

    levels: int
    low: float = 0.3
    high: float = 0.7
    step: float = 0.25
    level: float = 0.0
    smoothing: int = 2
    recent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.level = self.within(self.level)

    def choose(self, seed: int, number: int) -> int:
        """Level of the prompt with this number in the run."""
        below = int(self.level)
        share = int((self.level - below) * FINE)
        drawn = next(Key(seed, 0, f"prompt {number}", "level").below(FINE, "level"))
        return min(below + (drawn < share), self.levels - 1)

    def learn(self, success: float) -> None:
        """Take the success rate of a generation, and move.

        The whole `step` is used when success is as far away as the nearer bound or further.
        """
        self.recent.append(success)
        while len(self.recent) > self.smoothing:
            self.recent.popleft()
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        away = (sum(self.recent) / len(self.recent) - middle) / half
        self.level = self.within(self.level + self.step * max(-1.0, min(1.0, away)))

    def within(self, level: float) -> float:
        return min(max(level, 0.0), float(self.levels - 1))

    def state(self) -> dict[str, Any]:
        """What a restart needs."""
        return {"level": self.level, "recent": list(self.recent)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.level, self.recent = float(state["level"]), deque(state["recent"])
