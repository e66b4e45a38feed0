"""Matching views of one scene with motions or with poses seen from above (Visual Jigsaw, appendix A.1).

The paper reports both tasks and prints neither prompt nor thresholds; these are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import PIL.Image
from PIL.Image import Image
from pydantic import Field

from pixelword.jigsaw.depth_maps import Depth, read_depth
from pixelword.jigsaw.draws import Key
from pixelword.jigsaw.markers import mark
from pixelword.jigsaw.pictures import MAX_PIXELS, Picture, fitted, read_picture
from pixelword.jigsaw.poses import Matrix, Motion, Plan, cloud, distinct, draw_plan, intrinsics, motion, rigid, stand
from pixelword.jigsaw.prompts import motion_prompt, pose_prompt
from pixelword.jigsaw.puzzle import Puzzle, PuzzleSettings, shuffled
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.verdicts import Verdicts


@dataclass(frozen=True)
class View:
    """One picture and where it was taken from.

    Args:
        pose: 4 x 4, camera to world; see `pixelword.jigsaw.poses`.
        depth, camera, depth_scale: a depth map, its 3 x 3 intrinsics and its unit, to draw a plan from.
    """

    image: Picture
    pose: object
    depth: Depth | None = None
    camera: object | None = None
    depth_scale: float | None = None


@dataclass(frozen=True)
class SceneSample:
    """Views of one scene.

    Args:
        plan: the scene from above; drawn from the views' depth where absent.
    """

    id: str
    views: tuple[View, ...]
    plan: Plan | None = None


class ViewSettings(PuzzleSettings):
    """What both kinds share."""

    views: int = Field(default=4, ge=2, le=16, description="views to match")
    up: tuple[float, float, float] = Field(default=(0.0, 0.0, 1.0), description="the world's up; z in ScanNet")
    min_distance: float = Field(default=0.5, ge=0, description="metres between any two views, or")
    min_turn: float = Field(default=20.0, ge=0, description="degrees between their headings")
    resize: tuple[int, int] | None = Field(default=None, description="(width, height) of each view, bicubic")
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, description="width times height at most")

    @property
    def pieces(self) -> int:
        return self.views

    @property
    def difficulty(self) -> str:
        return f"{self.views} views {self.min_distance} m {self.min_turn} deg"

    def matrices(self, sample: SceneSample) -> list[Matrix] | Refusal:
        """The poses, all of them or none."""
        found: list[Matrix] = []
        for number, view in enumerate(sample.views):
            pose = rigid(view.pose)
            if pose is None:
                return Refusal(sample.id, "no_poses", f"view {number}")
            found.append(pose)
        return found

    def pictures(self, sample: SceneSample, numbers: Sequence[int]) -> list[Image] | Refusal:
        found: list[Image] = []
        for number in numbers:
            picture = read_picture(sample.views[number].image, sample.id, max_pixels=self.max_pixels, upright=False)
            if isinstance(picture, Refusal):
                return picture
            found.append(fitted(picture, self.resize, None))
        return found


class MotionJigsaw(ViewSettings):
    """One anchor view, motions from it, and the shuffled views they lead to."""

    kind: ClassVar[str] = "motion"
    max_distance: float = Field(default=4.0, gt=0, description="metres from the anchor; farther views share little")
    max_turn: float = Field(default=90.0, gt=0, description="degrees from the anchor's heading")

    def puzzle(
        self, sample: SceneSample, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal:
        """One puzzle, or why there is none. No verdict is kept: another epoch chooses other views."""
        poses = self.matrices(sample)
        if isinstance(poses, Refusal):
            return poses
        key = self.key(sample.id, seed, epoch)
        chosen = self.choose(poses, key)
        if chosen is None:
            return Refusal(sample.id, "close_poses", f"{len(poses)} views, {self.pieces + 1} needed")
        anchor, moves = chosen
        pictures = self.pictures(sample, [anchor, *moves])
        if isinstance(pictures, Refusal):
            return pictures
        order = self.order(key)
        sentences = [move.sentence for move in moves.values()]
        return Puzzle(
            key=key,
            task=self.kind,
            media=(pictures[0], *shuffled(pictures[1:], order)),
            order=order,
            prompt=motion_prompt(sentences, self.rule, self.example, key),
            rule=self.rule,
            about={"anchor": anchor, "views": list(moves), "motions": list(moves.values())},
        )

    def choose(self, poses: list[Matrix], key: Key) -> tuple[int, dict[int, Motion]] | None:
        """An anchor, and K views with their motions from it, in the order of drawing."""
        candidates = key.permutation(len(poses), "views")
        for anchor in candidates:
            moves: dict[int, Motion] = {}
            for number in candidates:
                move = motion(poses[anchor], poses[number], self.up) if number != anchor else None
                if move is None or move.distance > self.max_distance or abs(move.left) > self.max_turn:
                    continue
                others = (Motion(0, 0, 0), *moves.values())
                if all(
                    distinct(move, other, min_distance=self.min_distance, min_turn=self.min_turn) for other in others
                ):
                    moves[number] = move
                    if len(moves) == self.pieces:
                        return anchor, moves
        return None


class PoseJigsaw(ViewSettings):
    """The scene from above with numbered cameras, and the shuffled views they see."""

    kind: ClassVar[str] = "pose"
    marker_radius: int = Field(default=15, ge=4, description="pixels of a camera's disc on the plan")
    marker_alpha: int = Field(default=200, ge=0, le=255, description="of a disc's filling")
    plan_side: int = Field(default=480, ge=64, description="pixels of the longer side of a plan that is drawn")
    headroom: float = Field(default=0.2, description="metres above the highest camera that the plan still shows")

    def puzzle(
        self, sample: SceneSample, *, seed: int, epoch: int = 0, verdicts: Verdicts | None = None
    ) -> Puzzle | Refusal:
        """One puzzle, or why there is none. No verdict is kept: another epoch chooses other views."""
        poses = self.matrices(sample)
        if isinstance(poses, Refusal):
            return poses
        plan = sample.plan or self.plan(sample, poses)
        if isinstance(plan, Refusal):
            return plan
        key = self.key(sample.id, seed, epoch)
        chosen = self.choose(poses, plan, key)
        if chosen is None:
            return Refusal(sample.id, "close_poses", f"{len(poses)} views, {self.pieces} needed")
        pictures = self.pictures(sample, list(chosen))
        if isinstance(pictures, Refusal):
            return pictures
        marked = mark(
            PIL.Image.fromarray(plan.pixels),
            [place for place, _ in chosen.values()],
            range(1, self.pieces + 1),
            radius=self.marker_radius,
            alpha=self.marker_alpha,
            headings=[heading for _, heading in chosen.values()],
        )
        order = self.order(key)
        return Puzzle(
            key=key,
            task=self.kind,
            media=(marked, *shuffled(pictures, order)),
            order=order,
            prompt=pose_prompt(self.pieces, self.rule, self.example, key),
            rule=self.rule,
            about={"views": list(chosen), "places": [place for place, _ in chosen.values()]},
        )

    def choose(
        self, poses: list[Matrix], plan: Plan, key: Key
    ) -> dict[int, tuple[tuple[int, int], tuple[float, float]]] | None:
        """K views whose discs lie on the plan and apart, with place (row, column) and heading (right, down)."""
        chosen: dict[int, tuple[tuple[int, int], tuple[float, float]]] = {}
        height, width = plan.pixels.shape[:2]
        for number in key.permutation(len(poses), "views"):
            stands = stand(poses[number], self.up)
            if stands is None:
                continue
            row, column = plan.locate(stands[0])
            gaps = [math.hypot(row - other[0], column - other[1]) for other, _ in chosen.values()]
            near = max(2.2 * self.marker_radius, self.min_distance * plan.pixels_per_metre)
            if 0 <= row < height and 0 <= column < width and all(gap >= near for gap in gaps):
                chosen[number] = ((row, column), (float(stands[1][0]), -float(stands[1][1])))
                if len(chosen) == self.pieces:
                    return chosen
        return None

    def plan(self, sample: SceneSample, poses: list[Matrix]) -> Plan | Refusal:
        """The scene from above, as far as the views have seen it."""
        places, colours = [], []
        for view, pose in zip(sample.views, poses, strict=True):
            if view.depth is None or view.camera is None:
                continue
            depth = read_depth(view.depth, sample.id, view.depth_scale, max_pixels=self.max_pixels)
            picture = read_picture(view.image, sample.id, max_pixels=self.max_pixels, upright=False)
            if isinstance(depth, Refusal):
                return depth
            if isinstance(picture, Refusal):
                return picture
            camera = intrinsics(view.camera)
            if camera is None:
                return Refusal(sample.id, "no_poses", f"intrinsics {view.camera}"[:200])
            small = picture if picture.size == depth.shape[::-1] else picture.resize(depth.shape[::-1])
            place, colour = cloud(np.asarray(small), depth, camera, pose)
            places.append(place)
            colours.append(colour)
        if not places:
            return Refusal(sample.id, "no_plan")
        up = np.asarray(self.up) / np.linalg.norm(self.up)
        ceiling = max(float(pose[:3, 3] @ up) for pose in poses) + self.headroom
        drawn = draw_plan(
            np.concatenate(places), np.concatenate(colours), self.up, ceiling=ceiling, side=self.plan_side
        )
        return drawn if drawn is not None else Refusal(sample.id, "no_plan", "no depth below the cameras")
