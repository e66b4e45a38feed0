"""Depth puzzles: readers, the sampler's rules, markers without a font, the worked example."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.jigsaw import AnswerRule, DepthJigsaw, DepthSample, Key, Puzzle, Refusal
from pixelword.jigsaw.depth_maps import Limits, read_depth, sample_points, usable
from pixelword.jigsaw.exr import ExrProblem, read_exr
from pixelword.jigsaw.markers import STROKES, disc, mark
from tests.jigsaw.exr_writing import write_exr
from tests.jigsaw.pictures import busy, claims_to_be_huge, plain

POINTS = ((399, 328), (299, 119), (188, 33), (68, 40), (222, 584), (150, 546))


def slope(height: int = 240, width: int = 320) -> np.ndarray:
    """From half a metre to six, left to right, and a little downwards."""
    return (np.linspace(0.5, 6, width)[None] + np.linspace(0, 0.4, height)[:, None]).astype(np.float32)


SAMPLE = DepthSample("a", busy(0, 320, 240), slope())


def made(result: Puzzle | Refusal) -> Puzzle:
    assert isinstance(result, Puzzle), result
    return result


@pytest.mark.parametrize("compression", [0, 2, 3])
@pytest.mark.parametrize("kind", ["<f4", "<f2", "<u4"])
def test_exr_files_are_read(compression, kind):
    random = np.random.default_rng(0)
    Z = random.integers(0, 1000, (37, 21)).astype(kind)
    others = {"A": random.random((37, 21)).astype("<f2"), "ZBack": random.random((37, 21)).astype("<f4")}
    data = write_exr({"Z": Z, **others}, compression, top=-5)
    assert np.array_equal(read_exr(data), Z.astype(np.float32))
    assert np.array_equal(read_exr(data, "ZBack"), others["ZBack"])
    assert np.array_equal(read_exr(write_exr({"any name": Z}, compression)), Z.astype(np.float32))


def test_exr_files_that_compress_well_are_read():
    flat = np.full((40, 300), 2.5, "<f4")
    assert np.array_equal(read_exr(write_exr({"Y": flat}, 3)), flat)


@given(st.data())
@settings(max_examples=150)
def test_damaged_exr_files_are_refused_and_never_crash(data):
    whole = bytearray(write_exr({"Z": slope(20, 9)}, 3))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(ExrProblem):
        assert read_exr(cut).ndim == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "damaged"),
        (b"\x89PNG" + bytes(40), "not an OpenEXR"),
        (write_exr({"Z": slope(4, 4)}, 0, version=2 | 0x200), "scan lines"),
        (write_exr({"A": slope(4, 4), "B": slope(4, 4)}, 0), "no depth among its channels A, B"),
    ],
)
def test_what_the_reader_does_not_know_it_says(data, problem):
    with pytest.raises(ExrProblem, match=problem):
        read_exr(data)


def test_all_formats_mean_metres(tmp_path):
    metres = slope(20, 30)
    steps = np.round(metres * 1000).astype(np.uint16)
    PIL.Image.fromarray(steps).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", metres)
    np.save(tmp_path / "steps.npy", steps[..., None])
    (tmp_path / "a.exr").write_bytes(write_exr({"Z": metres}, 3))
    for name in ("a.png", "a.npy", "steps.npy", "a.exr"):
        depth = read_depth(tmp_path / name, "a", None)
        assert depth.dtype == np.float32
        assert depth == pytest.approx(metres, abs=6e-4)
    assert read_depth(tmp_path / "a.png", "a", 0.0002) == pytest.approx(metres / 5, abs=2e-4)


def test_depth_files_that_are_none_are_refused(tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "cube.npy", np.zeros((3, 3, 3)))
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    np.save(tmp_path / "complex.npy", np.zeros((3, 3), complex))
    busy(0).save(tmp_path / "colour.png")
    (tmp_path / "text.exr").write_text("no")
    (tmp_path / "text.png").write_text("no")
    for name in ("pickle.npy", "cube.npy", "empty.npy", "complex.npy", "colour.png", "text.exr", "text.png"):
        found = read_depth(tmp_path / name, "a", None)
        assert isinstance(found, Refusal), name
        assert found.reason == "unreadable"
    assert read_depth(tmp_path / "gone.npy", "a", None).reason == "missing"


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def test_a_map_is_as_large_as_allowed_whatever_its_header_claims(tmp_path):
    claim = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
    (tmp_path / "claim.npy").write_bytes(npy(claim))
    (tmp_path / "claim.png").write_bytes(claims_to_be_huge(bits=16))
    np.save(tmp_path / "large.npy", np.ones((30, 40), np.float32))
    (tmp_path / "large.exr").write_bytes(write_exr({"Z": np.ones((30, 40), np.float32)}, 3))
    PIL.Image.fromarray(np.ones((30, 40), np.uint16)).save(tmp_path / "large.png")
    for name in ("claim.npy", "claim.png", "large.npy", "large.exr", "large.png"):
        found = read_depth(tmp_path / name, "a", None, max_pixels=1000)
        assert isinstance(found, Refusal) and found.reason == "too_large", name
        if name.startswith("large"):
            assert np.shape(read_depth(tmp_path / name, "a", None, max_pixels=1200)) == (30, 40)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "<u2", ">u2", "|u1", "<i4", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_read_as_numpy_reads_them(kind, order, tmp_path):
    stored = np.asarray(np.arange(12).reshape(3, 4), dtype=kind, order=order)
    np.save(tmp_path / "a.npy", stored)
    assert np.array_equal(read_depth(tmp_path / "a.npy", "a", 1.0), np.load(tmp_path / "a.npy"))


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=4), st.integers(0, 200))
def test_any_npy_file_is_a_map_or_a_refusal(changes, length):
    stream = io.BytesIO()
    np.save(stream, np.arange(18, dtype=np.float32).reshape(3, 6))
    data = bytearray(stream.getvalue())
    for place, value in changes:
        data[place] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        path.write_bytes(data[:length] if length < 200 else data)
        found = read_depth(path, "a", 1e30)
    assert isinstance(found, Refusal) or found.dtype == np.float32


def test_usable_pixels_are_in_range_and_off_the_edges():
    depth = np.full((7, 9), 2.0, np.float32)
    depth[:, 5:] = 3.0
    depth[3, 2] = 0.0
    slow = np.zeros((7, 9), bool)
    for row in range(1, 6):
        for column in range(1, 8):
            around = [depth[row + a, column + b] for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))]
            slow[row, column] = depth[row, column] > 0 and max(abs(depth[row, column] - v) for v in around) <= 0.1
    assert np.array_equal(usable(depth, Limits()), slow)


@pytest.mark.parametrize("epoch", range(5))
def test_points_obey_the_papers_rules(epoch):
    depth = slope()
    depth[:60] = 0
    depth[60:70] = np.nan
    depth[-10:] = 50
    points = sample_points(depth, 6, Key(0, epoch, "a", "b"), Limits(border=15), (2.0, 1.0))
    assert all(8 <= row < 232 and 15 <= column < 305 for row, column in points)
    depths = [float(depth[point]) for point in points]
    assert depths == sorted(depths)
    assert all(0.1 <= value <= 10 for value in depths)
    assert all(far - near > 0.2 for near, far in pairwise(depths))
    assert all(np.hypot(2 * (a[0] - b[0]), a[1] - b[1]) >= 40 for a, b in combinations(points, 2))


@pytest.mark.parametrize(
    ("depth", "reason"),
    [
        (np.full((240, 320), 2.0), "close_depths"),
        (np.zeros((240, 320)), "no_valid_depth"),
        (np.full((240, 320), np.nan), "no_valid_depth"),
        (np.tile(np.linspace(0.5, 3, 80), (60, 1)), "close_depths"),
        (slope(320, 240), "depth_size"),
    ],
    ids=["flat", "zero", "nan", "tiny", "turned"],
)
def test_maps_without_a_puzzle_are_refused(depth, reason):
    picture = busy(0, 80, 60) if depth.shape == (60, 80) else busy(0, 320, 240)
    result = DepthJigsaw().puzzle(DepthSample("a", picture, depth), seed=0)
    assert isinstance(result, Refusal)
    assert result.reason == reason


def test_a_map_of_another_size_but_the_same_shape_is_stretched():
    """ScanNet: pictures of 1296 x 968 with maps of 640 x 480."""
    puzzle = made(DepthJigsaw().puzzle(DepthSample("a", busy(0, 648, 484), slope()), seed=0))
    depths = [slope()[int(row * 240 / 484), int(column * 320 / 648)] for row, column in puzzle.about["points"]]
    assert depths == sorted(depths)
    assert all(np.hypot(a[0] - b[0], a[1] - b[1]) >= 38 for a, b in combinations(puzzle.about["points"], 2))


def test_points_that_come_with_the_sample():
    sample = DepthSample("a", busy(0, 640, 480), points=POINTS)
    puzzle = made(DepthJigsaw(resize=(644, 476)).puzzle(sample, seed=0))
    assert puzzle.images[0].size == (644, 476)
    assert puzzle.about["points"] == list(POINTS)
    for task, other in ((DepthJigsaw(points=5), sample), (DepthJigsaw(), DepthSample("a", busy(0), points=POINTS))):
        assert task.puzzle(other, seed=0).reason == "depth_size"
    assert DepthJigsaw().puzzle(DepthSample("a", busy(0)), seed=0).reason == "missing"


def read_label(picture: PIL.Image.Image, row: int, column: int) -> int:
    """The digit at a point: the label whose disc is closest, drawn on the same grey."""
    patch = np.asarray(picture.crop((column - 16, row - 16, column + 17, row + 17)), float)
    gaps = []
    for label in range(1, 10):
        alone = mark(plain(33, 33, (128, 128, 128)), [(16, 16)], [label], radius=15, alpha=120)
        gaps.append(np.abs(np.asarray(alone, float) - patch).mean())
    return int(np.argmin(gaps)) + 1


def test_the_worked_example_labels_the_points_it_says(monkeypatch):
    order = (4, 1, 5, 0, 3, 2)
    monkeypatch.setattr(DepthJigsaw, "order", lambda self, key: order)
    grey = plain(640, 480, (128, 128, 128))
    puzzle = made(DepthJigsaw().puzzle(DepthSample("a", grey, points=POINTS), seed=0))
    assert puzzle.target == (4, 2, 6, 5, 1, 3)
    labelled = {
        label: place
        for label, place in enumerate([(222, 584), (299, 119), (150, 546), (399, 328), (68, 40), (188, 33)], start=1)
    }
    assert {label: read_label(puzzle.images[0], *place) for label, place in labelled.items()} == {
        label: label for label in range(1, 7)
    }


def test_the_answer_sorts_the_labels_by_depth():
    for epoch in range(4):
        puzzle = made(
            DepthJigsaw(points=5).puzzle(DepthSample("a", plain(320, 240, (128,) * 3), slope()), seed=0, epoch=epoch)
        )
        shown = [read_label(puzzle.images[0], *point) for point in puzzle.about["points"]]
        assert shown == list(puzzle.target)


def test_discs_are_red_rings_with_white_centred_digits():
    assert set(STROKES) == set("0123456789")
    for label in (1, 4, 8, 10, 27, 99):
        patch = np.asarray(disc(label, 15, 120, None)).astype(int)
        assert patch.shape == (33, 33, 4)
        assert patch[0, 0, 3] == 0
        ring = patch[16, 2]
        assert ring[0] > 240
        assert ring[3] > 200
        white = patch[..., 1] > 128
        rows, columns = np.nonzero(white)
        assert 20 < white.sum() < 330
        assert abs((rows.min() + rows.max()) / 2 - 16) <= 1
        assert abs((columns.min() + columns.max()) / 2 - 16) <= 1.5
        assert np.hypot(rows - 16, columns - 16).max() < 14
    filling = np.asarray(disc(1, 15, 120, None))[5, 16]
    assert tuple(filling) == (255, 0, 0, 120)


def test_discs_at_the_border_are_cut_and_the_rest_is_untouched():
    picture = busy(1)
    marked = np.asarray(mark(picture, [(0, 0), (95, 119)], [1, 2], radius=15, alpha=120))
    assert np.array_equal(marked[40:60], np.asarray(picture)[40:60])
    assert not np.array_equal(marked[:10], np.asarray(picture)[:10])


def test_the_prompt_counts_the_points_and_asks_for_commas():
    text = made(DepthJigsaw(rule=AnswerRule(container="tag")).puzzle(SAMPLE, seed=0)).text()
    assert text.startswith(
        "<image>\nYou are given an indoor RGB image. Six points are marked on the image with red circular labels "
        "(1, 2, 3, ...)."
    )
    assert "closest to farthest relative to the camera" in text
    assert "separated by commas" in text
    assert "<answer></answer>" in text
    outdoor = made(DepthJigsaw(place="street").puzzle(SAMPLE, seed=0)).text()
    assert "a street RGB image" in outdoor


def test_epochs_draw_other_points_and_processes_the_same():
    digests = {made(DepthJigsaw().puzzle(SAMPLE, seed=0, epoch=epoch)).digest() for epoch in range(5)}
    assert len(digests) == 5
    code = "from tests.jigsaw.test_depth import *; print(DepthJigsaw().puzzle(SAMPLE, seed=0, epoch=2).digest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in digests
