"""Everything a run can be told, once: as arguments of the tasks, and as options of the command."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from pixelword.config import Settings
from pixelword.realunify.taxonomy import Protocol, Track


class RunSettings(Settings):
    """One task of a run. The same settings again go on where it was stopped."""

    data: str = Field(default="mini", description="`mini`, `hub`, or a folder with the benchmark's files")
    protocol: Protocol = Field(
        default=Protocol.DIRECT,
        description="direct, stepwise, stepwise-both-images, interleaved, oracle-pair or oracle-intermediate",
    )
    out: str = Field(default="runs/realunify", description="the run's folder")
    mini_number: int = Field(default=20, ge=1, description="items of each category of the mini")
    mini_seed: int = Field(default=0, description="seed of the mini")
    mini_side: int = Field(default=256, description="side of the mini's pictures, in pixels")
    accept_data_license: bool = Field(default=False, description="you agree to the terms of the data")
    revision: str = Field(default="", description="commit of the data on the hub; the newest by default")
    strict_data: bool = Field(default=False, description="refuse data that deviates from the benchmark")
    limit: int | None = Field(default=None, ge=1, description="items of each category")
    categories: tuple[str, ...] = Field(default=(), description="only these categories")
    samples: int = Field(default=1, ge=1, description="how often each item is asked")
    seed: int | None = Field(default=0, description="sent with each call, plus the sample's number; null sends none")
    mode: Literal["strict", "reference"] = Field(default="strict", description="how letters are read")
    prompt_limit: int = Field(default=32_000, ge=1, description="characters that the generator takes")
    judge_wording: Literal["paper_v1", "strict_v1", "strict_all_v1"] = Field(
        default="strict_v1", description="what the judge is asked with"
    )
    judge_votes: int = Field(default=1, ge=1, description="replies of the judge to each question, odd")
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="role -> what its model is told: {generator: {size: 1024x1024}}"
    )
    prices: str = Field(default="", description="a YAML file: model -> input_per_million, output_per_million, ...")
    max_cost: float | None = Field(default=None, ge=0, description="stop when the whole run has cost this much")
    retries: int = Field(default=4, ge=0, description="further tries after a failure on the way")
    timeout: int = Field(default=900, ge=1, description="seconds for one try")
    at_once: int | None = Field(default=None, ge=1, description="calls of one model at a time; adapts by default")

    @field_validator("protocol", mode="before")
    @classmethod
    def with_underscores(cls, value: Any) -> Any:
        """`stepwise-both-images` is how one types it."""
        return value.replace("-", "_") if isinstance(value, str) else value

    @field_validator("categories", mode="before")
    @classmethod
    def from_words(cls, value: Any) -> Any:
        """`a,b` from a command line."""
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


class ModelChoice(Settings):
    """A model as Inspect names it, with what its provider is told. No key: keys stand in the environment."""

    name: str = Field(description="provider/model, such as pixelword-openai/gpt-image-2")
    args: dict[str, Any] = Field(
        default_factory=dict, description="of the provider: base_url, can, key_env, command, backoff, ..."
    )
    config: dict[str, Any] = Field(default_factory=dict, description="temperature, top_p, max_tokens")


class Models(Settings):
    """Who does what. A unified model is `model` alone; a role of its own goes before it."""

    model: ModelChoice | None = None
    understander: ModelChoice | None = None
    generator: ModelChoice | None = None
    judge: tuple[ModelChoice, ...] = Field(default=(), description="one judge, or a list of judges of other names")

    @field_validator("judge", mode="before")
    @classmethod
    def one_or_several(cls, value: Any) -> Any:
        """A judge alone is written without a list."""
        return () if value is None else (value,) if isinstance(value, dict | ModelChoice) else value

    def of(self, role: str) -> tuple[ModelChoice, ...]:
        """Who has a role: its own model, or that which has all but the judge's."""
        if role == "judge":
            return self.judge
        choice = getattr(self, role) or self.model
        return () if choice is None else (choice,)


class RunPlan(Settings):
    """A whole run: who is asked what, under which protocols."""

    models: Models = Models()
    tracks: tuple[Track, ...] = Field(default=(Track.UEG, Track.GEU), description="UEG, GEU or both")
    protocols: tuple[Protocol, ...] = Field(
        default=(Protocol.DIRECT, Protocol.STEPWISE), description="asked one after the other"
    )
    run: RunSettings = RunSettings()

    @field_validator("protocols", mode="before")
    @classmethod
    def each_with_underscores(cls, value: Any) -> Any:
        """As in `RunSettings`."""
        return [one.replace("-", "_") if isinstance(one, str) else one for one in value]

    def tasks(self) -> list[tuple[Track, RunSettings]]:
        """Every track under every protocol that it has."""
        return [
            (track, self.run.model_copy(update={"protocol": protocol}))
            for protocol in self.protocols
            for track in self.tracks
            if not (track == Track.UEG and protocol == Protocol.STEPWISE_BOTH_IMAGES)
        ]
