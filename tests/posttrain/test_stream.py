"""Which puzzle a number means, what is held out, and what settings refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelword.errors import ConfigError, DataError
from pixelword.jigsaw import ImageJigsaw, Ledger, Verdicts
from pixelword.posttrain import PosttrainRecipe, PuzzleStream
from pixelword.posttrain.drawn import DrawnPictures
from pixelword.posttrain.settings import SampleSettings, levels
from pixelword.posttrain.stream import held_out_puzzles, open_samples, open_stream
from pixelword.posttrain.wording import right_answer, worded
from pixelword.world import WORDS

TASK = ImageJigsaw(rows=2, columns=2, min_side=64)
BASE: dict[str, Any] = {
    "model": {"checkpoint": "x"},
    "samples": {"layout": "drawn"},
    "image": {},
    "optimizer": {"rate": 1e-6},
    "steps": 40,
}


def stream(size: int = 10, **others: Any) -> PuzzleStream:
    return PuzzleStream(DrawnPictures(size), [TASK], seed=3, **others)


def test_importing_the_floor_loads_no_torch():
    code = "import sys, pixelword.posttrain; print(sorted({'torch', 'transformers', 'trl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_epoch_visits_every_sample_once_in_another_order_and_shuffles_anew():
    screened_out = {n for n in range(10) if not hasattr(TASK.puzzle(DrawnPictures(10)[n], seed=3), "target")}
    one = stream()
    epochs = [[one.puzzle(10 * epoch + place) for place in range(10)] for epoch in range(3)]
    usual = [[puzzle.key.sample for puzzle in epoch] for epoch in epochs]
    assert len(set(usual[0])) >= 10 - 2 * len(screened_out) and usual[0] != usual[1] != usual[2]
    orders = [{puzzle.key.sample: puzzle.order for puzzle in epoch} for epoch in epochs]
    assert any(orders[0][name] != orders[1][name] for name in set(orders[0]) & set(orders[1]))
    assert [puzzle.key.epoch for puzzle in epochs[2]] == [2] * 10


def test_a_number_means_the_same_puzzle_whatever_was_asked_before():
    one, other = stream(), stream()
    backwards = [other.puzzle(number) for number in reversed(range(25))]
    assert [one.puzzle(number).digest() for number in range(25)] == [puzzle.digest() for puzzle in reversed(backwards)]


def bad_folder(tmp_path, good: int) -> Any:
    for number in range(good):
        DrawnPictures(99)[number].image.save(tmp_path / f"good{number}.png")
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "broken.png").write_bytes(b"no picture either")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "tiny.png")
    return tmp_path


def test_a_bad_sample_is_counted_once_and_another_takes_its_place(tmp_path):
    settings = SampleSettings(path=bad_folder(tmp_path, 8), held_out=0)
    samples, _ = open_samples(settings, "image")
    made = PuzzleStream(samples, [TASK], seed=0)
    puzzles = [made.puzzle(number) for number in range(3 * len(samples))]
    assert all(puzzle.key.sample.startswith("good") for puzzle in puzzles) and made.ledger.made == len(puzzles)
    assert {"not_media", "unreadable", "too_small"} <= set(made.ledger.counts)
    assert all(made.ledger.counts[reason] == 1 for reason in ("not_media", "unreadable", "too_small"))


def test_a_restart_knows_what_was_refused_and_screens_nothing_again(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    samples, _ = open_samples(SampleSettings(path=bad_folder(folder, 6), held_out=0), "image")
    screened = tmp_path / "screened.json"
    first = PuzzleStream(samples, [TASK], seed=0, verdicts=Verdicts(screened))
    puzzles = [first.puzzle(number).digest() for number in range(2 * len(samples))]
    first.verdicts.save()
    asked: list[Any] = []
    plain = Verdicts.judge
    monkeypatch.setattr(Verdicts, "judge", lambda self, name, screen: plain(self, name, lambda: asked.append(name)))
    again = PuzzleStream(samples, [TASK], seed=0, verdicts=Verdicts(screened))
    again.restore(json.loads(json.dumps(first.state())))
    assert again.ledger.counts == first.ledger.counts and again.ledger.made == first.ledger.made
    assert [again.puzzle(number).digest() for number in range(2 * len(samples))] == puzzles
    assert len(first.verdicts) >= 6 and not asked, "every picture was known"
    assert again.ledger.counts == first.ledger.counts, "and nothing was refused twice"


def test_views_of_scans_are_puzzles_of_a_recipe(tmp_path):
    scan = tmp_path / "scene0000_00"
    for name in ("color", "pose"):
        (scan / name).mkdir(parents=True)
    for number in range(61):  # on a circle, looking outwards; each twentieth frame is taken
        turn = np.pi * number / 40
        x, y = np.cos(turn), np.sin(turn)
        pose = np.array([[y, 0, x, 3 * x], [-x, 0, y, 3 * y], [0, -1, 0, 1], [0, 0, 0, 1]])
        np.savetxt(scan / "pose" / f"{number}.txt", pose)
        Image.new("RGB", (64, 64), (number, 0, 0)).save(scan / "color" / f"{number}.jpg")
    given = {"samples": {"layout": "scannet", "path": str(tmp_path), "held_out": 0}, "image": None}
    motion = {"views": 2, "max_distance": 10.0, "max_turn": 180.0}
    recipe = PosttrainRecipe.model_validate({**BASE, **given, "motion": motion})
    stream, _ = open_stream(recipe)
    puzzle = stream.puzzle(0)
    assert puzzle.task == "motion" and puzzle.pieces == 2 and recipe.thinks
    with pytest.raises(ConfigError, match="no motion puzzles in this layout"):
        open_samples(SampleSettings(path=tmp_path), "motion")


def test_a_bad_sample_stops_a_strict_run_and_a_folder_of_nothing_stops_any(tmp_path):
    samples, _ = open_samples(SampleSettings(path=bad_folder(tmp_path, 2), held_out=0), "image")
    strict = PuzzleStream(samples, [TASK], seed=0, ledger=Ledger("fail"))
    with pytest.raises(DataError):
        for number in range(2 * len(samples)):
            strict.puzzle(number)
    only_bad = [sample for sample in samples if not getattr(sample, "id", "bad").startswith("good")]
    with pytest.raises(DataError, match="make no puzzle"):
        PuzzleStream(only_bad, [TASK], seed=0).puzzle(0)


def test_held_out_samples_are_never_trained_on_and_stay_when_the_folder_grows(tmp_path):
    for number in range(30):
        DrawnPictures(99)[number].image.save(tmp_path / f"{number}.png")
    train, held_out = open_samples(SampleSettings(path=tmp_path, held_out=10), "image")
    names = [{sample.id for sample in part} for part in (train, held_out)]
    assert not names[0] & names[1] and len(names[0]) == 20
    for number in range(30, 33):
        DrawnPictures(99)[number].image.save(tmp_path / f"{number}.png")
    assert (
        len({sample.id for sample in open_samples(SampleSettings(path=tmp_path, held_out=10), "image")[1]} & names[1])
        >= 7
    )
    drawn, others = open_samples(SampleSettings(layout="drawn", held_out=3), "image")
    assert not {sample.id for sample in drawn[:50]} & {sample.id for sample in others}


def test_held_out_puzzles_are_the_same_every_time_and_even_over_levels():
    hard = TASK.model_copy(update={"rows": 1})
    asked = [held_out_puzzles(DrawnPictures(40, "held-out"), [hard, TASK], 20, "short") for _ in range(2)]
    assert [puzzle.digest() for puzzle in asked[0]] == [puzzle.digest() for puzzle in asked[1]]
    assert [puzzle.pieces for puzzle in asked[0]] == [2] * 10 + [4] * 10
    with pytest.raises(ConfigError, match="too few held-out"):
        held_out_puzzles(DrawnPictures(5), [TASK], 20, "short")


def test_short_words_are_all_in_the_vocabulary_of_the_world_and_earn_everything():
    puzzle = worded(stream().puzzle(0), "short")
    words = [word for part in puzzle.prompt if isinstance(part, str) for word in part.split()]
    answer = right_answer(puzzle, "short")
    assert set(words) | set(answer.split()) <= set(WORDS)
    assert puzzle.reward(answer).exact
    with pytest.raises(ConfigError, match="no short words"):
        worded(ImageJigsaw(rows=4, columns=4, min_side=64, screen=False).puzzle(DrawnPictures(1)[0], seed=0), "short")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"depth": {}}, "one kind of puzzle"),
        ({"image": None}, "one kind of puzzle"),
        ({"image": None, "video": {}}, "takes pictures and no films"),
        ({"samples": {"layout": "drawn", "path": "x"}}, "come from a folder"),
        ({"samples": {}}, "come from a folder"),
        ({"grpo": {"prompts": 3, "group": 5}}, "no whole number of batches"),
        ({"steps": 41, "grpo": {"updates": 2}}, "between generations"),
        ({"curriculum": {"levels": [{"row": 2}, {}]}}, "did you mean 'rows'"),
        ({"curriculum": {"levels": [{}, {}], "low": 0.7, "high": 0.3}}, "leave no room"),
        ({"grpo": {"algoritm": "dapo"}}, "did you mean 'algorithm'"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PosttrainRecipe.model_validate({**BASE, **changes})


def test_levels_change_only_what_they_name():
    recipe = PosttrainRecipe.model_validate(
        {**BASE, "image": {"min_side": 99}, "curriculum": {"levels": [{"rows": 2, "columns": 2}, {"columns": 4}]}}
    )
    assert [(one.rows, one.columns, one.min_side) for one in levels(recipe)] == [(2, 2, 99), (3, 4, 99)]
