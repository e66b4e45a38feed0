"""A puzzle: what is shown, what is asked, the right answer, and what a response to it earns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

from PIL.Image import Image
from pydantic import Field, model_validator

from pixelword.config import Settings
from pixelword.errors import ConfigError
from pixelword.jigsaw.draws import Key, target_of
from pixelword.jigsaw.prompts import Example, Part, Slot
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.rewards import AnswerRule, Reward
from pixelword.jigsaw.verdicts import Verdicts


@dataclass(frozen=True)
class Clip:
    """Frames of a film.

    Args:
        frames: at least one, all of one size.
        rate: frames per second of film time.
    """

    frames: tuple[Image, ...]
    rate: float


Media = Image | Clip


@dataclass(frozen=True)
class Puzzle:
    """One puzzle. Prompt and reward follow the same rule.

    Args:
        key: what it was made from.
        task: `image`, `video`, `depth`, `motion` or `pose`.
        media: in the order of their slots in the prompt.
        order: `order[j]` is the original place, from 0, of the element with the label j + 1.
        prompt: texts and slots.
        rule: how the answer is asked for and paid.
        about: measurements of its making, for the curious: points, frames, poses.
        alike: groups of labels whose elements look the same; each may stand for any other of its group.
    """

    key: Key
    task: str
    media: tuple[Media, ...]
    order: tuple[int, ...]
    prompt: tuple[Part, ...]
    rule: AnswerRule
    about: dict[str, Any]
    alike: tuple[tuple[int, ...], ...] = ()

    @property
    def pieces(self) -> int:
        return len(self.order)

    @cached_property
    def target(self) -> tuple[int, ...]:
        """The right answer, labels from 1."""
        return target_of(self.order)

    @property
    def answer(self) -> str:
        """A response that earns everything, without thoughts."""
        return self.rule.write(self.target)

    def reward(self, response: str) -> Reward:
        """What a response earns."""
        return self.rule.score(response, self.target, self.alike)

    def text(self, image: str = "<image>", video: str = "<video>") -> str:
        """The prompt with a mark at each slot."""
        return "".join(
            part if isinstance(part, str) else {"image": image, "video": video}[part.kind] for part in self.parts()
        )

    def messages(self) -> list[dict[str, Any]]:
        """The prompt as one user turn of text and media parts, in place.

        The media parts carry no media and no such key: they are filled from `images` in order.
        """
        parts = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": part.kind} for part in self.parts()
        ]
        return [{"role": "user", "content": parts}]

    def parts(self) -> Iterator[Part]:
        """The prompt with one slot for everything that is shown: a clip shown as pictures has one for each frame."""
        for part in self.prompt:
            media = None if isinstance(part, str) or part.kind == "video" else self.media[part.number]
            yield from [part] * (len(media.frames) if isinstance(media, Clip) else 1)

    @property
    def images(self) -> list[Image]:
        """All pictures and frames in the order of the prompt."""
        return [image for media in self.media for image in (media.frames if isinstance(media, Clip) else (media,))]

    @property
    def slots(self) -> list[Slot]:
        return [part for part in self.prompt if isinstance(part, Slot)]

    def digest(self) -> str:
        """SHA-256 of all that the model sees and of the answer: prompt, decoded pixels, sizes, target."""
        total = sha256(repr((self.task, self.text(), self.target)).encode())
        for image in self.images:
            total.update(repr((image.mode, image.size)).encode())
            total.update(image.tobytes())
        return total.hexdigest()


S_contra = TypeVar("S_contra", contravariant=True)


class Task(Protocol[S_contra]):
    """What makes puzzles of one kind out of samples of one kind."""

    @property
    def difficulty(self) -> str: ...

    def puzzle(
        self, sample: S_contra, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal: ...


class PuzzleSettings(Settings):
    """What all kinds of puzzles share."""

    kind: ClassVar[str]
    rule: AnswerRule = Field(default=AnswerRule(), description="how the answer is asked for and paid")
    example: Example = Field(
        default="paper", description="answer shown in the prompt: paper (fixed), random (another each time), none"
    )
    identity: bool = Field(default=True, description="whether a puzzle may come out unshuffled, as in the paper")

    @property
    def pieces(self) -> int:
        """Elements to order."""
        raise NotImplementedError

    @property
    def difficulty(self) -> str:
        """Names the size and whatever else the order is drawn anew for."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _something_to_order(self) -> Self:
        if self.pieces < 2:
            raise ConfigError("a puzzle has two pieces or more", got=self.pieces, fix="cut it into more")
        return self

    def key(self, sample: str, seed: int, epoch: int) -> Key:
        return Key(seed, epoch, sample, f"{self.kind} {self.difficulty}")

    def order(self, key: Key) -> tuple[int, ...]:
        return key.permutation(self.pieces, identity=self.identity)


def shuffled(elements: Sequence[Media], order: Sequence[int]) -> tuple[Media, ...]:
    return tuple(elements[original] for original in order)


FrameKind = Literal["image", "video"]
