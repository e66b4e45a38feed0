"""Video jigsaw: clips of one film, cut in time, in space, or both (Visual Jigsaw, section 3.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling
from pydantic import Field

from pixelword.jigsaw.films import Film, open_film, read_frames
from pixelword.jigsaw.prompts import video_prompt
from pixelword.jigsaw.puzzle import Clip, FrameKind, Puzzle, PuzzleSettings, shuffled
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.splits import chosen_frames, smart_size, split
from pixelword.jigsaw.tiles import closest_pair, cut, thumbnails
from pixelword.jigsaw.verdicts import Finding, Verdicts, stamp

Looks = NDArray[np.float32]


@dataclass(frozen=True)
class VideoSample:
    """One film: a file, or frames that are already decoded."""

    id: str
    video: Path | Film


class VideoJigsaw(PuzzleSettings):
    """Cut a film into clips, shuffle them, ask for the order of time, then raster order within each time."""

    kind: ClassVar[str] = "video"
    clips: int = Field(default=6, ge=1, le=32, description="parts in time; the paper has 6 and 4")
    rows: int = Field(default=1, ge=1, le=8, description="rows of the grid that every frame is cut into")
    columns: int = Field(default=1, ge=1, le=8, description="columns of that grid")
    trim_ratio: float = Field(
        default=0.1, ge=0, lt=0.5, description="cut off at both ends of a part: 0.1 in the code, 0.05 in the paper"
    )
    rate: float = Field(default=2.0, gt=0, description="frames per second wanted (the released code)")
    min_frames: int = Field(default=2, ge=2, description="frames of a clip at least (the released code)")
    max_frames: int = Field(default=12, ge=2, description="frames of a clip at most: 12 in the paper, 16 in the code")
    min_seconds: float = Field(default=24.0, ge=0, description="shorter films are refused (section 3.1.3)")
    min_pixels: int = Field(default=4 * 28 * 28, ge=1, description="of a frame; 128 x 28 x 28 in the released code")
    max_pixels: int = Field(default=128 * 28 * 28, ge=784, description="of a frame (section 3.1.3)")
    variable_rate: bool = Field(default=False, description="accept films whose frames are not evenly spaced")
    as_frames: bool = Field(default=False, description="show each clip as pictures, for models without films")
    screen: bool = Field(default=True, description="refuse puzzles that cannot be solved")
    min_clip_difference: float = Field(
        default=1.0, ge=0, description="mean grey levels by which any two clips' thumbnails differ; less is static"
    )

    @property
    def pieces(self) -> int:
        return self.clips * self.rows * self.columns

    @property
    def difficulty(self) -> str:
        grid = "" if self.rows * self.columns == 1 else f" of {self.rows}x{self.columns}"
        return f"{self.clips} clips{grid}"

    def puzzle(
        self, sample: VideoSample, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal:
        """One puzzle, or why there is none.

        Raises:
            MissingExtra: the sample is a file and PyAV is not installed.
        """
        film = open_film(sample.video, sample.id) if isinstance(sample.video, Path) else sample.video
        if isinstance(film, Refusal):
            return film
        shown = self.shown_frames(film, sample.id)
        if isinstance(shown, Refusal):
            return shown
        frames = read_frames(film, [number for clip in shown for number in clip], sample.id, self.cut_frame)
        if isinstance(frames, Refusal):
            return frames
        elements, looks = self.elements(frames, shown, film.rate)
        found = self.screened(looks, sample, verdicts) if self.screen else None
        if found is not None:
            return Refusal(sample.id, *found)
        key = self.key(sample.id, seed, epoch)
        order = self.order(key)
        kind: FrameKind = "image" if self.as_frames else "video"
        return Puzzle(
            key=key,
            task=self.kind,
            media=shuffled(elements, order),
            order=order,
            prompt=video_prompt(self.clips, self.rows, self.columns, self.rule, self.example, key, kind),
            rule=self.rule,
            about={"frames": shown, "film_frames": film.frames, "film_rate": film.rate},
        )

    def shown_frames(self, film: Film, sample: str) -> list[list[int]] | Refusal:
        """Numbers of the frames of each clip, in order of time."""
        if film.frames == 0:
            return Refusal(sample, "no_frames")
        if film.seconds < self.min_seconds:
            return Refusal(sample, "too_short", f"{film.seconds:.1f} s")
        if not self.variable_rate and not film.even:
            return Refusal(sample, "variable_rate", f"{film.frames} frames in {film.seconds:.1f} s")
        parts = split(film.frames, self.clips, Fraction(str(self.trim_ratio)))
        shown = [
            chosen_frames(*part, video_rate=film.rate, rate=self.rate, least=self.min_frames, most=self.max_frames)
            for part in parts or []
        ]
        whole = [clip for clip in shown if clip is not None]
        if not whole or len(whole) < len(shown):
            return Refusal(sample, "too_few_frames", f"{film.frames} frames for {self.clips} clips")
        return whole

    def elements(
        self, frames: list[tuple[list[Image], Looks]], shown: list[list[int]], film_rate: float
    ) -> tuple[list[Clip], Looks]:
        """The K clips in their right order, time outermost, and how each looks [K, down, across, 3]."""
        clips: list[Clip] = []
        looks: list[Looks] = []
        place = 0
        for numbers in shown:
            part = frames[place : place + len(numbers)]
            place += len(numbers)
            rate = film_rate * (len(numbers) - 1) / (numbers[-1] - numbers[0])
            clips += [Clip(moving, rate) for moving in zip(*(tiles for tiles, _ in part), strict=True)]
            looks.append(np.mean([look for _, look in part], axis=0))
        return clips, np.concatenate(looks)

    def cut_frame(self, frame: Image) -> tuple[list[Image], Looks]:
        """Its tiles, cut and sized, and their thumbnails [R * C, down, across, 3].

        Sides that do not divide are enlarged to the next multiple first.
        """
        across, down = -(-frame.width // self.columns), -(-frame.height // self.rows)
        size = (across * self.columns, down * self.rows)
        even = frame if frame.size == size else frame.resize(size, Resampling.BICUBIC)
        tiles = cut(even, self.rows, self.columns)
        target = smart_size(across, down, min_pixels=self.min_pixels, max_pixels=self.max_pixels)
        sized = [tile if tile.size == target else tile.resize(target, Resampling.BICUBIC) for tile in tiles]
        return sized, thumbnails(tiles)

    def screened(self, looks: Looks, sample: VideoSample, verdicts: Verdicts | None) -> Finding | None:
        """What the screen finds, or found before in the same file with the same settings."""

        def look() -> Finding | None:
            if len(looks) < 2:
                return None
            gap, first, second = closest_pair(looks)
            if gap >= self.min_clip_difference:
                return None
            return "static_clips", f"elements {first + 1} and {second + 1} differ by {gap:.2f} grey levels"

        version = stamp(sample.video)
        if verdicts is None or version is None:
            return look()
        settings = (self.min_clip_difference, self.trim_ratio, self.rate, self.min_frames, self.max_frames)
        return verdicts.judge((self.kind, self.difficulty, settings, version, sample.id), look)
