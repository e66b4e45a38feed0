"""The plan: the arms of each experiment, and the budget that all of them share.

Source: NEO, section 4.3, tables 3 (rows A to I) and figures 5 and 6. Depths and bases are scaled down: the paper's
pre-Buffer of 4 layers before 28 becomes 2 before 4; its bases 1e6 (time) and 1e4 (height, width) become 1e4 and 1e2.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

from pydantic import Field

from pixelword.config import Settings
from pixelword.errors import ConfigError, nearest
from pixelword.train import EVERYTHING, Stage
from pixelword.train.learns import SPATIAL

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
"""Of the language model; everything before it has its width."""

STEPS_PER_MINUTE = 360
"""Steps of 8 pictures in a CPU minute of one thread with AMX, both stages together."""

SEE_SHARE = 0.25
"""Share of a run's steps in the first stage, which trains what is new; the second trains everything."""

WORDS_STEPS = 200
EXAM_SCENES = 256
TRUNK_DEPTH = 2
REFERENCE = "H"
"""The row that all others are compared with: NEO itself."""

Role = Literal["native", "encoder"]
Host = Literal["parent", "other"]
NO_SPATIAL = r"(?!.*\.(q_proj_hw|k_proj_hw|q_norm_h|q_norm_w|k_norm_h|k_norm_w)\.weight).*"


class Arm(Settings):
    """One design that is trained."""

    name: str = Field(description="short name, also of its folders")
    title: str = Field(description="what it is, for the tables")
    depth: int = Field(default=TRUNK_DEPTH, ge=0, description="layers of the pre-Buffer, or of the encoder")
    config: dict[str, Any] = Field(default_factory=dict, description="keys of the configuration that make the arm")
    role: Role = Field(default="native", description="a native model, or an encoder with a projector")
    source: str = Field(default="", description="where the part that sees comes from; random when empty")
    host: Host = Field(default="parent", description="the language model behind it")
    paper: float | None = Field(default=None, description="the paper's average over ten benchmarks, for the order only")


def row(name: str, title: str, scheme: str, paper: float, **config: Any) -> Arm:
    return Arm(name=name, title=title, config={"rope_scheme": scheme, **config}, paper=paper)


ROWS = (
    row("A", "causal, 1D", "1d", 39.1, attention_pattern="causal"),
    row("B", "mixed, 1D", "1d", 39.8),
    row("C", "mixed, IL", "il", 39.5),
    row("D", "mixed, M", "m", 41.7),
    row("E", "mixed, MM", "mm", 42.4),
    row("F", "mixed, Video", "video", 43.2),
    row("G", "causal, Native", "native", 40.3, attention_pattern="causal"),
    row("H", "mixed, Native", "native", 44.0),
    row("I", "mixed, Native, H/W base of T", "native", 42.0, rope_theta_hw=10000.0),
)
NATIVE = ROWS[7]

DEPTHS = (
    Arm(name="depth-0", title="no pre-Buffer", depth=0, config=NATIVE.config),
    NATIVE.model_copy(update={"title": "2 layers", "paper": None}),
    Arm(name="depth-4", title="4 layers", depth=4, config=NATIVE.config),
)


def reuse_arms(host: Host) -> tuple[Arm, ...]:
    """Pre-Buffers from the three stages of a source run, a random one, and the encoder from scratch and trained.

    Source: NEO, section 4.4 and figure 6. The encoder stands for the modular design; it is trained here, by the same
    stages as the source of the pre-Buffers, and is no CLIP.
    """
    end = "" if host == "parent" else "-other"
    titled = {"name": f"{REFERENCE}{end}", "title": "pre-Buffer, random", "paper": None, "host": host}
    scratch = NATIVE.model_copy(update=titled)
    same: dict[str, Any] = {"config": NATIVE.config, "host": host}
    reused = tuple(
        Arm(name=f"PB{stage}{end}", title=f"pre-Buffer after stage {stage}", source=name, **same)
        for stage, name in ((1, "see"), (2, "join"), (3, "finish"))
    )
    modular = {"rope_scheme": "1d", "attention_pattern": "causal"}
    encoder = Arm(name=f"encoder{end}", title="encoder, random", config=modular, role="encoder", host=host)
    trained = {"name": f"encoder-trained{end}", "title": "encoder after three stages", "source": "finish"}
    return (scratch, *reused, encoder, encoder.model_copy(update=trained))


EXPERIMENTS = ("rows", "depth", "reuse")
HOSTS: tuple[Host, ...] = ("parent", "other")


def arms_of(experiment: str, host: str = "parent") -> tuple[Arm, ...]:
    """The arms of an experiment.

    Raises:
        ConfigError: no experiment, or no host, of that name.
    """
    if experiment not in EXPERIMENTS:
        raise ConfigError("no such ablation", got=experiment, fix=nearest(experiment, EXPERIMENTS))
    known = next((name for name in HOSTS if name == host), None)
    if known is None:
        raise ConfigError("no such language model behind a pre-Buffer", got=host, fix="use parent or other")
    return {"rows": ROWS, "depth": DEPTHS, "reuse": reuse_arms(known)}[experiment]


class Budget(Settings):
    """What every run of a folder gets."""

    words: int = Field(gt=0, description="steps of each language model, shared by all arms of a seed")
    see: int = Field(gt=0, description="steps of the first stage: captions; what is new trains")
    answer: int = Field(gt=0, description="steps of the second stage: captions; everything trains")
    pictures: int = Field(default=8, gt=0, description="pictures in a step")
    scenes: int = Field(default=EXAM_SCENES, gt=0, description="held-out scenes of the exam")

    def stage(self, name: str, learns: tuple[str, ...]) -> Stage:
        """The stage of this name: `words`, `see`, `join`, `answer` or `finish`."""
        steps = {"words": self.words, "see": self.see}.get(name, self.answer)
        length = 120 if name == "words" else 152
        schedule: Literal["constant", "cosine"] = "constant" if name in {"see", "join"} else "cosine"
        rows, save = self.pictures, 60
        return Stage(
            name=name, learns=learns, steps=steps, rows=rows, length=length, schedule=schedule, save_every=save
        )


def budget_of(minutes: float) -> Budget:
    """The steps that so many CPU minutes a run allow.

    Raises:
        ConfigError: not even a few steps fit, or no number.
    """
    steps = round(minutes * STEPS_PER_MINUTE) if isfinite(minutes) else 0
    if steps < 4:
        raise ConfigError("the budget is too short for a run", got=f"{minutes:g} minutes", fix="give 0.5 or more")
    see = max(1, round(SEE_SHARE * steps))
    return Budget(words=WORDS_STEPS, see=see, answer=steps - see)


def learns_of(arm: Arm, stage: str, first_stage: tuple[str, ...]) -> tuple[str, ...]:
    """What trains in a stage of an arm.

    In the first stage that is what is new: the pre-Buffer, or, where it was trained before, only the height and width
    weights; of an encoder the whole, or, where it was trained before, only the projector.
    """
    if arm.role == "encoder":
        part = r"model\.vision_model\.projector\..*" if arm.source else r"model\.vision_model\..*"
        return (part,) if stage == "see" else (NO_SPATIAL,)
    if stage != "see":
        return EVERYTHING
    return (SPATIAL,) if arm.source else first_stage
