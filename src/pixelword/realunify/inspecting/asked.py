"""One request on its way through Inspect, with all that makes it the same as another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from inspect_ai.model import Model

from pixelword.realunify.backends.calls import Operation
from pixelword.realunify.protocols import Shown
from pixelword.realunify.records import Role

LETTERS_PER_TOKEN = 4
TOKENS_OF_A_PICTURE = 1300
TOKENS_OF_A_REPLY = 1000
"""Rough, for the first call of a model; after that the dearest call so far is known."""


@dataclass(frozen=True)
class Asked:
    """A request.

    Args:
        settings: as they are sent.
        attempt: vote and repair of a judge; empty for others.
    """

    role: Role
    model: Model
    operation: Operation
    prompt: str
    pictures: tuple[Shown, ...]
    settings: dict[str, Any]
    seed: int | None
    sample: int
    attempt: str = ""

    def key(self) -> str:
        """The hash of everything that is asked. The address of a server is not part of it, so a server may move."""
        asked: dict[str, Any] = {
            "role": self.role,
            "model": str(self.model),
            "operation": str(self.operation),
            "prompt": self.prompt,
            "pictures_in": [shown.picture.sha256 for shown in self.pictures],
            "settings": self.settings,
            "seed": self.seed,
            "sample": self.sample,
            "attempt": self.attempt,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def ours(self) -> dict[str, Any]:
        """What our own providers read from the metadata of the message: the pictures as files."""
        return {
            "operation": str(self.operation),
            "pictures": [str(shown.path) for shown in self.pictures],
            "seed": self.seed,
            "settings": self.settings,
        }

    def tokens(self) -> tuple[int, int]:
        """In and out, roughly."""
        most = self.settings.get("max_tokens")
        letters = len(self.prompt) // LETTERS_PER_TOKEN
        return letters + TOKENS_OF_A_PICTURE * len(self.pictures), most if type(most) is int else TOKENS_OF_A_REPLY
