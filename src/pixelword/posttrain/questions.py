"""Questions about drawn scenes as a task of post-training, beside puzzles: one word is right, and it alone is paid.

Which question a sample is follows from (seed, epoch, sample): the kind goes round with the number of the sample, form
and answer are drawn evenly, and scenes are drawn until one poses it. So each answer to a form is as likely as any
other, and who does not look has no more than the chance line. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, ClassVar

import PIL.Image
from pydantic import Field, field_validator

from pixelword.config import Settings
from pixelword.errors import ConfigError, nearest
from pixelword.jigsaw import Key, Puzzle
from pixelword.posttrain.drawn import Drawn
from pixelword.world import ANSWERS, KINDS, Question, Scene, draw_picture, draw_scene, well_posed
from pixelword.world.arithmetic import ARITHMETIC, ARITHMETIC_ANSWERS, arithmetic

ASKABLE = (*KINDS, *ARITHMETIC)
POSSIBLE = {**ANSWERS, **ARITHMETIC_ANSWERS}
"""(kind, form) -> every answer."""
SCENES = 2000
"""Scenes that are drawn at most until one poses a question; the rarest answer comes about once in fifty."""
ONE_WORD = "\nAnswer with one word or number."
"""Follows the question where whole sentences are understood."""


@dataclass(frozen=True)
class Judged:
    """What a response to a puzzle or a question is worth.

    Args:
        total: the reward.
        exact: solved.
        places: share of right places; of a question, whether it is right.
        form: readable as an answer: a permutation, or one of the words that answer such questions.
        answer: what was read, empty for nothing.
        copied: it is the example that the prompt shows.
    """

    total: float
    exact: bool
    places: float
    form: bool
    answer: tuple[object, ...]
    copied: bool = False


@dataclass(frozen=True)
class SceneQuestion:
    """A question about a picture; it can be shown and judged like a puzzle.

    Args:
        key: what it was made from.
        scene: what is drawn.
        asked: the question and its answer.
        told: what follows the question in the prompt.
    """

    key: Key
    scene: Scene
    asked: Question
    told: str = ""

    task: ClassVar[str] = "question"

    @property
    def answers(self) -> tuple[str, ...]:
        """All words that answer questions of this form."""
        return POSSIBLE[self.asked.kind, self.asked.form]

    @property
    def pieces(self) -> int:
        """Answers to choose from: a blind guess is right once in so many."""
        return len(self.answers)

    @property
    def answer(self) -> str:
        return self.asked.answer

    @cached_property
    def images(self) -> list[PIL.Image.Image]:
        return [PIL.Image.fromarray(draw_picture(self.scene))]

    def text(self) -> str:
        return f"<image>{self.asked.text}{self.told}"

    def messages(self) -> list[dict[str, Any]]:
        """One user turn; the picture is filled in from `images`."""
        return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.asked.text + self.told}]}]

    def judged(self, response: str) -> Judged:
        """1 for the one right word, else nothing; case and a full stop do not count."""
        said = response.strip().removesuffix(".").strip().lower()
        right = said == self.asked.answer
        form = said in self.answers
        return Judged(float(right), right, float(right), form, (said,) if form else ())


Item = Puzzle | SceneQuestion
"""What a prompt of a run can be."""


@dataclass(frozen=True)
class SceneSample:
    """Names a question; what it is, is drawn when it is made."""

    number: int
    split: str

    @property
    def id(self) -> str:
        return f"{self.split}-{self.number:08d}"


class DrawnScenes(Drawn[SceneSample]):
    """Scenes to ask about."""

    def sample(self, number: int) -> SceneSample:
        return SceneSample(number, self.split)


class SceneQuestions(Settings):
    """Questions of the drawn world."""

    kind: ClassVar[str] = "questions"
    kinds: tuple[str, ...] = Field(
        default=("count", *ARITHMETIC), min_length=1, description=f"in turn, any of: {', '.join(ASKABLE)}"
    )

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in ASKABLE:
                raise ConfigError("the world has no such kind of question", got=kind, fix=nearest(kind, ASKABLE))
        return kinds

    @property
    def difficulty(self) -> str:
        return " ".join(self.kinds)

    def puzzle(self, sample: SceneSample, *, seed: int, epoch: int = 0, verdicts: object = None) -> SceneQuestion:
        """The question of a sample in an epoch; nothing to screen, so no verdict is asked for."""
        kind = self.kinds[sample.number % len(self.kinds)]
        random = Random(f"{sample.split} {seed} {epoch} {sample.number} {kind}")
        forms = [form for form in POSSIBLE if form[0] == kind]
        form = forms[int(random.random() * len(forms))]
        answer = POSSIBLE[form][int(random.random() * len(POSSIBLE[form]))]
        for _ in range(SCENES):
            scene = draw_scene(random, new=False)
            posed = arithmetic(scene) if kind in ARITHMETIC else well_posed(scene)
            fitting = [one for one in posed if (one.kind, one.form) == form and one.answer == answer]
            if fitting:
                asked = fitting[int(random.random() * len(fitting))]
                return SceneQuestion(Key(seed, epoch, sample.id, f"question {kind}"), scene, asked)
        raise AssertionError(f"no scene of {SCENES} poses {form} with the answer {answer}")
