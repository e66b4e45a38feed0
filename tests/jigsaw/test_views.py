"""Motions and poses in a drawn room: signs, sentences, the plan from above, and answers that match."""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.jigsaw import MotionJigsaw, Plan, PoseJigsaw, Puzzle, Refusal, SceneSample, View
from pixelword.jigsaw.poses import Motion, motion, rigid
from tests.jigsaw.room import BOXES, CAMERA, POSES, look, room, shoot

UP = (0.0, 0.0, 1.0)
ROOM = room()


@pytest.mark.parametrize(
    ("to", "expected", "sentence"),
    [
        (look(3, 1, 0), (2, 0, 0), "move forward 2.0 meters"),
        (look(1, 1, 15), (0, 0, 15), "rotate left by 15°"),
        (look(1, 2, -30), (0, -1, -30), "move left 1.0 meters and rotate right by 30°"),
        (look(0.5, 0.5, 0), (-0.5, 0.5, 0), "move backward 0.5 meters and move right 0.5 meters"),
        (
            look(3, 2, 15),
            (2, -1, 15),
            "move forward 2.0 meters, move left 1.0 meters and rotate left by 15°",
        ),
        (look(1, 1, 0), (0, 0, 0), "stay"),
    ],
)
def test_motions_have_the_signs_of_a_person_who_walks(to, expected, sentence):
    found = motion(look(1, 1, 0), to, UP)
    assert (found.forward, found.right, found.left) == pytest.approx(expected, abs=1e-9)
    assert found.sentence == sentence


FLOATS = st.floats(-3, 3)


@given(FLOATS, FLOATS, st.floats(-180, 180), st.tuples(FLOATS, FLOATS, st.floats(-170, 170)))
def test_motions_do_not_hang_on_where_the_world_begins(x, y, left, step):
    """A person who is moved and turned as a whole walks the same; and walking the sentence arrives."""
    forward, right, turn = step
    heading = math.radians(left)
    there = (
        x + forward * math.cos(heading) + right * math.sin(heading),
        y + forward * math.sin(heading) - right * math.cos(heading),
    )
    found = motion(look(x, y, left), look(*there, left + turn), UP)
    assert (found.forward, found.right, found.left) == pytest.approx((forward, right, turn), abs=1e-6)


def test_up_can_be_another_axis():
    """The same walk in a world whose y points down."""
    swap = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    here, there = look(1, 1, 20), look(2, 1.5, 50)
    assert swap[:3, :3] @ (0, 0, 1) == pytest.approx((0, -1, 0))
    turned = motion(swap @ here, swap @ there, (0, -1, 0))
    straight = motion(here, there, UP)
    assert vars(turned) == pytest.approx(vars(straight))


@pytest.mark.parametrize("pose", [None, "x", np.eye(3), np.full((4, 4), np.inf), np.diag([1, 1, -1, 1]), np.eye(4) * 2])
def test_what_is_no_pose_is_refused(pose):
    if not isinstance(pose, str):
        assert rigid(pose) is None
    views = (View(ROOM.views[0].image, pose), *ROOM.views[1:])
    for task in (MotionJigsaw(), PoseJigsaw()):
        result = task.puzzle(SceneSample("a", views), seed=0)
        assert isinstance(result, Refusal)
        assert result.reason == "no_poses"


@pytest.mark.parametrize("seed", range(6))
def test_each_motion_leads_to_its_view(seed):
    puzzle = MotionJigsaw().puzzle(ROOM, seed=seed)
    assert isinstance(puzzle, Puzzle)
    anchor, numbers = puzzle.about["anchor"], puzzle.about["views"]
    assert np.array_equal(np.asarray(puzzle.images[0]), np.asarray(ROOM.views[anchor].image))
    for place, (number, label) in enumerate(zip(numbers, puzzle.target, strict=True)):
        assert np.array_equal(np.asarray(puzzle.images[label]), np.asarray(ROOM.views[number].image))
        sentence = motion(POSES[anchor], POSES[number], UP).sentence
        assert f"Motion {place + 1}: {sentence}\n" in puzzle.text()
    assert puzzle.reward(puzzle.answer).exact
    assert len(puzzle.slots) == len(puzzle.images) == 5


