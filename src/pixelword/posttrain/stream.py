"""Which puzzle a number of the run means: one function of recipe, seed and level, the same in every process. No torch.

Prompts of a run are numbered from 0. Number n is in epoch n // samples; each epoch visits the samples in another order
and shuffles every puzzle anew. Nothing is made ahead of time, so the level can change after every generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pixelword.errors import ConfigError, DataError
from pixelword.jigsaw import (
    Key,
    Ledger,
    Refusal,
    Verdicts,
    coco,
    depth_folder,
    image_folder,
    llava_video,
    scannet_depth,
    scannet_scenes,
    video_folder,
)
from pixelword.posttrain.drawn import DrawnPictures
from pixelword.posttrain.questions import DrawnScenes, Item, SceneSample
from pixelword.posttrain.settings import PosttrainRecipe, Puzzles, ReplaySettings, SampleSettings, levels
from pixelword.posttrain.wording import Wording, worded

TRIES = 100
"""Other samples that are tried in the place of one that is no puzzle."""
FINE = 1 << 32
"""Parts into which a share is divided for a draw."""


@dataclass
class PuzzleStream:
    """The puzzles of a run, or its questions.

    Args:
        samples: what is trained on; each names itself.
        levels: puzzles to make, easiest first.
        seed: of orders and puzzles.
        wording: how they are asked.
        ledger: counts what was made and refused.
        replay: questions in the place of a share of the puzzles.
        verdicts: screenings so far, which are not repeated.
        refused: (number of a sample, level) -> why it is no puzzle.
    """

    samples: Sequence[Any]
    levels: Sequence[Puzzles]
    seed: int
    wording: Wording = "paper"
    ledger: Ledger = field(default_factory=Ledger)
    replay: ReplaySettings | None = None
    verdicts: Verdicts = field(default_factory=Verdicts)
    refused: dict[tuple[int, int], Refusal] = field(default_factory=dict)
    _orders: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=dict)

    def row(self, number: int, level: int = 0) -> Item:
        """The puzzle of a row, or one of the replayed questions, whose share is drawn by the number."""
        if self.replay is not None:
            drawn = next(Key(self.seed, 0, f"row {number}", "replay").below(FINE, "share"))
            if drawn < self.replay.share * FINE:
                return worded(self.replay.puzzle(SceneSample(number, "replay"), seed=self.seed), self.wording)
        return self.puzzle(number, level)

    def puzzle(self, number: int, level: int = 0) -> Item:
        """The puzzle of a prompt. A sample that is none is counted, and another takes its place, drawn by the key.

        Raises:
            DataError: so many in a row are refused that the folder is not what it should be; or the first one is,
                where the ledger's policy is `fail`.
        """
        epoch, place = divmod(number, len(self.samples))
        chosen = int(self.order(epoch)[place])
        others = Key(self.seed, epoch, f"prompt {number}", "replacement").below(len(self.samples), "sample")
        for sample in (chosen, *islice(others, TRIES)):
            made = self.made(sample, level, epoch)
            if made is not None:
                self.ledger.made += 1
                return worded(made, self.wording)
        raise DataError(
            f"{TRIES} samples in a row make no puzzle", got=str(self.ledger), fix="look at the reasons, and the folder"
        )

    def made(self, sample: int, level: int, epoch: int) -> Item | None:
        """The puzzle of one sample, or None; what was refused once is not looked at again."""
        if (sample, level) in self.refused:
            return None
        given = self.samples[sample]
        task: Any = self.levels[level]
        made: Item | Refusal = (
            given
            if isinstance(given, Refusal)
            else task.puzzle(given, seed=self.seed, epoch=epoch, verdicts=self.verdicts)
        )
        if isinstance(made, Refusal):
            self.refused[sample, level] = made
            self.ledger.refuse(made)
            return None
        return made

    def state(self) -> dict[str, Any]:
        """What was made and refused so far, for a restart."""
        refused = [[*place, made.sample, made.reason, made.detail] for place, made in self.refused.items()]
        return {"made": self.ledger.made, "refused": refused}

    def restore(self, state: dict[str, Any]) -> None:
        """Count on from `state()`; what was refused is not looked at again."""
        self.ledger.made = state["made"]
        for sample, level, name, reason, detail in state["refused"]:
            self.refused[sample, level] = Refusal(name, reason, detail)
            self.ledger.refuse(self.refused[sample, level])

    def order(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The samples' numbers in the order of an epoch."""
        if epoch not in self._orders:
            self._orders = {epoch: np.random.default_rng((self.seed, epoch)).permutation(len(self.samples))}
        return self._orders[epoch]


