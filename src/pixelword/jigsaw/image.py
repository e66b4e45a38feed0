"""Image jigsaw: the tiles of one picture, to be put in raster order (Visual Jigsaw, section 3.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from PIL.Image import Image
from pydantic import Field

from pixelword.jigsaw.draws import target_of
from pixelword.jigsaw.pictures import MAX_PIXELS, Picture, fitted, read_picture, shape
from pixelword.jigsaw.prompts import image_prompt
from pixelword.jigsaw.puzzle import Puzzle, PuzzleSettings, shuffled
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.tiles import alike_tiles, cut, screen_tiles
from pixelword.jigsaw.verdicts import Finding, Verdicts, stamp


@dataclass(frozen=True)
class ImageSample:
    """One picture.

    Args:
        id: names it; the same on every machine.
    """

    id: str
    image: Picture


class ImageJigsaw(PuzzleSettings):
    """Cut a picture into a grid, shuffle the tiles, ask for the raster order."""

    kind: ClassVar[str] = "image"
    rows: int = Field(default=3, ge=1, le=16, description="rows of the grid; the paper has 3 and 2")
    columns: int = Field(default=3, ge=1, le=16, description="columns of the grid")
    min_side: int = Field(
        default=84, ge=1, description="pixels of the shorter side at least: 3 x 28 in the paper, section 3.1.2"
    )
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, description="width times height at most")
    upright: bool = Field(default=True, description="turn as EXIF says; the released code does not")
    resize: tuple[int, int] | None = Field(default=None, description="(width, height) before cutting, bicubic")
    crop: tuple[int, int] | None = Field(default=None, description="(width, height) around the centre, after resize")
    screen: bool = Field(default=True, description="refuse puzzles that cannot be solved")
    min_tile_difference: float = Field(
        default=6.0,
        ge=0,
        description="mean grey levels by which any two tiles' thumbnails differ, each of 16 x 16 or more places",
    )
    min_tile_detail: float = Field(
        default=2.0, ge=0, description="standard deviation in grey levels below which a tile's thumbnail is blank"
    )
    max_blank_tiles: int = Field(default=1, ge=0, description="blank tiles allowed; one is placed by elimination")
    interchange: bool = Field(
        default=False, description="tiles that look the same may stand for each other, instead of a refusal. Ours"
    )

    @property
    def pieces(self) -> int:
        return self.rows * self.columns

    @property
    def difficulty(self) -> str:
        return f"{self.rows}x{self.columns}"

    def puzzle(
        self, sample: ImageSample, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal:
        """One puzzle, or why there is none. The same key gives the same pixels everywhere.

        Args:
            verdicts: screenings of earlier epochs, read and added to.
        """
        picture = read_picture(sample.image, sample.id, max_pixels=self.max_pixels, upright=self.upright)
        if isinstance(picture, Refusal):
            return picture
        if min(picture.size) < max(self.min_side, self.rows, self.columns):
            return Refusal(sample.id, "too_small", shape(picture))
        picture = fitted(picture, self.resize, self.crop)
        if min(picture.width // self.columns, picture.height // self.rows) < 1:
            return Refusal(sample.id, "too_small", f"{shape(picture)} after resize and crop")
        tiles = cut(picture, self.rows, self.columns)
        found = self.screened(tiles, sample, verdicts) if self.screen else None
        if found is not None:
            return Refusal(sample.id, *found)
        key = self.key(sample.id, seed, epoch)
        order = self.order(key)
        target = target_of(order)
        same = alike_tiles(tiles, self.min_tile_difference) if self.interchange else []
        return Puzzle(
            key=key,
            task=self.kind,
            media=shuffled(tiles, order),
            order=order,
            prompt=image_prompt(self.rows, self.columns, self.rule, self.example, key),
            rule=self.rule,
            about={"size": picture.size, "grid": (self.rows, self.columns)},
            alike=tuple(tuple(target[cell] for cell in cells) for cells in same),
        )

    def screened(self, tiles: list[Image], sample: ImageSample, verdicts: Verdicts | None) -> Finding | None:
        """What the screen finds, or found before in the same file with the same settings."""

        def look() -> Finding | None:
            return screen_tiles(
                tiles,
                min_difference=0.0 if self.interchange else self.min_tile_difference,
                min_detail=self.min_tile_detail,
                max_blank=self.max_blank_tiles,
            )

        version = stamp(sample.image)
        if verdicts is None or version is None:
            return look()
        limits = (self.min_tile_difference, self.min_tile_detail, self.max_blank_tiles, self.interchange)
        view = (self.resize, self.crop, self.upright)
        return verdicts.judge((self.kind, self.difficulty, limits, view, version, sample.id), look)