def test_views_that_are_too_close_are_refused():
    views = tuple(View(ROOM.views[0].image, look(1 + 0.01 * number, 1, 0)) for number in range(8))
    for task in (MotionJigsaw(), PoseJigsaw(plan_side=200)):
        plan = Plan(np.zeros((400, 400, 3), np.uint8), (0.0, 5.0), 70.0)
        result = task.puzzle(SceneSample("a", views, plan), seed=0)
        assert isinstance(result, Refusal)
        assert result.reason == "close_poses"


@pytest.mark.parametrize("seed", range(4))
def test_each_camera_on_the_plan_sees_its_view(seed):
    puzzle = PoseJigsaw(marker_radius=9).puzzle(ROOM, seed=seed)
    assert isinstance(puzzle, Puzzle)
    for number, label in zip(puzzle.about["views"], puzzle.target, strict=True):
        assert np.array_equal(np.asarray(puzzle.images[label]), np.asarray(ROOM.views[number].image))
    marked = np.asarray(puzzle.images[0])
    for row, column in puzzle.about["places"]:
        red = marked[row - 9 : row + 10, column - 9 : column + 10].astype(int)
        assert (red[..., 0] - red[..., 1:].max(axis=-1) > 60).mean() > 0.4


def test_the_plan_shows_the_boxes_where_they_stand():
    poses = [rigid(pose) for pose in POSES]
    plan = PoseJigsaw(plan_side=360).plan(ROOM, poses)
    assert isinstance(plan, Plan)
    for low, high, colour in BOXES[:2]:
        row, column = plan.locate((np.array(low[:2]) + high[:2]) / 2)
        # The tops of the boxes are seen from above the camera's height only where the camera is higher.
        around = plan.pixels[row - 25 : row + 26, column - 25 : column + 26].reshape(-1, 3).astype(int)
        assert (np.abs(around - colour).max(axis=1) < 8).sum() > 20
    # Seen from above, the world's x runs right and its y runs up.
    assert plan.locate(np.array([2.0, 1.0]))[1] < plan.locate(np.array([3.0, 1.0]))[1]
    assert plan.locate(np.array([2.0, 1.0]))[0] > plan.locate(np.array([2.0, 2.0]))[0]


def test_without_plan_and_depth_there_is_no_pose_puzzle():
    views = tuple(View(view.image, view.pose) for view in ROOM.views)
    result = PoseJigsaw().puzzle(SceneSample("a", views), seed=0)
    assert isinstance(result, Refusal)
    assert result.reason == "no_plan"
    broken = tuple(View(view.image, view.pose, view.depth, np.eye(2)) for view in ROOM.views)
    assert PoseJigsaw().puzzle(SceneSample("a", broken), seed=0).reason == "no_poses"


def test_epochs_choose_other_views():
    chosen = {tuple(MotionJigsaw().puzzle(ROOM, seed=0, epoch=epoch).about["views"]) for epoch in range(6)}
    assert len(chosen) > 3
    assert MotionJigsaw().puzzle(ROOM, seed=0).digest() == MotionJigsaw().puzzle(room(), seed=0).digest()


def test_the_room_itself_is_drawn_right():
    """Depth along the camera's axis: straight at a wall it is the same everywhere."""
    _, depth = shoot(look(3.0, 2.5, 0, down=0.0))
    assert depth[10:90, 40:90] == pytest.approx(3.0)
    assert CAMERA[0, 2] == 64
    assert Motion(3, 4, 0).distance == 5
    assert PIL.Image.fromarray(shoot(POSES[0])[0]).size == (128, 96)
