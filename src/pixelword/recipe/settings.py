"""Every key of a recipe, with its meaning and default. No torch.

A recipe is one stage of training: what it starts from, what learns, on which data, how packed, at which rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixelword.config import Settings
from pixelword.errors import ConfigError


class ModelSettings(Settings):
    """What the stage starts from: a checkpoint, or a preset on top of a language model."""

    preset: Literal["neo-2b", "neo-9b", "neo-tiny"] | None = Field(
        default=None, description="shape of a model that is built from a language model"
    )
    language_model: str | None = Field(
        default=None, description="folder or hub name of the language model under the preset; null draws all weights"
    )
    checkpoint: str | None = Field(default=None, description="folder or hub name of a NEO model to continue")
    tokenizer: str | None = Field(
        default=None, description="folder or hub name of the tokenizer; null takes that of the model"
    )
    dtype: Literal["bfloat16", "float32"] = Field(
        default="bfloat16", description="of products and of frozen weights; what trains is kept in float32"
    )

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if (self.preset is None) == (self.checkpoint is None):
            raise ConfigError(
                "a stage starts from a preset or from a checkpoint",
                got=f"preset {self.preset!r}, checkpoint {self.checkpoint!r}",
                fix="set model.preset, or set model.checkpoint, and leave the other null",
            )
        return self


class ImageSettings(Settings):
    """Preprocessing of pictures while training."""

    min_pixels: int = Field(default=65_536, gt=0, description="smallest area in pixels")
    max_pixels: int = Field(default=4_194_304, gt=0, description="largest area in pixels")
    share_pixels: bool = Field(default=True, description="several pictures of a sample share twice the area of one")
    apply_exif: bool = Field(default=False, description="turn pictures as their EXIF orientation says")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ConfigError(
                "min_pixels is larger than max_pixels",
                got=f"{self.min_pixels} > {self.max_pixels}",
                fix="raise images.max_pixels or lower images.min_pixels",
            )
        return self


class VideoSettings(Settings):
    """Which frames of a film are read."""

    frames_per_second: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="frames per second of film")
    max_frames: int = Field(default=16, gt=0, description="most frames of one film")


class SourceSettings(Settings):
    """One dataset of a mixture."""

    name: str = Field(min_length=1, description="how logs and errors call it")
    kind: Literal["json", "parquet", "webdataset", "huggingface"] = Field(description="format of the rows")
    path: str = Field(
        min_length=1, description="file, folder, pattern with * or {0..9}, URL, or (huggingface) a name on the hub"
    )
    root: Path | None = Field(default=None, description="folder that the rows' pictures lie in")
    split: str = Field(default="train", description="of a Hugging Face dataset")
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="share of the samples")
    epochs: int | None = Field(default=None, gt=0, description="times it is read; null reads it for ever")


class DataSettings(Settings):
    """The mixture and how it is read."""

    sources: tuple[SourceSettings, ...] = Field(default=(), description="datasets of the mixture")
    seed: int = Field(default=42, description="of the order of rows")
    lanes: int = Field(default=8, gt=0, description="independent packers; the number of ranks must divide it")
    pool: int = Field(default=4096, gt=0, description="rows of a source that are shuffled together")
    shuffle: bool = Field(default=True, description="false reads rows in the order of the files")
    bad_rows: Literal["skip", "fail"] = Field(default="skip", description="what happens to a row that cannot be used")
    threads: int = Field(default=2, ge=0, description="threads that decode pictures; 0 decodes in the main thread")

    @model_validator(mode="after")
    def _a_mixture(self) -> Self:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError("two sources have one name", got=twice[0], fix="give every source its own name")
        if self.sources and not any(source.weight for source in self.sources):
            raise ConfigError(
                "the weights of the mixture are all zero", got=", ".join(names), fix="give one of them a weight"
            )
        return self


class PackingSettings(Settings):
    """Rows of samples."""

    budget: int = Field(default=8192, gt=0, description="tokens of a row")
    max_sample: int = Field(default=8192, gt=0, description="tokens of a sample; a longer one is a bad row")
    look_ahead: int = Field(default=256, gt=0, description="samples that wait for a row")
    weighting: Literal["token", "sample", "square"] = Field(default="square", description="weight of a sample's tokens")

    @model_validator(mode="after")
    def _samples_fit(self) -> Self:
        if self.max_sample > self.budget:
            raise ConfigError(
                "a sample may be longer than a row",
                got=f"max_sample {self.max_sample} > budget {self.budget}",
                fix="raise packing.budget or lower packing.max_sample",
            )
        return self


Share = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """Optimiser and schedule."""

    name: Literal["adamw", "muon"] = Field(default="adamw", description="muon uses AdamW for all but matrices")
    rate: float = Field(gt=0, allow_inf_nan=False, description="peak learning rate")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="decay of AdamW's two averages, below 1")
    eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False, description="added to AdamW's denominator")
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False, description="not applied to norms and biases")
    clip: float | None = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="largest norm of the gradient; null does not clip"
    )
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="after the warm-up")
    warmup_steps: int = Field(default=0, ge=0, description="steps in which the rate rises from zero")
    min_rate_share: float = Field(default=0.0, ge=0, le=1, description="end of the cosine, as a share of the peak")


class LoraSettings(Settings):
    """Low-rank adapters in place of full training."""

    rank: int = Field(gt=0, description="rank of the adapters")
    alpha: float = Field(gt=0, allow_inf_nan=False, description="scale of the adapters, divided by the rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout in front of the adapters")
    targets: tuple[str, ...] = Field(
        min_length=1, description="patterns of the linear layers that get one; each must match some"
    )


class RetentionSettings(Settings):
    """How well the model still writes text, beside the language model that it was built from."""

    text: str = Field(min_length=1, description="held-out rows {text: ...}: a JSON file, folder or pattern with *")
    parent: str | None = Field(
        default=None, description="folder or hub name of the parent; null takes model.language_model"
    )
    every: int = Field(default=1000, gt=0, description="steps between two measurements; the last step is measured too")
    tokens: int = Field(default=20_000, gt=0, description="tokens that are read")


class Recipe(Settings):
    """One stage of training."""

    name: str = Field(min_length=1, description="name of the stage")
    model: ModelSettings
    learns: tuple[str, ...] = Field(
        default=(".*",), description="patterns of the parameters that train; each must match some"
    )
    lora: LoraSettings | None = Field(default=None, description="adapters; `learns` then names what trains beside them")
    images: ImageSettings = ImageSettings()
    video: VideoSettings = VideoSettings()
    data: DataSettings = DataSettings()
    packing: PackingSettings = PackingSettings()
    optimizer: OptimizerSettings
    steps: int = Field(gt=0, description="optimiser steps")
    rows_per_step: int = Field(gt=0, description="packed rows of a step, over all ranks and micro-batches")
    rows_per_batch: int = Field(default=1, gt=0, description="packed rows of a micro-batch on one rank")
    spread: Literal["all", "node"] = Field(
        default="all", description="processes that share one copy of the model: all of them, or those of a node"
    )
    checkpointing: bool = Field(default=True, description="recompute activations instead of keeping them")
    compile: bool = Field(default=False, description="compile every block of the decoder")
    attention: Literal["auto", "sdpa", "flex_attention", "eager"] = Field(
        default="auto", description="kernel; auto takes flex_attention on a GPU and sdpa elsewhere"
    )
    retention: RetentionSettings | None = Field(
        default=None, description="perplexity of held-out text; null measures none"
    )
    log_every: int = Field(default=10, gt=0, description="steps between two lines of the log")
    save_every: int = Field(default=500, gt=0, description="steps between two checkpoints")
    keep: int = Field(default=2, gt=0, description="checkpoints that are kept")
    report_to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        default=("tensorboard",), description="where numbers go beside log.jsonl, if it is installed"
    )
    seed: int = Field(default=42, description="of new weights and dropout")

    @model_validator(mode="after")
    def _something_learns(self) -> Self:
        if not self.learns and self.lora is None:
            raise ConfigError(
                "a stage must train something", got="learns []", fix='write learns: [".*"] for everything'
            )
        return self

    @model_validator(mode="after")
    def _warms_up(self) -> Self:
        if self.optimizer.warmup_steps >= self.steps:
            raise ConfigError(
                "the warm-up is as long as the stage",
                got=f"warmup_steps {self.optimizer.warmup_steps}, steps {self.steps}",
                fix="lower optimizer.warmup_steps or raise steps",
            )
        return self

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.rows_per_step % self.rows_per_batch:
            raise ConfigError(
                "a step is no whole number of micro-batches",
                got=f"rows_per_step {self.rows_per_step}, rows_per_batch {self.rows_per_batch}",
                fix="make rows_per_step a multiple of rows_per_batch",
            )
        return self
