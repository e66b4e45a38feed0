"""Every key of a post-training recipe, with its meaning and default. No torch.

A recipe is one run: a model, samples, one kind of puzzle or questions about drawn scenes, and GRPO or SFT on it.
Sources: Visual Jigsaw (ICLR 2026), sections 3.1 and 4.1 and its released scripts; DAPO (arXiv 2503.14476);
Dr. GRPO (2503.20783); GSPO (2507.18071).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pixelword.config import Settings
from pixelword.errors import ConfigError
from pixelword.jigsaw import DepthJigsaw, ImageJigsaw, MotionJigsaw, PoseJigsaw, VideoJigsaw
from pixelword.posttrain.questions import SceneQuestions
from pixelword.posttrain.wording import Wording
from pixelword.recipe import LoraSettings, OptimizerSettings
from pixelword.recipe.loading import read_recipe
from pixelword.world import KINDS

Puzzles = ImageJigsaw | VideoJigsaw | DepthJigsaw | MotionJigsaw | PoseJigsaw | SceneQuestions
TASKS = ("image", "video", "depth", "motion", "pose", "questions")
Algorithm = Literal["grpo", "dapo", "dr_grpo", "gspo"]


class StartSettings(Settings):
    """The model that is trained on: ours, or any image-text-to-text model of transformers."""

    checkpoint: str = Field(min_length=1, description="folder or hub name; remote code is never run")
    dtype: Literal["bfloat16", "float32"] = Field(default="bfloat16", description="of the weights while training")
    autocast: bool = Field(default=True, description="matrix products in bfloat16")
    min_pixels: int | None = Field(default=None, gt=0, description="smallest area of a picture; null: the processor's")
    max_pixels: int | None = Field(default=None, gt=0, description="largest area of a picture; null: the processor's")


class SampleSettings(Settings):
    """Where the pictures, films or depth maps come from."""

    layout: Literal["folder", "coco", "llava-video", "scannet", "drawn"] = Field(
        default="folder", description="how the folder is laid out; drawn needs none and draws its pictures"
    )
    path: Path | None = Field(default=None, description="folder of the samples")
    depths: Path | None = Field(default=None, description="folder of depth maps, for depth puzzles in a plain folder")
    drawn: int = Field(default=20_000, gt=0, description="drawn pictures to train on")
    bad_samples: Literal["skip", "fail"] = Field(default="skip", description="what happens to one that is no puzzle")
    held_out: int = Field(default=256, ge=0, description="samples set aside by the hash of their ids, never trained on")


class GrpoSettings(Settings):
    """Group Relative Policy Optimization."""

    algorithm: Algorithm = Field(
        default="grpo", description="grpo; dapo: token mean, clip-higher; dr_grpo: no division; gspo: sequence ratio"
    )
    loss: Literal["grpo", "bnpo", "dapo", "dr_grpo"] | None = Field(
        default=None, description="another mean over tokens than the algorithm's; bnpo is the released code's"
    )
    group: int = Field(default=16, ge=2, description="responses to a prompt")
    prompts: int = Field(default=256, gt=0, description="prompts of a generation, over all ranks")
    updates: int = Field(default=1, gt=0, description="optimiser steps that a generation is split into")
    passes: int = Field(default=1, gt=0, description="times a generation is trained on")
    rows_per_batch: int = Field(default=4, gt=0, description="responses in one forward and backward pass of a rank")
    rollout_rows: int = Field(default=32, gt=0, description="responses that a rank generates side by side")
    clip: float | None = Field(default=None, gt=0, description="of the ratio, below; null: the algorithm's")
    clip_high: float | None = Field(default=None, gt=0, description="of the ratio, above; null: the algorithm's")
    kl: float = Field(default=0.0, ge=0, description="weight of the distance to the starting model")
    entropy_bonus: float = Field(default=0.0, ge=0, description="weight of the mean entropy of a token")
    temperature: float = Field(default=1.0, gt=0, description="of sampling")
    max_tokens: int = Field(default=2048, gt=0, description="of a response")
    max_prompt_tokens: int = Field(default=8192, gt=0, description="a longer prompt is an error")
    vllm: Literal["off", "colocate", "server"] = Field(default="off", description="engine of the rollouts")
    vllm_memory: float = Field(default=0.6, gt=0, lt=1, description="share of a GPU for a colocated vLLM")
    vllm_url: str = Field(default="http://localhost:8000", description="of a vLLM server")
    share_prompts: bool = Field(default=True, description="our models: one pass over a prompt for all its responses")
    flat_groups: Literal["keep", "mask", "refill"] = Field(
        default="mask", description="groups without variance: keep in the mean, mask, or replace by new prompts"
    )
    max_refills: int = Field(default=2, gt=0, description="rounds of new prompts for one generation")
    gate_tolerance: float = Field(
        default=0.05, gt=0, description="largest mean difference of log-probabilities of rollout and trainer, in nats"
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        rows = self.prompts * self.group
        if rows % (self.rows_per_batch * self.updates):
            raise ConfigError(
                "a generation is no whole number of batches",
                got=f"{self.prompts} prompts x {self.group} responses, {self.updates} updates of batches of "
                f"{self.rows_per_batch}",
                fix="make prompts x group a multiple of updates x rows_per_batch",
            )
        return self


class ReplaySettings(SceneQuestions):
    """Questions about drawn scenes among the puzzles, so that a model which could answer them does not forget how."""

    share: float = Field(default=0.25, gt=0, lt=1, description="of all rows, drawn by the number of the row")
    kinds: tuple[str, ...] = Field(default=KINDS, min_length=1, description="of questions, in turn")


class SftSettings(Settings):
    """Supervised training on the right answers, without thoughts. The authors' own SFT recipe is not published."""

    puzzles: int = Field(default=256, gt=0, description="puzzles of a step, over all ranks")
    rows_per_batch: int = Field(default=4, gt=0, description="puzzles in one forward and backward pass of a rank")
    replay: ReplaySettings | None = Field(default=None, description="drawn questions among the rows; null: none")


