"""Depth jigsaw: numbered points of one picture, to be ordered from near to far (Visual Jigsaw, section 3.1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from PIL.Image import Image
from pydantic import Field

from pixelword.jigsaw.depth_maps import Depth, Limits, read_depth, sample_points
from pixelword.jigsaw.draws import Key
from pixelword.jigsaw.markers import mark
from pixelword.jigsaw.pictures import MAX_PIXELS, Picture, fitted, read_picture, shape
from pixelword.jigsaw.prompts import depth_prompt
from pixelword.jigsaw.puzzle import Puzzle, PuzzleSettings
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.verdicts import Verdicts

SAME_ASPECT = 0.01
"""Relative difference of aspect ratio up to which a map belongs to its picture; ScanNet's differ by 0.4 %."""


@dataclass(frozen=True)
class DepthSample:
    """One picture with its depth.

    Args:
        depth: the map; not needed with points.
        points: (row, column) in the picture, nearest first, for samples that come with them.
        depth_scale: metres per stored unit; by default 0.001 for whole numbers, 1 for others.
    """

    id: str
    image: Picture
    depth: Depth | None = None
    points: tuple[tuple[int, int], ...] | None = None
    depth_scale: float | None = None


class DepthJigsaw(PuzzleSettings):
    """Mark points of a picture with numbered discs, ask for their order from near to far."""

    kind: ClassVar[str] = "depth"
    points: int = Field(default=6, ge=2, le=99, description="points to order; 6 in the paper")
    nearest: float = Field(default=0.1, gt=0, description="metres at least (section 3.1.4)")
    farthest: float = Field(default=10.0, gt=0, description="metres at most (section 3.1.4)")
    min_depth_gap: float = Field(default=0.2, ge=0, description="metres; any two differ by more (section 3.1.4)")
    min_pixel_gap: float = Field(default=40.0, ge=0, description="pixels between any two (section 3.1.4)")
    max_edge: float = Field(default=0.1, gt=0, description="metres to a neighbour pixel; more is an edge. Ours")
    marker_radius: int = Field(default=15, ge=4, description="pixels of the picture before resize (released code)")
    marker_alpha: int = Field(default=120, ge=0, le=255, description="of a disc's filling (released code)")
    resize: tuple[int, int] | None = Field(default=None, description="(width, height) after drawing, bicubic")
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, description="width times height at most")
    place: str = Field(default="indoor", description="what the pictures show, for the prompt; may be empty")

    @property
    def pieces(self) -> int:
        return self.points

    @property
    def difficulty(self) -> str:
        return f"{self.points} points {self.min_depth_gap} m {self.min_pixel_gap} px"

    def puzzle(
        self, sample: DepthSample, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal:
        """One puzzle, or why there is none. No verdict is kept: another epoch draws other points, too."""
        # A depth map knows nothing of EXIF, so the picture stays as it is stored.
        picture = read_picture(sample.image, sample.id, max_pixels=self.max_pixels, upright=False)
        if isinstance(picture, Refusal):
            return picture
        key = self.key(sample.id, seed, epoch)
        points = self.chosen(picture, sample, key)
        if isinstance(points, Refusal):
            return points
        order = self.order(key)
        # Label j + 1 is drawn at the point with the original place order[j].
        marked = mark(
            picture,
            [points[original] for original in order],
            range(1, self.pieces + 1),
            radius=self.marker_radius,
            alpha=self.marker_alpha,
        )
        return Puzzle(
            key=key,
            task=self.kind,
            media=(fitted(marked, self.resize, None),),
            order=order,
            prompt=depth_prompt(self.pieces, self.rule, self.example, key, self.place),
            rule=self.rule,
            about={"points": points},
        )

    def chosen(self, picture: Image, sample: DepthSample, key: Key) -> list[tuple[int, int]] | Refusal:
        """Points (row, column) in the picture, nearest first."""
        if sample.points is not None:
            inside = all(0 <= row < picture.height and 0 <= column < picture.width for row, column in sample.points)
            if len(sample.points) != self.pieces or not inside:
                return Refusal(sample.id, "depth_size", f"points {sample.points} in {shape(picture)}")
            return list(sample.points)
        if sample.depth is None:
            return Refusal(sample.id, "missing", "neither depth nor points")
        depth = read_depth(sample.depth, sample.id, sample.depth_scale, max_pixels=self.max_pixels)
        if isinstance(depth, Refusal):
            return depth
        stretch = (picture.height / depth.shape[0], picture.width / depth.shape[1])
        if abs(stretch[0] / stretch[1] - 1) > SAME_ASPECT:
            return Refusal(sample.id, "depth_size", f"{depth.shape[1]}x{depth.shape[0]} for {shape(picture)}")
        points = sample_points(depth, self.pieces, key, self.limits, stretch)
        if isinstance(points, Refusal):
            return points
        return [(int((row + 0.5) * stretch[0]), int((column + 0.5) * stretch[1])) for row, column in points]

    @property
    def limits(self) -> Limits:
        return Limits(
            self.nearest, self.farthest, self.min_depth_gap, self.min_pixel_gap, self.max_edge, self.marker_radius
        )
