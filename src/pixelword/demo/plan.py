"""The plan of the demo: what each stage trains, on what, and for how many steps. Fixed steps, so runs repeat."""

from __future__ import annotations

from pydantic import Field

from pixelword.config import Settings
from pixelword.train import EVERYTHING, Stage


class Lesson(Settings):
    """A stage and the rows that it sees."""

    stage: Stage
    captions: int = Field(description="captions of each picture, one in reading order, the others in random order")
    questions: int = Field(description="questions about each picture")
    weights: dict[str, float] | None = Field(default=None, description="how often each kind is asked")


class Plan(Settings):
    """The whole demo."""

    words: Lesson = Field(description="the language model, before it sees")
    see: Lesson = Field(description="stage 1: patch embedding, pre-Buffer, height and width weights; captions only")
    join: Lesson = Field(description="stage 2: everything; captions and questions")
    answer: Lesson = Field(description="stage 3: everything; questions only")
    jigsaw_sft_steps: int = Field(default=170, description="supervised steps of 32 puzzles, after the exam")
    jigsaw_grpo_steps: int = Field(default=30, description="GRPO steps of 16 puzzles with 16 answers each")
    jigsaw_puzzles: int = Field(default=256, description="held-out puzzles")
    mini: Lesson = Field(description="after the exam: choices of RealUnify-mini, and questions of the world")
    mini_items: int = Field(default=60, description="held-out items of each category of RealUnify-mini")
    probe_every: int = Field(default=60, description="steps between looks at the accuracy while training")
    probe_scenes: int = Field(default=48, description="scenes of such a look")
    exam_scenes: int = Field(default=320, description="held-out scenes of the exam")
    blind_scenes: int = Field(default=160, description="held-out scenes asked about with a blank picture")
    new_scenes: int = Field(default=160, description="scenes with colour and shape pairs that were never trained")
    captions: int = Field(default=96, description="held-out scenes of which a caption is asked")


def the_plan(first_stage: tuple[str, ...], *, fast: bool) -> Plan:
    """The full plan, or one that only shows that every part works.

    Args:
        first_stage: what stage 1 trains.
        fast: a tenth of the steps and a fifth of the exam.
    """

    def steps(number: int) -> int:
        return max(number // 12, 10) if fast else number

    words = Stage(name="words", learns=EVERYTHING, steps=steps(400), length=120, schedule="cosine")
    see = Stage(name="see", learns=first_stage, steps=steps(220), length=168)
    join = Stage(name="join", learns=EVERYTHING, steps=steps(280), length=168)
    answer = Stage(name="answer", learns=EVERYTHING, steps=steps(500), length=168, schedule="cosine")
    mini = Stage(name="mini", learns=EVERYTHING, steps=steps(220), length=168, schedule="cosine")
    plan = Plan(
        words=Lesson(stage=words, captions=1, questions=8),
        see=Lesson(stage=see, captions=4, questions=0),
        join=Lesson(stage=join, captions=2, questions=7),
        answer=Lesson(stage=answer, captions=0, questions=10),
        mini=Lesson(stage=mini, captions=0, questions=10),
    )
    if not fast:
        return plan
    fewer = {"exam_scenes": 48, "blind_scenes": 32, "new_scenes": 32, "captions": 32, "mini_items": 12}
    fewer |= {"jigsaw_sft_steps": 10, "jigsaw_grpo_steps": 3, "jigsaw_puzzles": 32, "probe_every": 15}
    return plan.model_copy(update=fewer)