class CurriculumSettings(Settings):
    """Puzzles as hard as the model can just solve."""

    levels: tuple[dict[str, Any], ...] = Field(
        min_length=2, description="settings of the puzzle that change from the easiest level to the hardest"
    )
    low: float = Field(default=0.3, ge=0, le=1, description="success below this makes puzzles easier")
    high: float = Field(default=0.7, ge=0, le=1, description="success above this makes them harder")
    success: Literal["exact", "places"] = Field(default="exact", description="share solved, or share of right places")
    start: float = Field(default=0.0, ge=0, description="level to start from; 0.5 is half of the first two each")
    step: float = Field(default=0.25, gt=0, description="levels to move at most after a generation")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.low >= self.high:
            raise ConfigError(
                "the bounds of success leave no room", got=f"{self.low} to {self.high}", fix="set low below high"
            )
        return self


class HeldOutSettings(Settings):
    """Greedy answers to puzzles of held-out samples while training."""

    puzzles: int = Field(default=256, ge=0, description="the same ones every time; 0 asks none")
    every: int = Field(default=50, gt=0, description="optimiser steps between examinations")
    rows: int = Field(default=32, gt=0, description="puzzles answered side by side")
    max_tokens: int | None = Field(default=None, gt=0, description="of an answer; null: as in training")


