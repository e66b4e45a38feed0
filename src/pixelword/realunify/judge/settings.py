"""What a judge is: its model, its wording, its votes, and its price. A score names all of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pixelword.config import Settings
from pixelword.errors import ConfigError, nearest


class Prices(Settings):
    """What a judge costs, from its provider's list. All zero for one's own machine."""

    input_per_million: float = Field(default=0.0, ge=0, description="for a million tokens in, pictures included")
    output_per_million: float = Field(default=0.0, ge=0, description="for a million tokens out")
    per_request: float = Field(default=0.0, ge=0, description="for a request as such")
    currency: str = Field(default="USD", description="of all three")

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Of one request, in the currency."""
        tokens = input_tokens * self.input_per_million + output_tokens * self.output_per_million
        return tokens / 1_000_000 + self.per_request


class JudgeSettings(Settings):
    """One judge.

    Raises:
        ConfigError: an even number of votes, which can end in a draw.
    """

    model: str = Field(description="the model's name, pinned: no alias that may be routed elsewhere")
    wording: Literal["paper_v1", "strict_v1", "strict_all_v1"] = Field(
        default="strict_v1",
        description="paper_v1 is the paper's; strict_v1 wants JSON for each question, strict_all_v1 for all at once",
    )
    votes: int = Field(default=1, ge=1, le=15, description="replies to each question, of which the majority counts")
    temperature: float | None = Field(default=0.0, description="null where the server refuses it; above 0 for votes")
    max_tokens: int = Field(default=512, ge=1, description="of one reply")
    retries: int = Field(default=3, ge=0, description="further tries after a failure on the way")
    repairs: int = Field(default=1, ge=0, description="further requests after a reply that cannot be read")
    pause: float = Field(default=1.0, ge=0, description="seconds before the first retry; doubles each time")
    picture_tokens: int = Field(default=1300, ge=0, description="tokens of one picture, for the estimate of the cost")
    prices: Prices = Prices()

    @model_validator(mode="after")
    def odd_votes(self) -> Self:
        if self.votes % 2 == 0:
            raise ConfigError("an even number of votes can end in a draw", got=self.votes, fix="use 1, 3 or 5")
        return self

    @property
    def told(self) -> dict[str, Any]:
        """What goes with each request, unless a run says otherwise."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens}

    def judges_itself(self, generator: str) -> bool:
        """Whether it is the model whose pictures it judges, which a report flags."""
        return self.model.casefold().rpartition("/")[2] == generator.casefold().rpartition("/")[2]


PRESETS = MappingProxyType(
    {
        "qwen3-vl-32b": JudgeSettings(model="pixelword-openai/Qwen/Qwen3-VL-32B-Instruct"),
        "qwen2.5-vl-72b": JudgeSettings(model="pixelword-openai/Qwen/Qwen2.5-VL-72B-Instruct"),
        "paper": JudgeSettings(
            model="pixelword-gemini/gemini-2.5-pro", wording="paper_v1", temperature=None, max_tokens=4096
        ),
    }
)
"""Settings only. The first two have open weights and run behind any server that speaks the chat API. The published
judge is offered until 1 December 2026; after that its name leads to another model, and a run must not use it."""


def preset(name: str) -> JudgeSettings:
    """The settings of a preset.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in PRESETS:
        raise ConfigError("there is no such judge preset", got=name, fix=nearest(name, PRESETS))
    return PRESETS[name]


def preset_of(model: str) -> JudgeSettings | None:
    """The preset of a model, by its name with its provider."""
    return next((settings for settings in PRESETS.values() if settings.model == model), None)