def open_samples(settings: SampleSettings, kind: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Samples to train on, and held-out ones.

    A folder is listed and split by the hash of the ids, so that the same pictures are held out on every machine, and
    mostly the same ones after the folder has grown. What is no media is refused when its turn comes.

    Raises:
        ConfigError: a layout without samples of this kind, a folder with too few.
    """
    if kind == "questions":
        return DrawnScenes(settings.drawn), DrawnScenes(settings.held_out, "held-out")
    if settings.layout == "drawn":
        # The screen refuses a few; a drawn world has more.
        return DrawnPictures(settings.drawn), DrawnPictures(2 * settings.held_out, "held-out")
    sources = {
        ("image", "folder"): image_folder,
        ("image", "coco"): coco,
        ("video", "folder"): video_folder,
        ("video", "llava-video"): llava_video,
        ("depth", "scannet"): scannet_depth,
        ("motion", "scannet"): scannet_scenes,
        ("pose", "scannet"): scannet_scenes,
    }
    if (kind, settings.layout) == ("depth", "folder"):
        if settings.depths is None:
            raise ConfigError("depth puzzles need depth maps", fix="set samples.depths to their folder")
        listed = list(depth_folder(str(settings.path), settings.depths))
    elif (kind, settings.layout) in sources:
        listed = list(sources[kind, settings.layout](settings.path))  # type: ignore[operator]
    else:
        known = ", ".join(layout for one, layout in sources if one == kind)
        raise ConfigError(
            f"there are no {kind} puzzles in this layout", got=settings.layout, fix=f"set samples.layout to {known}"
        )
    good = sorted((sample for sample in listed if not isinstance(sample, Refusal)), key=lambda one: digest(one.id))
    if len(good) <= settings.held_out:
        raise ConfigError(
            "fewer samples than are to be held out",
            got=f"{len(good)} usable in {settings.path}, held_out {settings.held_out}",
            fix="lower samples.held_out or give a larger folder",
        )
    refused = [sample for sample in listed if isinstance(sample, Refusal)]
    return good[settings.held_out :] + refused, good[: settings.held_out]


def digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=8).digest()


def open_stream(recipe: PosttrainRecipe, screened: Path | None = None) -> tuple[PuzzleStream, Sequence[Any]]:
    """The stream of a recipe, and its held-out samples.

    Args:
        screened: file of earlier screenings, read where it is there and written by `stream.verdicts.save()`.
    """
    train, held_out = open_samples(recipe.samples, recipe.puzzle.kind)
    ledger = Ledger(recipe.samples.bad_samples)
    replay = recipe.sft.replay if recipe.kind == "sft" else None
    verdicts = Verdicts(screened)
    return PuzzleStream(train, levels(recipe), recipe.seed, recipe.wording, ledger, replay, verdicts), held_out


def held_out_puzzles(
    samples: Iterable[Any], kinds: Sequence[Puzzles], count: int, wording: Wording, seed: int = 0
) -> list[Item]:
    """The first `count` puzzles of held-out samples, as many of each level; the same whenever it is called.

    Raises:
        ConfigError: there are fewer.
    """
    kept = [sample for sample in samples if not isinstance(sample, Refusal)]
    found: list[Item] = []
    for level, task in enumerate(kinds):
        wanted = (count + level) // len(kinds)
        maker: Any = task
        made = (maker.puzzle(sample, seed=seed, epoch=0) for sample in kept)
        some = list(islice((worded(one, wording) for one in made if not isinstance(one, Refusal)), wanted))
        if len(some) < wanted:
            raise ConfigError(
                "too few held-out samples make puzzles",
                got=f"{len(some)} of {wanted} of {task.difficulty}",
                fix="raise samples.held_out or lower held_out.puzzles",
            )
        found += some
    return found