class PosttrainRecipe(Settings):
    """One run of post-training."""

    kind: Literal["grpo", "sft"] = Field(default="grpo", description="reward alone, or the right answers")
    model: StartSettings
    lora: LoraSettings | None = Field(default=None, description="adapters; null trains all weights")
    samples: SampleSettings
    image: ImageJigsaw | None = Field(default=None, description="tiles of a picture")
    video: VideoJigsaw | None = Field(default=None, description="clips of a film, shown as frames")
    depth: DepthJigsaw | None = Field(default=None, description="points of a picture with depth")
    motion: MotionJigsaw | None = Field(default=None, description="views of a scene to match with motions")
    pose: PoseJigsaw | None = Field(default=None, description="views of a scene to match with poses on its plan")
    questions: SceneQuestions | None = Field(default=None, description="questions about drawn scenes, no puzzle")
    wording: Wording = Field(default="paper", description="paper; short: in words of the drawn world, no thoughts")
    grpo: GrpoSettings = GrpoSettings()
    sft: SftSettings = SftSettings()
    curriculum: CurriculumSettings | None = Field(default=None, description="null: one difficulty all the time")
    held_out: HeldOutSettings = HeldOutSettings()
    optimizer: OptimizerSettings
    steps: int = Field(gt=0, description="optimiser steps")
    checkpointing: bool = Field(default=True, description="recompute activations instead of keeping them")
    save_every: int = Field(default=40, gt=0, description="steps between checkpoints, at the end of a generation")
    keep: int = Field(default=3, gt=0, description="checkpoints that are kept")
    seed: int = Field(default=1, ge=0, description="of puzzles, their order, sampling and new weights")

    @property
    def puzzle(self) -> Puzzles:
        """The one kind of puzzle, or the questions."""
        found: list[Puzzles] = [getattr(self, name) for name in TASKS if getattr(self, name) is not None]
        return found[0]

    @property
    def thinks(self) -> bool:
        """Whether prompts ask for thoughts."""
        return self.wording == "paper" and not isinstance(self.puzzle, SceneQuestions) and self.puzzle.rule.think

    @property
    def steps_per_generation(self) -> int:
        """Optimiser steps from one generation to the next."""
        return self.grpo.updates * self.grpo.passes if self.kind == "grpo" else 1

    @model_validator(mode="after")
    def _one_puzzle(self) -> Self:
        given = [name for name in TASKS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                "a run has one kind of puzzle",
                got=", ".join(given) or "none",
                fix=f"set one of {', '.join(TASKS)}; {{}} takes all its defaults",
            )
        if self.video is not None and not self.video.as_frames:
            raise ConfigError(
                "the trainer is TRL's, which takes pictures and no films",
                got="video.as_frames false",
                fix="set video.as_frames: true, which shows the frames of a clip as pictures",
            )
        return self

    @model_validator(mode="after")
    def _samples_are_somewhere(self) -> Self:
        if (self.samples.layout == "drawn") != (self.samples.path is None):
            raise ConfigError(
                "samples come from a folder, or are drawn",
                got=f"layout {self.samples.layout}, path {self.samples.path}",
                fix="set samples.path, or samples.layout: drawn without a path",
            )
        drawn = self.samples.layout == "drawn"
        if drawn and self.image is None and self.questions is None:
            raise ConfigError("only pictures and scenes are drawn", got=self.puzzle.kind, fix="set image, or a folder")
        if self.questions is not None and not drawn:
            raise ConfigError(
                "questions are about drawn scenes", got=f"layout {self.samples.layout}", fix="set samples.layout: drawn"
            )
        return self

    @model_validator(mode="after")
    def _saves_between_generations(self) -> Self:
        if self.save_every % self.steps_per_generation or self.steps % self.steps_per_generation:
            raise ConfigError(
                "a run is saved and ends between generations, or it could not be continued exactly",
                got=f"steps {self.steps}, save_every {self.save_every}, {self.steps_per_generation} steps a generation",
                fix="make steps and save_every multiples of grpo.updates x grpo.passes",
            )
        return self

    @model_validator(mode="after")
    def _levels_are_puzzles(self) -> Self:
        levels(self)
        return self


def levels(recipe: PosttrainRecipe) -> tuple[Puzzles, ...]:
    """The puzzles of the curriculum, easiest first; one without a curriculum.

    Raises:
        ConfigError: a level has a key that the puzzle has not.
    """
    if recipe.curriculum is None:
        return (recipe.puzzle,)
    return tuple(recipe.puzzle.model_copy(update=level) for level in recipe.curriculum.levels)


def read_posttrain_recipe(path: Path, overrides: Sequence[str] = ()) -> PosttrainRecipe:
    """Read a recipe of post-training; see `pixelword.recipe.loading.read_recipe`."""
    return read_recipe(PosttrainRecipe, path, overrides)
