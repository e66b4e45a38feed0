"""Image puzzles: lossless tiles, the answer rebuilds the picture, the unsolvable are refused, bytes are the key's."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import ConfigError, DataError
from pixelword.jigsaw import (
    AnswerRule,
    ImageJigsaw,
    ImageSample,
    Ledger,
    Puzzle,
    Refusal,
    Verdicts,
    VideoJigsaw,
    puzzles,
)
from pixelword.jigsaw.pictures import read_picture
from pixelword.jigsaw.tiles import cut, edges
from tests.jigsaw.pictures import busy, folder_of, plain

TASK = ImageJigsaw()


def made(result: Puzzle | Refusal) -> Puzzle:
    assert isinstance(result, Puzzle), result
    return result


def reason(result: Puzzle | Refusal) -> str:
    assert isinstance(result, Refusal)
    return result.reason


@pytest.mark.parametrize(
    ("size", "parts", "borders"),
    [
        (640, 3, [0, 214, 427, 640]),
        (480, 3, [0, 160, 320, 480]),
        (500, 3, [0, 167, 334, 500]),
        (375, 3, [0, 125, 250, 375]),
    ],
)
def test_the_first_tiles_take_the_pixels_left_over(size, parts, borders):
    assert edges(size, parts) == borders


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 6), st.integers(1, 6))
def test_tiles_are_the_picture_pixel_for_pixel(width, height, rows, columns):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if width < columns or height < rows:
        return
    tiles = [np.asarray(tile) for tile in cut(PIL.Image.fromarray(pixels), rows, columns)]
    lines = [np.concatenate(tiles[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    assert np.array_equal(np.concatenate(lines), pixels)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (3, 3), (2, 5), (4, 4)])
def test_the_answer_rebuilds_the_picture(rows, columns):
    picture = busy(3, 200, 160)
    puzzle = made(ImageJigsaw(rows=rows, columns=columns).puzzle(ImageSample("a", picture), seed=1))
    right = [np.asarray(puzzle.images[label - 1]) for label in puzzle.target]
    lines = [np.concatenate(right[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    assert np.array_equal(np.concatenate(lines), np.asarray(picture))
    assert puzzle.reward(puzzle.answer).exact
    assert len(puzzle.slots) == puzzle.pieces == rows * columns == len(puzzle.images)


def test_the_worked_example_and_its_wrong_reading():
    sample = ImageSample("a", busy(0))
    puzzle = made(TASK.puzzle(sample, seed=0))
    order = (3, 0, 7, 1, 8, 2, 5, 4, 6)
    cells = cut(busy(0), 3, 3)
    known = Puzzle(puzzle.key, "image", tuple(cells[o] for o in order), order, puzzle.prompt, puzzle.rule, {})
    assert known.target == (2, 4, 6, 1, 8, 7, 9, 3, 5)
    wrong = known.rule.write([4, 1, 8, 2, 9, 3, 6, 5, 7])
    assert known.reward(wrong).total == 0.2


def test_epochs_differ_and_group_members_do_not():
    sample = ImageSample("a", busy(0))
    assert len({made(TASK.puzzle(sample, seed=0, epoch=epoch)).order for epoch in range(20)}) > 15
    assert made(TASK.puzzle(sample, seed=0, epoch=4)).digest() == made(TASK.puzzle(sample, seed=0, epoch=4)).digest()


def test_another_process_and_any_sharding_make_the_same_pixels(tmp_path):
    folder = folder_of(tmp_path / "pictures")
    code = (
        "import json, sys\nfrom pixelword.jigsaw import *\n"
        "made = {p.key.sample: p.digest() for shard in range(3) "
        "for p in puzzles(image_folder(sys.argv[1]), ImageJigsaw(), seed=5, epoch=2, shard=shard, shards=3)}\n"
        "print(json.dumps(made))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    from pixelword.jigsaw import image_folder

    here = {puzzle.key.sample: puzzle.digest() for puzzle in puzzles(image_folder(folder), TASK, seed=5, epoch=2)}
    assert json.loads(done.stdout) == here
    assert len(set(here.values())) == 4


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (plain(), "blank_tiles"),
        (busy(0, 83, 200), "too_small"),
        (PIL.Image.fromarray(np.tile(np.asarray(busy(1, 60, 96)), (1, 2, 1))), "identical_tiles"),
    ],
    ids=["blank", "small", "twice the same"],
)
def test_the_unsolvable_is_refused(picture, expected):
    task = ImageJigsaw(rows=2, columns=2)
    assert reason(task.puzzle(ImageSample("a", picture), seed=0)) == expected
    assert isinstance(
        ImageJigsaw(rows=2, columns=2, screen=False, min_side=1).puzzle(ImageSample("a", picture), seed=0), Puzzle
    )


@pytest.mark.parametrize(("width", "height", "rows", "columns"), [(640, 480, 3, 3), (500, 375, 3, 3), (97, 131, 4, 5)])
def test_tiles_that_are_the_same_to_the_pixel_are_seen_wherever_the_cuts_fall(width, height, rows, columns):
    picture = busy(3, width, height)
    tiles = cut(picture, rows, columns)
    across, down = edges(width, columns), edges(height, rows)
    picture.paste(tiles[0], (0, down[2]))
    same = cut(picture, rows, columns)[2 * columns].crop((0, 0, across[1], min(down[3] - down[2], down[1])))
    assert same.tobytes() == tiles[0].crop((0, 0, *same.size)).tobytes()
    found = ImageJigsaw(rows=rows, columns=columns).puzzle(ImageSample("s", picture), seed=0)
    assert isinstance(found, Refusal) and found.reason == "identical_tiles"
    assert f"cells 1 and {2 * columns + 1} " in found.detail


def test_sixteen_bits_of_grey_are_shown_as_eight(tmp_path):
    grey = np.asarray(busy(0, 90, 90).convert("L"))
    PIL.Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(tmp_path / "x.png")
    shown = read_picture(tmp_path / "x.png", "x")
    assert not isinstance(shown, Refusal)
    assert np.array_equal(np.asarray(shown), np.repeat(grey[:, :, None], 3, axis=2))
    floats = read_picture(PIL.Image.fromarray(grey.astype(np.float32)), "x")
    assert isinstance(floats, Refusal) and floats.reason == "unreadable"


def test_one_blank_tile_is_placed_by_elimination():
    pixels = np.asarray(busy(2)).copy()
    pixels[:48, :60] = 200
    sample = ImageSample("a", PIL.Image.fromarray(pixels))
    assert isinstance(ImageJigsaw(rows=2, columns=2).puzzle(sample, seed=0), Puzzle)
    assert reason(ImageJigsaw(rows=2, columns=2, max_blank_tiles=0).puzzle(sample, seed=0)) == "blank_tiles"


def test_resize_and_crop_follow_the_released_code():
    picture = busy(4, 301, 203)
    task = ImageJigsaw(rows=1, columns=2, resize=(200, 150), crop=(101, 90), screen=False)
    puzzle = made(task.puzzle(ImageSample("a", picture), seed=0))
    shown = np.concatenate([np.asarray(puzzle.images[label - 1]) for label in puzzle.target], axis=1)
    box = ((200 - 101) // 2, (150 - 90) // 2)
    slow = np.asarray(picture.resize((200, 150)))[box[1] : box[1] + 90, box[0] : box[0] + 101]
    assert np.array_equal(shown, slow)


def test_a_turned_photograph_is_upright_unless_told(tmp_path):
    picture = busy(5)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    sample = ImageSample("turned.png", tmp_path / "turned.png")
    sizes = [
        made(ImageJigsaw(rows=1, columns=2, upright=up).puzzle(sample, seed=0)).images[0].size for up in (True, False)
    ]
    assert sizes == [(48, 120), (60, 96)]


def test_one_piece_is_no_puzzle():
    for kind in (ImageJigsaw, VideoJigsaw):
        with pytest.raises(ConfigError, match="two pieces"):
            kind(rows=1, columns=1, **({"clips": 1} if kind is VideoJigsaw else {}))


def test_the_prompt_is_the_papers_and_asks_for_what_is_paid():
    def prompt(**rule: object) -> str:
        return made(ImageJigsaw(rule=AnswerRule(**rule)).puzzle(ImageSample("a", busy(0)), seed=0)).text()

    text = prompt()
    assert text.startswith(
        "You are given nine shuffled image tiles that were created by slicing one image into a 3*3 grid.\n"
        "Here are the tiles, each tagged with an index reflecting the current (shuffled) order in which they are "
        "shown:\n\nTile 1: <image>\nTile 2: <image>\n"
    )
    assert (
        "Tile 9: <image>\n\nTask:\nMentally reassemble the original image, arranging the tiles into the correct 3*3"
        in text
    )
    assert "\n\nAnswer format example:\n5, 1, 3, 7, 9, 2, 4, 8, 6\nYou FIRST think" in text
    assert text.endswith("The final answer MUST BE put in \\boxed{}.")
    assert prompt(container="tag").endswith("The final answer MUST BE put within <answer></answer> tags.")
    assert "think" not in prompt(think=False)


def test_examples_can_be_fixed_random_or_left_out():
    def lines(example: str, epoch: int = 0, rows: int = 2) -> str:
        task = ImageJigsaw(rows=rows, columns=2, example=example)
        text = made(task.puzzle(ImageSample("a", busy(0)), seed=0, epoch=epoch)).text()
        return text.partition("Answer format example:\n")[2].partition("\n")[0]

    assert lines("none") == ""
    assert len({lines("paper", epoch) for epoch in range(8)}) == 1
    assert len({lines("random", epoch, rows=4) for epoch in range(8)}) > 6


def test_messages_hold_media_parts_without_media():
    puzzle = made(TASK.puzzle(ImageSample("a", busy(0)), seed=0))
    (turn,) = puzzle.messages()
    assert turn["role"] == "user"
    assert [part for part in turn["content"] if part["type"] == "image"] == [{"type": "image"}] * 9
    joined = "".join(part.get("text", "<image>") for part in turn["content"])
    assert joined == puzzle.text()


def test_verdicts_are_kept_for_the_same_file_and_settings_only(tmp_path, monkeypatch):
    looked = []
    from pixelword.jigsaw import image

    real = image.screen_tiles
    monkeypatch.setattr(image, "screen_tiles", lambda *given, **limits: (looked.append(1), real(*given, **limits))[1])
    path = tmp_path / "a.png"
    busy(0).save(path)
    verdicts = Verdicts(tmp_path / "verdicts.json")

    def look(task: ImageJigsaw = TASK) -> int:
        task.puzzle(ImageSample("a", path), seed=0, verdicts=verdicts)
        return len(looked)

    assert [look(), look(), look(ImageJigsaw(rows=2)), look(ImageJigsaw(min_tile_detail=3))] == [1, 1, 2, 3]
    verdicts.save()
    verdicts = Verdicts(tmp_path / "verdicts.json")
    assert look() == 3
    busy(1, 140, 96).save(path)
    assert look() == 4
    (tmp_path / "verdicts.json").write_text("[1]")
    with pytest.raises(DataError, match="verdicts"):
        Verdicts(tmp_path / "verdicts.json")


def test_a_shard_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="shard"):
        list(puzzles([], TASK, seed=0, shard=2, shards=2))


def test_the_ledger_counts_names_and_can_stop(tmp_path):
    samples = [
        ImageSample("good", busy(0)),
        ImageSample("blank", plain()),
        ImageSample("gone", tmp_path / "x.png"),
    ]
    ledger = Ledger()
    assert [puzzle.key.sample for puzzle in puzzles(samples, TASK, seed=0, ledger=ledger)] == ["good"]
    assert (ledger.made, ledger.refused, dict(ledger.counts)) == (1, 2, {"blank_tiles": 1, "missing": 1})
    assert ledger.first("blank_tiles")[0].sample == "blank"
    assert "such as blank" in str(ledger)
    with pytest.raises(DataError, match="blank cannot become a puzzle"):
        list(puzzles(samples, TASK, seed=0, ledger=Ledger("fail")))
