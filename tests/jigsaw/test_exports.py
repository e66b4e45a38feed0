"""Exports: the same puzzles for TRL, for verl and as a folder; each read back by what reads it elsewhere."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest

from pixelword.errors import ConfigError, DataError, InputError
from pixelword.jigsaw import (
    AnswerRule,
    Clip,
    DepthJigsaw,
    DepthSample,
    ImageJigsaw,
    ImageSample,
    Ledger,
    PoseJigsaw,
    Puzzle,
    SceneSample,
    StoredFrames,
    VideoJigsaw,
    VideoSample,
    View,
    compute_score,
    drawn,
    image_folder,
    parquet_rows,
    puzzles,
    read_puzzles,
    released_puzzles,
    trl_columns,
    trl_row,
    verl_cut_columns,
    verl_cut_row,
    verl_row,
    verl_row_columns,
    write_parquet,
    write_puzzles,
)
from tests.jigsaw.pictures import busy, folder_of
from tests.jigsaw.room import CAMERA, POSES, shoot

arrow = pytest.importorskip("pyarrow")

GRID = ImageJigsaw(rows=2, columns=2)
FRAMES = StoredFrames(tuple(busy(number // 7, 56, 56) for number in range(60)), 4.0)
FILM = VideoJigsaw(clips=3, min_seconds=0, max_frames=2, screen=False)


def made(found: object) -> Puzzle:
    assert isinstance(found, Puzzle), found
    return found


def of_every_kind() -> list[Puzzle]:
    points = ((10, 10), (80, 100), (60, 30))
    views = [View(PIL.Image.fromarray(shoot(pose)[0]), pose, shoot(pose)[1], CAMERA) for pose in POSES]
    return [
        made(GRID.puzzle(ImageSample("a", busy(1)), seed=0)),
        made(FILM.puzzle(VideoSample("f", FRAMES), seed=0)),
        made(FILM.model_copy(update={"as_frames": True}).puzzle(VideoSample("f", FRAMES), seed=0)),
        made(DepthJigsaw(points=3, marker_radius=6).puzzle(DepthSample("d", busy(2), points=points), seed=1)),
        made(PoseJigsaw(marker_radius=8).puzzle(SceneSample("s", tuple(views)), seed=2)),
    ]


def test_a_folder_of_puzzles_is_read_back_to_the_pixel(tmp_path):
    there = of_every_kind()
    assert write_puzzles(there, tmp_path / "p") == len(there)
    back = list(read_puzzles(tmp_path / "p"))
    for puzzle, other in zip(there, back, strict=True):
        assert other.digest() == puzzle.digest()
        assert (other.key, other.order, other.rule, other.task) == (puzzle.key, puzzle.order, puzzle.rule, puzzle.task)
        assert other.reward(puzzle.answer).exact
        assert [isinstance(media, Clip) for media in other.media] == [isinstance(media, Clip) for media in puzzle.media]
    with pytest.raises(InputError, match="already"):
        write_puzzles(there, tmp_path / "p")
    lines = tmp_path / "p" / "puzzles.jsonl"
    first = json.loads(lines.read_text().splitlines()[0])
    busy(9, *there[0].images[0].size).save(tmp_path / "p" / first["media"][0]["image"])
    with pytest.raises(DataError, match="line 1 is not the puzzle"):
        list(read_puzzles(tmp_path / "p"))
    lines.write_text(json.dumps({**first, "media": [{"image": "../out.png"}]}) + "\n")
    with pytest.raises(DataError, match=r"line 1 is no puzzle[\s\S]*leads out"):
        list(read_puzzles(tmp_path / "p"))
    lines.write_text(json.dumps({**first, "order": 3}) + "\n")
    with pytest.raises(DataError, match="line 1 is no puzzle"):
        list(read_puzzles(tmp_path / "p"))
    with pytest.raises(DataError, match="no folder of puzzles"):
        list(read_puzzles(tmp_path))


def test_trl_reads_the_columns_and_puts_each_picture_in_its_place(tmp_path):
    datasets = pytest.importorskip("datasets")
    prepare = pytest.importorskip("trl.data_utils").prepare_multimodal_messages
    there = [puzzle for puzzle in of_every_kind() if all(slot.kind == "image" for slot in puzzle.slots)]
    assert write_parquet(map(trl_row, there), tmp_path / "t.parquet", trl_columns()) == len(there)
    table = datasets.Dataset.from_parquet(str(tmp_path / "t.parquet"), cache_dir=str(tmp_path / "cache"))
    assert len(table) == len(there) == 4
    for row, puzzle in zip(table, there, strict=True):
        assert (row["ground_truth"], row["k"], row["task"]) == (
            list(puzzle.target),
            puzzle.pieces,
            f"{puzzle.task}_jigsaw",
        )
        parts = prepare(row["prompt"], images=row["images"])[0]["content"]
        shown = [part for part in parts if part["type"] == "image"]
        assert "".join(part["text"] if part["type"] == "text" else "<image>" for part in parts) == puzzle.text()
        for part, image in zip(shown, puzzle.images, strict=True):
            assert np.array_equal(np.asarray(part["image"]), np.asarray(image))


def test_films_are_refused_where_nothing_reads_them():
    film = of_every_kind()[1]
    with pytest.raises(InputError, match="as_frames=true"):
        trl_row(film)
    with pytest.raises(InputError, match="as_frames=true"):
        verl_cut_row(film, 0)


def verl_columns_of(path):
    return {field.name: str(field.type) for field in arrow.parquet.read_schema(path)}


MESSAGES = "list<element: struct<role: string, content: string>>"


def test_verl_rows_column_by_column(tmp_path):
    """Every column of the released loader, by name, type and value."""
    folder = folder_of(tmp_path / "in", 2)
    task = ImageJigsaw(rows=2, columns=3, resize=(96, 80), rule=AnswerRule(think=False))
    pairs = list(drawn(image_folder(folder), task, seed=4))
    rows = [verl_row(sample, puzzle, task, number, folder) for number, (sample, puzzle) in enumerate(pairs)]
    write_parquet(rows, tmp_path / "v.parquet", verl_row_columns(task))
    assert verl_columns_of(tmp_path / "v.parquet") == {
        "data_source": "string",
        "prompt": MESSAGES,
        "images": "list<element: struct<path: string, jigsaw_config: list<element: int64>, "
        "resize_size: list<element: int64>>>",
        "reward_model": "struct<style: string, ground_truth: list<element: int64>>",
        "extra_info": "struct<index: int64, sample: string, seed: int64, epoch: int64, difficulty: string, "
        "order: list<element: int64>, alike: list<element: list<element: int64>>>",
    }
    for number, row in enumerate(parquet_rows(tmp_path / "v.parquet")):
        puzzle = pairs[number][1]
        # The released dispatch looks for these parts of the name.
        assert "jigsaw" in row["data_source"] and "nothink" in row["data_source"]
        assert "depth_jigsaw" not in row["data_source"]
        (message,) = row["prompt"]
        assert message["role"] == "user" and message["content"].count("<image>") == 6
        assert row["images"] == [{"path": f"{number}.png", "jigsaw_config": [2, 3], "resize_size": [96, 80]}]
        assert row["reward_model"]["ground_truth"] == list(puzzle.target)
        assert row["extra_info"]["index"] == number
        assert row["extra_info"]["order"] == list(puzzle.order)
        scored = compute_score(row["data_source"], puzzle.answer, row["reward_model"]["ground_truth"])
        assert scored["acc"] == 1.0


def test_verl_rows_of_films_and_depth(tmp_path):
    films = VideoJigsaw(clips=3, rows=1, columns=2, min_seconds=0, max_frames=2, screen=False)
    puzzle = made(films.puzzle(VideoSample("f", FRAMES), seed=0))
    row = verl_row(VideoSample("f", tmp_path / "f.mp4"), puzzle, films, 0, tmp_path)
    write_parquet([row], tmp_path / "v.parquet", verl_row_columns(films))
    (back,) = parquet_rows(tmp_path / "v.parquet")
    assert "images" not in back and back["data_source"] == "video_jigsaw"
    assert back["prompt"][0]["content"].count("<video>") == 6
    assert back["videos"] == [
        {
            "path": "f.mp4",
            "clip_order": [0, 1, 2, 3, 4, 5],
            "jigsaw_clip_num": 3,
            "fps": 2.0,
            "fps_min_frames": 2,
            "fps_max_frames": 2,
            "min_pixels": 4 * 28 * 28,
            "max_pixels": 128 * 28 * 28,
            "spatial_jigsaw_grid_config": [1, 2],
        }
    ]
    with pytest.raises(ConfigError, match="trims"):
        verl_row(
            VideoSample("f", tmp_path / "f.mp4"), puzzle, FILM.model_copy(update={"trim_ratio": 0.05}), 0, tmp_path
        )
    depth = DepthJigsaw(points=3, marker_radius=6)
    points = ((10, 10), (80, 100), (60, 30))
    puzzle = made(depth.puzzle(DepthSample("d", busy(2), points=points), seed=1))
    row = verl_row(DepthSample("d", tmp_path / "a/d.png", points=points), puzzle, depth, 5, tmp_path)
    write_parquet([row], tmp_path / "d.parquet", verl_row_columns(depth))
    (back,) = parquet_rows(tmp_path / "d.parquet")
    assert back["data_source"] == "depth_jigsaw"
    assert back["images"] == [{"path": "a/d.png", "points": [[10, 10], [80, 100], [60, 30]]}]
    pose = of_every_kind()[4]
    with pytest.raises(ConfigError, match="verl-cut"):
        verl_row(SceneSample("s", ()), pose, PoseJigsaw(), 0, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="below the root"):
        verl_row(ImageSample("a", busy(0)), of_every_kind()[0], GRID, 0, tmp_path)


def test_cut_rows_hold_the_pictures_of_the_very_puzzle(tmp_path):
    there = [puzzle for puzzle in of_every_kind() if all(slot.kind == "image" for slot in puzzle.slots)]
    rows = [verl_cut_row(puzzle, number) for number, puzzle in enumerate(there)]
    write_parquet(rows, tmp_path / "c.parquet", verl_cut_columns())
    for row, puzzle in zip(parquet_rows(tmp_path / "c.parquet"), there, strict=True):
        assert row["prompt"][0]["content"].count("<image>") == len(row["images"]) == len(puzzle.images)
        for stored, image in zip(row["images"], puzzle.images, strict=True):
            assert PIL.Image.open(io.BytesIO(stored["bytes"])).tobytes() == image.tobytes()
        assert row["reward_model"] == {"style": "rule", "ground_truth": list(puzzle.target)}


def test_our_verl_rows_come_back_as_the_same_puzzles(tmp_path):
    folder = folder_of(tmp_path / "in", 3)
    task = ImageJigsaw(rows=3, columns=2, crop=(100, 90))
    pairs = list(drawn(image_folder(folder), task, seed=4, epoch=2))
    rows = [verl_row(sample, puzzle, task, number, folder) for number, (sample, puzzle) in enumerate(pairs)]
    write_parquet(rows, tmp_path / "v.parquet", verl_row_columns(task))
    back = released_puzzles(parquet_rows(tmp_path / "v.parquet"), root=folder, seed=4, epoch=2)
    assert [puzzle.digest() for puzzle in back] == [puzzle.digest() for _, puzzle in pairs]
    there = puzzles(image_folder(folder), task, seed=4, epoch=2)
    assert [puzzle.digest() for puzzle in there] == [puzzle.digest() for _, puzzle in pairs]


def test_released_rows_in_all_the_shapes_they_have(tmp_path):
    """Nested sizes and paths, columns of other modalities filled with None, a stored answer that is wrong."""
    folder_of(tmp_path, 1)
    shared = {"prompt": [{"role": "user", "content": "<image>"}], "reward_model": {"ground_truth": [9, 9]}}
    tiles = {"path": ["0.png"], "jigsaw_config": [2, 2], "resize_size": [[112, 84]], "crop_size": [0, 0]}
    points = {"path": "0.png", "points": [[10, 10], [50, 60], [80, 110]], "resize_size": [[112, 84]]}
    rows = [
        {**shared, "data_source": "coco_jigsaw_nothink", "images": [tiles], "videos": None, "extra_info": None},
        {**shared, "data_source": "scannet_depth_jigsaw", "images": [points]},
        {**shared, "data_source": "geometry3k", "images": [tiles]},
        {**shared, "data_source": "coco_jigsaw", "images": [{**tiles, "path": "../0.png"}]},
        {**shared, "data_source": "coco_jigsaw", "images": [{**tiles, "jigsaw_config": [0, 2]}]},
        {**shared, "data_source": "coco_jigsaw", "images": [{**tiles, "jigsaw_config": [1, 1]}]},
        {**shared, "data_source": "coco_jigsaw", "images": [{**tiles, "jigsaw_config": [999, 999]}]},
        {**shared, "data_source": "coco_jigsaw", "images": []},
        {**shared, "data_source": "coco_jigsaw", "images": [{**tiles, "path": "gone.png"}]},
        {**shared, "data_source": "v_jigsaw", "videos": [{"path": "a.mp4", "clip_order": [0, 1, 2]}]},
    ]
    ledger = Ledger()
    depth = DepthJigsaw(marker_radius=6)
    found = list(released_puzzles(rows, root=tmp_path, seed=0, ledger=ledger, depth=depth))
    assert [puzzle.task for puzzle in found] == ["image", "depth"]
    assert sum(image.width for image in found[0].images) == 2 * 112
    assert not found[0].rule.think and found[1].rule.think
    assert found[1].media[0].size == (112, 84) and found[1].pieces == 3
    assert ledger.counts == {"bad_row": 7, "missing": 1}
