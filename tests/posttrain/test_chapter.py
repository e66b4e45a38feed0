"""The lesson that the demo gives, with a model too small to learn anything."""

from __future__ import annotations

import pytest

pytest.importorskip("trl")

from pixelword.posttrain.chapter import teach_jigsaw

from .tiny_models import ours

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")


def test_a_lesson_is_examined_three_times_and_is_the_same_when_called_again(tmp_path):
    model, processor = ours()
    lesson = teach_jigsaw(model, processor, tmp_path, sft_steps=2, grpo_steps=2, puzzles=4)
    assert [len(exam.replies) for exam in (lesson.before, lesson.after_sft, lesson.after)] == [4, 4, 4]
    assert [row["step"] for row in lesson.curve] == [1, 2] and lesson.verdict == "healthy"
    assert len(lesson.replies) == 4 and lesson.after.groups[0].pieces == 4
    other, processor = ours()
    again = teach_jigsaw(other, processor, tmp_path, sft_steps=2, grpo_steps=2, puzzles=4)
    assert again == lesson
    assert all((one == two).all() for one, two in zip(model.parameters(), other.parameters(), strict=True))
