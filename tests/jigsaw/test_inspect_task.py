"""Puzzles asked through Inspect AI, with a model that knows some answers and one that breaks."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from pixelword.errors import DataError, InputError
from pixelword.jigsaw import (
    Asked,
    ImageJigsaw,
    Puzzle,
    StoredFrames,
    VideoJigsaw,
    VideoSample,
    image_folder,
    puzzles,
    read_puzzles,
    score_all,
    summarize,
    write_puzzles,
)
from tests.jigsaw.pictures import busy, folder_of

inspect_ai = pytest.importorskip("inspect_ai")

# Inspect passes tenacity an argument by its old name, and leaves streams of anyio to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    pictures = folder_of(tmp_path / "in", 3)
    made = [
        puzzle
        for rows in (2, 3)
        for puzzle in puzzles(image_folder(pictures), ImageJigsaw(rows=rows, columns=2), seed=0)
    ]
    write_puzzles(made, tmp_path / "held_out")
    return tmp_path / "held_out"


def test_any_model_can_be_asked_and_what_breaks_is_counted(held_out, tmp_path):
    from inspect_ai.model import get_model

    from pixelword.jigsaw.inspect_task import replies_of, visual_jigsaw

    there = {puzzle.text(""): puzzle for puzzle in read_puzzles(held_out)}
    known = {puzzle.key.name: puzzle for puzzle in read_puzzles(held_out)}
    seen: list[int] = []

    def answers(messages, tools, choice, config):
        """Right for 2x2, cut off for the first of 3x2, broken for the second, silent about tiles in the third."""
        (message,) = messages
        images = [part for part in message.content if part.type == "image"]
        seen.append(len(images))
        if len(images) == 4:
            text = "".join(part.text for part in message.content if part.type == "text")
            assert text in there
            sent = next(puzzle for puzzle in known.values() if _shows(puzzle, images))
            return said(sent.answer)
        turn = seen.count(6)
        if turn == 2:
            raise RuntimeError("the server is gone")
        return said("<think>hm", "max_tokens" if turn == 1 else "stop")

    model = get_model("mockllm/model", custom_outputs=answers, memoize=False)
    (log,) = inspect_ai.eval(
        visual_jigsaw(str(held_out)), model=model, log_dir=str(tmp_path / "logs"), display="none", max_samples=1
    )
    replies = replies_of(log)
    asked = [Asked.of(puzzle) for puzzle in known.values()]
    small, large = summarize(score_all(asked, [replies.get(name) for name in known]))
    assert (small.exact.right, small.exact.asked) == (3, 3)
    assert (large.exact.right, large.exact.asked) == (0, 2)
    assert large.statuses == {"no_think": 1, "truncated": 1, "failed": 1}
    assert sorted(seen) == [4, 4, 4, 6, 6, 6]
    metrics = {f"{one.name} {name}": metric.value for one in log.results.scores for name, metric in one.metrics.items()}
    assert metrics["exact grouped_image 2x2"] == 1.0
    assert metrics["places grouped_image 2x2"] == 4.0
    assert metrics["exact grouped_image 3x2"] == 0.0


def said(text: str, stop: str = "stop"):
    """An output with its token counts; without them the mock would fetch a tokenizer."""
    from inspect_ai.model import ModelOutput, ModelUsage

    output = ModelOutput.from_content("mockllm/model", text, stop)
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return output


def _shows(puzzle: Puzzle, images) -> bool:
    """Whether these are the puzzle's pictures, compared in the pixels that were sent."""
    import base64
    import io

    import PIL.Image

    sent = []
    for part in images:
        data = part.image
        raw = base64.b64decode(data.partition(",")[2]) if data.startswith("data:") else Path(data).read_bytes()
        sent.append(PIL.Image.open(io.BytesIO(raw)).tobytes())
    return sent == [image.tobytes() for image in puzzle.images]


def test_what_cannot_be_asked_is_refused(tmp_path):
    from pixelword.jigsaw.inspect_task import visual_jigsaw

    frames = StoredFrames(tuple(busy(number // 7, 56, 56) for number in range(60)), 4.0)
    film = VideoJigsaw(clips=3, min_seconds=0, max_frames=2, screen=False)
    for name, task in (("films", film), ("frames", film.model_copy(update={"as_frames": True}))):
        puzzle = task.puzzle(VideoSample("f", frames), seed=0)
        assert isinstance(puzzle, Puzzle)
        write_puzzles([puzzle], tmp_path / name)
    with pytest.raises(InputError, match="as_frames=true"):
        visual_jigsaw(str(tmp_path / "films"))
    (sample,) = visual_jigsaw(str(tmp_path / "frames")).dataset
    assert sum(part.type == "image" for part in sample.input[0].content) == 6
    with pytest.raises(DataError):
        visual_jigsaw(str(tmp_path))


def test_the_entry_point_registers_the_task():
    from inspect_ai._util.registry import registry_lookup

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
    import_module(declared["inspect_ai"]["pixelword"])
    assert registry_lookup("task", "pixelword/visual_jigsaw") is not None
