"""Sources: folders, rows and the three layouts; what is no puzzle is counted, named, and never replaced."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import DataError, InputError, MissingExtra
from pixelword.jigsaw import (
    DepthJigsaw,
    ImageJigsaw,
    ImageSample,
    Ledger,
    MotionJigsaw,
    PoseJigsaw,
    Refusal,
    VideoSample,
    coco,
    depth_folder,
    depth_rows,
    image_folder,
    image_rows,
    json_lines,
    llava_video,
    parquet_rows,
    puzzles,
    scannet_depth,
    scannet_scenes,
    scene_rows,
    video_folder,
    video_rows,
)
from tests.jigsaw.pictures import busy, claims_to_be_huge, folder_of, plain
from tests.jigsaw.room import POSES, shoot


def ids(samples: object) -> list[str]:
    return [sample.sample + "!" if isinstance(sample, Refusal) else sample.id for sample in samples]


def reasons(samples: object, task: object = None) -> dict[str, str]:
    """Sample -> reason, for all that become no puzzle."""
    ledger = Ledger()
    list(puzzles(samples, task or ImageJigsaw(rows=2, columns=2), seed=0, ledger=ledger))
    return {refusal.sample: reason for reason in ledger.counts for refusal in ledger.first(reason)}


def bad_folder(folder: Path) -> dict[str, str]:
    """Files of every bad kind, and the reason each is refused for."""
    folder.mkdir()
    busy(0).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    (folder / "huge.png").write_bytes(claims_to_be_huge())
    plain(20, 20).save(folder / "tiny.png")
    busy(0).save(folder / "moving.gif", save_all=True, append_images=[busy(1)])
    plain().save(folder / "blank.bmp")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / os.fsdecode(b"name\xff.png")).write_bytes(data)
    return {
        "cut.jpg": "unreadable",
        "empty.png": "unreadable",
        "text.png": "unreadable",
        "notes.txt": "not_media",
        "huge.png": "too_large",
        "tiny.png": "too_small",
        "moving.gif": "animated",
        "blank.bmp": "blank_tiles",
        "gone.png": "missing",
        "name\\xff.png": "bad_name",
    }


def test_bad_files_are_counted_and_named_and_the_good_ones_come_through(tmp_path):
    expected = bad_folder(tmp_path / "in")
    folder_of(tmp_path / "in" / "good")
    ledger = Ledger()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = list(puzzles(image_folder(tmp_path / "in"), ImageJigsaw(), seed=0, ledger=ledger))
    assert [puzzle.key.sample for puzzle in made] == [f"good/{number}.png" for number in range(4)]
    named = {refusal.sample: reason for reason in ledger.counts for refusal in ledger.first(reason)}
    assert named == expected
    assert ledger.refused == len(expected)
    with pytest.raises(DataError):
        list(puzzles(image_folder(tmp_path / "in"), ImageJigsaw(), seed=0, ledger=Ledger("fail")))


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_a_picture_or_a_refusal(data, place, value):
    stream = io.BytesIO()
    busy(0, 30, 20).save(stream, "PNG")
    whole = bytearray(stream.getvalue())
    whole[min(place, len(whole) - 1)] = value
    task = ImageJigsaw(rows=1, columns=2, min_side=1)
    for source in (data, bytes(whole), bytes(whole)[:place]):
        task.puzzle(ImageSample("a", source), seed=0)


def test_a_folder_is_read_in_order_without_what_is_hidden(tmp_path):
    folder_of(tmp_path / "b", 2)
    folder_of(tmp_path / "a", 1)
    folder_of(tmp_path / ".hidden", 1)
    busy(0).save(tmp_path / ".c.png")
    assert ids(image_folder(tmp_path)) == ["a/0.png", "b/0.png", "b/1.png"]
    with pytest.raises(DataError, match="not there"):
        list(image_folder(tmp_path / "nowhere"))


def test_json_lines_name_the_bad_line(tmp_path):
    folder_of(tmp_path)
    lines = ['{"id": "x", "image": "0.png"}', "", '{"image": "1.png"}', "{", "[1]", '{"picture": "2.png"}', "1e999"]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    samples = list(image_rows(json_lines(path), root=tmp_path))
    assert ids(samples) == ["x", "1.png", "rows.jsonl:4!", "rows.jsonl:5!", "row 4!", "rows.jsonl:7!"]
    assert reasons(samples) == {
        "rows.jsonl:4": "unreadable",
        "rows.jsonl:5": "unreadable",
        "row 4": "missing",
        "rows.jsonl:7": "unreadable",
    }
    with pytest.raises(DataError, match="cannot be read"):
        list(json_lines(tmp_path / "nowhere.jsonl"))


def test_rows_hold_paths_bytes_or_pictures(tmp_path):
    folder_of(tmp_path)
    data = (tmp_path / "0.png").read_bytes()
    forms = ["0.png", data, busy(0), {"bytes": data, "path": "a.png"}, {"bytes": None, "path": "0.png"}]
    rows = [{"id": "same", "image": form} for form in forms]
    digests = {puzzle.digest() for puzzle in puzzles(image_rows(rows, root=tmp_path), ImageJigsaw(), seed=0)}
    assert len(digests) == 1
    assert reasons(image_rows([{"image": None}, {"image": ""}, {"image": {}}, {"image": 3}])) == {
        "row 0": "missing",
        "row 1": "missing",
        "row 2": "missing",
        "3": "missing",
    }
    assert reasons(image_rows([{"image": "nowhere.png"}], root=tmp_path)) == {"nowhere.png": "missing"}
    with pytest.raises(InputError, match="mapping"):
        list(image_rows(["a"]))


@pytest.mark.parametrize("way_out", ["../secret.png", "a/../../secret.png", "ABOVE/secret.png", "../data-2/secret.png"])
def test_no_row_leads_out_of_its_folder(tmp_path, way_out):
    name = way_out.replace("ABOVE", str(tmp_path))
    root = tmp_path / "data"
    found = reasons(image_rows([{"id": "a", "image": name}], root=root))
    found |= reasons(video_rows([{"id": "b", "video": name}], root=root))
    found |= reasons(depth_rows([{"id": "c", "image": "0.png", "depth": name}], root=root))
    assert found == {"a": "outside", "b": "outside", "c": "outside"}
    for good in ("0.png", "a/../0.png", str(root / "0.png")):
        (sample,) = image_rows([{"image": good}], root=root)
        assert not isinstance(sample, Refusal) and sample.image.resolve() == root / "0.png"


def test_parquet_files_give_the_same_puzzles_as_their_files(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder_of(tmp_path / "in")
    files = sorted((tmp_path / "in").iterdir())
    table = {"id": [file.name for file in files], "image": [{"bytes": file.read_bytes()} for file in files]}
    parquet.write_table(arrow.table(table), tmp_path / "a.parquet")
    stored = puzzles(image_rows(parquet_rows(tmp_path / "a.parquet")), ImageJigsaw(), seed=0)
    loose = puzzles(image_folder(tmp_path / "in"), ImageJigsaw(), seed=0)
    assert [one.digest() for one in stored] == [one.digest() for one in loose]
    with pytest.raises(DataError, match="no column 'imag'"):
        list(parquet_rows(tmp_path / "a.parquet", ["imag"]))
    (tmp_path / "text.parquet").write_text("no")
    for name in ("text.parquet", "nowhere.parquet"):
        with pytest.raises(DataError, match="no parquet file"):
            list(parquet_rows(tmp_path / name))


def test_without_pyarrow_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pixelword\\[data\\]"):
        list(parquet_rows("a.parquet"))


def test_depth_maps_are_found_by_name(tmp_path):
    folder_of(tmp_path / "rgb", 3)
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "0.npy", np.ones((96, 120), np.float32))
    PIL.Image.fromarray(np.ones((96, 120), np.uint16)).save(tmp_path / "depth" / "2.png")
    samples = list(depth_folder(tmp_path / "rgb", tmp_path / "depth"))
    assert ids(samples) == ["0.png", "1.png!", "2.png"]
    assert samples[0].depth.suffix == ".npy"
    # Both in one folder: a map is no picture of its own.
    both = tmp_path / "both"
    both.mkdir()
    busy(0).save(both / "a.jpg")
    np.save(both / "a.npy", np.ones((96, 120), np.float32))
    assert ids(depth_folder(both, both)) == ["a.jpg"]


def test_depth_rows_have_maps_or_points(tmp_path):
    points = [[10, 10], [20, 60], [70, 30]]
    rows = [
        {"image": busy(0), "points": points},
        {"image": busy(0), "points": "no"},
        {"image": busy(0), "depth": "gone.npy"},
        {"image": busy(0)},
    ]
    samples = list(depth_rows(rows, root=tmp_path))
    assert samples[0].points == ((10, 10), (20, 60), (70, 30))
    assert list(reasons(samples, DepthJigsaw(points=3)).values()) == ["missing"] * 3


def test_films_are_listed(tmp_path):
    for name in ("a.mp4", "b.MKV", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert ids(video_folder(tmp_path)) == ["a.mp4", "b.MKV", "c.txt!"]
    rows = [{"id": 7, "video": "a.mp4"}, {"id": 8}]
    assert next(video_rows(rows, root=tmp_path)) == VideoSample("7", tmp_path / "a.mp4")
    assert ids(video_rows(rows, root=tmp_path)) == ["7", "8!"]


def test_coco_is_found_in_both_places(tmp_path):
    folder_of(tmp_path / "one" / "train2017", 2)
    folder_of(tmp_path / "two" / "images" / "val2017", 1)
    assert ids(coco(tmp_path / "one")) == ["0.png", "1.png"]
    assert ids(coco(tmp_path / "two", "val2017")) == ["0.png"]
    with pytest.raises(DataError, match="COCO"):
        coco(tmp_path / "one", "test2017")


def test_llava_video_takes_each_film_once(tmp_path):
    (tmp_path / "academic").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "academic" / name).write_bytes(b"")
    assert ids(llava_video(tmp_path)) == ["academic/a.mp4", "academic/b.mp4"]
    rows = [{"id": 1, "video": "academic/b.mp4"}, {"id": 2, "video": "academic/b.mp4"}, {"id": 3}, 4]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("q.json", "q.jsonl"):
        found = list(llava_video(tmp_path, tmp_path / name))
        assert ids(found)[0] == "academic/b.mp4"
        assert [isinstance(one, Refusal) for one in found] == [False, True, True]
    for text in ("{", "{}"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError, match="annotations"):
            list(llava_video(tmp_path, tmp_path / "bad.json"))


def scan(root: Path, colour: str) -> Path:
    """A scan in ScanNet's layout, of the drawn room."""
    folder = root / "scene0000_00"
    for name in (colour, "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for number, pose in enumerate(POSES):
        pixels, depth = shoot(pose)
        PIL.Image.fromarray(pixels).save(folder / colour / f"{number}.jpg", quality=95)
        PIL.Image.fromarray(np.round(depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{number}.png")
        np.savetxt(folder / "pose" / f"{number}.txt", pose if number != 2 else np.full((4, 4), -np.inf))
    camera = np.array([[100.0, 0, 64, 0], [0, 100, 48, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", camera)
    return root


@pytest.mark.parametrize("colour", ["color", "image"])
def test_scannet_gives_depths_and_scenes(tmp_path, colour):
    root = scan(tmp_path, colour)
    (root / "scene0000_00" / "depth" / "5.png").unlink()
    frames = list(scannet_depth(root))
    assert ids(frames) == [f"scene0000_00/{colour}/{number}.jpg" + "!" * (number == 5) for number in range(8)]
    lost, scene = scannet_scenes(root, every=1)
    assert (lost.sample, lost.reason) == (f"scene0000_00/{colour}/2.jpg", "no_poses")
    assert len(scene.views) == 7, "the frame without a pose is not among them"
    assert reasons([scene], MotionJigsaw()) == {}
    scenes = [one for one in scannet_scenes(root, every=1, views=4) if not isinstance(one, Refusal)]
    assert [len(one.views) for one in scenes] == [4, 3]
    task = DepthJigsaw(points=4, min_pixel_gap=12, marker_radius=6)
    made = [puzzle.key.sample for puzzle in puzzles(frames, task, seed=0)]
    assert len(made) >= 6
    with pytest.raises(DataError, match="scene0000_00"):
        list(scannet_depth(root / "scene0000_00"))


def test_a_scan_without_poses_is_refused(tmp_path):
    root = scan(tmp_path, "color")
    for file in (root / "scene0000_00" / "pose").iterdir():
        file.write_text("nothing")
    assert reasons(scannet_scenes(root), MotionJigsaw()) == {
        "scene0000_00/color/0.jpg": "no_poses",
        "scene0000_00": "no_poses",
    }


def test_scenes_come_from_rows_too_and_what_is_wrong_with_them_is_named(tmp_path):
    folder = scan(tmp_path, "color") / "scene0000_00"
    camera = np.loadtxt(folder / "intrinsic" / "intrinsic_depth.txt").tolist()
    views: list[dict] = [
        {
            "image": f"color/{number}.jpg",
            "depth": f"depth/{number}.png",
            "pose": pose.tolist(),
            "camera": camera,
        }
        for number, pose in enumerate(POSES)
    ]
    wrong: dict[str, tuple[object, str]] = {
        "no list": ("x", "bad_row"),
        "no views": (["x"], "bad_row"),
        "no pose": ([*views[:-1], {**views[-1], "pose": None}], "no_poses"),
        "ragged": ([*views[:-1], {**views[-1], "pose": [[1], [2, 3]]}], "no_poses"),
        "no rotation": ([*views[:-1], {**views[-1], "pose": np.ones((4, 4)).tolist()}], "no_poses"),
        "bad camera": ([*views[:-1], {**views[-1], "camera": [[0, 1], "x"]}], "no_poses"),
        "no picture": ([{**views[0], "image": None}], "missing"),
        "way out": ([{**views[0], "depth": "../x.png"}], "outside"),
        "bad scale": ([{**views[0], "depth_scale": "m"}], "bad_row"),
        "one view": (views[:1], "close_poses"),
    }
    rows = [{"id": "good", "views": views}, *({"id": name, "views": given} for name, (given, _) in wrong.items())]
    (folder / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = list(scene_rows(json_lines(folder / "scenes.jsonl"), root=folder))
    assert reasons(samples, PoseJigsaw(marker_radius=6)) == {name: reason for name, (_, reason) in wrong.items()}
    expected = {name: reason for name, (_, reason) in wrong.items() if name != "bad camera"}
    assert reasons(samples, MotionJigsaw()) == expected, "motions need no intrinsics"


def test_a_dataset_of_hugging_face_is_rows_like_others(tmp_path):
    """Such a dataset iterates over mappings whose pictures are decoded; any iterable of them will do."""

    class Rows:
        def __iter__(self):
            yield {"id": "a", "picture": busy(0)}

    (puzzle,) = puzzles(image_rows(Rows(), image="picture"), ImageJigsaw(), seed=0)
    assert puzzle.key.sample == "a"
