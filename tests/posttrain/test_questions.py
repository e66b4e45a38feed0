"""Questions about drawn scenes as prompts: what they are, what they pay, and that a run trains on them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from random import Random
from typing import Any

import pytest

from pixelword.errors import ConfigError
from pixelword.jigsaw import Puzzle
from pixelword.jigsaw.scoring import Reply
from pixelword.posttrain import PosttrainRecipe
from pixelword.posttrain.held_out import Examination
from pixelword.posttrain.questions import ASKABLE, POSSIBLE, DrawnScenes, SceneQuestion, SceneQuestions
from pixelword.posttrain.responses import judge
from pixelword.posttrain.stream import held_out_puzzles, open_stream
from pixelword.posttrain.wording import right_answer, worded
from pixelword.realunify.mini.words import CHOICE_WORDS
from pixelword.world import WORDS, draw_scene, true_answer
from pixelword.world.arithmetic import ARITHMETIC, arithmetic

GIVEN: dict[str, Any] = {
    "model": {"checkpoint": "given", "dtype": "float32", "autocast": False},
    "samples": {"layout": "drawn", "drawn": 40, "held_out": 12},
    "questions": {"kinds": ["count", "sum", "difference"]},
    "wording": "short",
    "grpo": {"group": 4, "prompts": 4, "rows_per_batch": 16, "max_tokens": 3},
    "sft": {"puzzles": 8, "rows_per_batch": 8},
    "held_out": {"puzzles": 6, "every": 2},
    "optimizer": {"name": "muon", "rate": 0.01, "schedule": "constant", "clip": None},
    "steps": 4,
    "checkpointing": False,
    "save_every": 2,
}


def asked(kinds: tuple[str, ...], number: int) -> list[SceneQuestion]:
    return [SceneQuestions(kinds=kinds).puzzle(sample, seed=1) for sample in DrawnScenes(number)]


def test_arithmetic_by_counting_on_fingers():
    random, seen = Random(5), Counter[str]()
    for _ in range(60):
        scene = draw_scene(random, new=False)
        for question in arithmetic(scene):
            words = question.text.split()
            one, other = words[1], words[-2]
            first = [thing for thing in scene.objects if one in (thing.color, thing.shape)]
            second = [thing for thing in scene.objects if other in (thing.color, thing.shape)]
            told = len(first) + len(second) if question.kind == "sum" else len(first) - len(second)
            assert question.answer == str(told) and true_answer(scene, question.text) == question.answer
            assert not set(map(id, first)) & set(map(id, second)), "an object counts once"
            assert question.answer in POSSIBLE[question.kind, question.form]
            assert set(words) <= {*WORDS, *CHOICE_WORDS}, "the demo's tokenizer knows the words"
            seen[question.kind] += 1
    assert set(seen) == set(ARITHMETIC)
    scene = draw_scene(random, new=False)
    for text in ("count red and red ?", "count red and circle ?", "count cats and dogs ?", "count red take away red ?"):
        assert true_answer(scene, text) is None


def test_a_question_hangs_on_its_key_alone_and_every_answer_comes_as_often():
    questions = asked(ASKABLE, 10 * len(ASKABLE))
    again = asked(ASKABLE, 10 * len(ASKABLE))
    assert [one.asked for one in questions] == [one.asked for one in again]
    assert Counter(one.asked.kind for one in questions) == dict.fromkeys(ASKABLE, 10)
    assert all(true_answer(one.scene, one.asked.text) == one.answer for one in questions)
    counts = Counter(one.answer for one in asked(("difference",), 400))
    assert set(counts) == {"0", "1", "2", "3"} and max(counts.values()) < 2 * min(counts.values())
    sample = DrawnScenes(1)[0]
    epochs = {SceneQuestions().puzzle(sample, seed=0, epoch=epoch).scene for epoch in range(4)}
    assert len(epochs) == 4, "every epoch asks something else"


def test_only_the_right_word_is_paid():
    (question,) = asked(("count",), 1)
    wrong = next(word for word in question.answers if word != question.answer)
    said = [question.answer, f" {question.answer}. ", wrong, "", "elephant", f"{question.answer} {question.answer}"]
    table = judge([question] * 6, said, [1] * 6, [False] * 6)
    assert table.column("total").tolist() == table.column("exact").tolist() == [1, 1, 0, 0, 0, 0]
    assert table.column("form").tolist() == [1, 1, 1, 0, 0, 0]
    assert table.chance_places == pytest.approx(1 / len(question.answers))
    assert right_answer(question, "short") == question.answer
    assert worded(question, "paper").text().endswith("Answer with one word or number.")


def test_an_examination_of_questions_has_a_line_for_each_kind():
    questions = asked(("exists", "where"), 8)
    replies = [Reply(one.answer if number < 3 else "circle") for number, one in enumerate(questions)]
    made = Examination.of(questions, replies)
    assert [(one["difficulty"], one["exact"]["right"], one["asked"]) for one in made.as_json()] == [
        ("exists", 2, 4),
        ("where", 1, 4),
    ]
    assert made.kinds[0].chance == 0.5 and made.exact == 3 / 8 and "exists" in str(made)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"questions": {"kinds": ["sums"]}}, "did you mean 'sum'"),
        ({"image": {}}, "one kind of puzzle"),
        ({"samples": {"layout": "folder", "path": "x"}}, "about drawn scenes"),
        ({"sft": {"replay": {"share": 1.0}}}, "less than 1"),
    ],
)
def test_settings_of_questions_are_checked(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PosttrainRecipe.model_validate({**GIVEN, **changes})


def test_held_out_questions_are_never_trained_on_and_even_over_kinds():
    recipe = PosttrainRecipe.model_validate(GIVEN)
    stream, held_out = open_stream(recipe)
    given = held_out_puzzles(held_out, stream.levels, 12, "short")
    trained = [stream.puzzle(number) for number in range(80)]
    assert Counter(one.asked.kind for one in given) == {"count": 4, "sum": 4, "difference": 4}
    assert not {one.scene for one in trained} & {one.scene for one in given}


def test_replayed_rows_are_a_share_of_questions_and_the_rest_are_puzzles():
    changes = {
        "kind": "sft",
        "questions": None,
        "image": {"rows": 2, "columns": 2, "min_side": 64, "screen": False},
        "sft": {"puzzles": 8, "rows_per_batch": 8, "replay": {"share": 0.25}},
    }
    stream, _ = open_stream(PosttrainRecipe.model_validate({**GIVEN, **changes}))
    rows = [stream.row(number) for number in range(200)]
    share = sum(isinstance(row, SceneQuestion) for row in rows) / 200
    assert 0.17 < share < 0.33 and any(isinstance(row, Puzzle) for row in islice(rows, 5))
    kinds = {row.asked.kind for row in rows if isinstance(row, SceneQuestion)}
    assert kinds == set(ASKABLE) - set(ARITHMETIC)
    grpo, _ = open_stream(PosttrainRecipe.model_validate({**GIVEN, **changes, "kind": "grpo"}))
    assert all(isinstance(grpo.row(number), Puzzle) for number in range(20)), "reward needs no replay"


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_a_run_on_questions_is_examined_watched_and_continued(tmp_path, kind):
    pytest.importorskip("trl")
    from pixelword.posttrain.run import posttrain

    from .tiny_models import ours

    class Stop(Exception):
        pass

    from transformers import TrainerCallback

    class Breaks(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 2:
                raise Stop

    # The tiny model's vocabulary ends before the words of arithmetic.
    recipe = PosttrainRecipe.model_validate({**GIVEN, "kind": kind, "questions": {"kinds": ["count", "exists"]}})
    whole = posttrain(recipe, tmp_path / "whole", model=ours()[0], processor=ours()[1], cpu=True)
    with pytest.raises(Stop):
        posttrain(recipe, tmp_path / "cut", model=ours()[0], processor=ours()[1], cpu=True, callbacks=[Breaks()])
    assert json.loads((tmp_path / "cut" / "checkpoint-2" / "samples.json").read_text())["made"] >= 8
    cut = posttrain(recipe, tmp_path / "cut", model=ours()[0], processor=ours()[1], cpu=True)
    for done in (whole, cut):
        done.pop("gate", None)
    assert cut == whole and [one["difficulty"] for one in whole["after"]["groups"]] == ["count", "exists"]
    if kind == "sft":  # its loader makes a batch ahead, which is made again
        return
    assert (tmp_path / "cut" / "samples.txt").read_text() == (tmp_path / "whole" / "samples.txt").read_text()
    assert len(json.loads((tmp_path / "cut" / "health.json").read_text())["vitals"]) == 4
