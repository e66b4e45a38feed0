"""Puzzles as a task of Inspect AI, so that any model it knows can be asked.

    pixelword jigsaw export pictures --to jsonl --out held_out
    inspect eval pixelword/visual_jigsaw --model openai/gpt-4o -T puzzles=held_out

Scores hold `exact` (0 or 1) and `places`; their means stand per kind and size of puzzle. `pixelword jigsaw eval` asks
the same and adds intervals and a page.
"""

from __future__ import annotations

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from pixelword.errors import InputError
from pixelword.jigsaw.puzzle import Puzzle
from pixelword.jigsaw.puzzle_files import read_lines
from pixelword.jigsaw.rewards import AnswerRule
from pixelword.jigsaw.scoring import Asked, Reply, score

MOST_TOKENS = 2048
"""Longest response. Visual Jigsaw, section 4.1."""


@task
def visual_jigsaw(puzzles: str, max_tokens: int = MOST_TOKENS) -> Task:
    """Puzzles of a folder that `pixelword jigsaw export --to jsonl` wrote.

    Args:
        puzzles: the folder.
        max_tokens: longest response.

    Raises:
        DataError: it is no such folder.
        InputError: it holds films; only pictures can be sent to every model.
    """
    return Task(
        dataset=MemoryDataset(
            [sample_of(puzzle, files) for puzzle, files in read_lines(puzzles)], name="visual_jigsaw"
        ),
        solver=generate(),
        scorer=jigsaw_scorer(),
        config=GenerateConfig(max_tokens=max_tokens, temperature=0.0),
        # One puzzle that a server refuses is a failure of that puzzle, not of the thousand others.
        fail_on_error=False,
    )


def sample_of(puzzle: Puzzle, files: list[Path]) -> Sample:
    """One puzzle as a message of texts and pictures in their places.

    Args:
        files: the pictures, as many as `puzzle.images`.
    """
    if any(slot.kind == "video" for slot in puzzle.slots):
        raise InputError(
            "films are not sent as such", got=puzzle.key.name, fix="export with --set as_frames=true, or use the model"
        )
    pictures = iter(files)
    content = [
        ContentText(text=part) if isinstance(part, str) else ContentImage(image=str(next(pictures)))
        for part in puzzle.parts()
    ]
    asked = Asked.of(puzzle)
    return Sample(
        id=puzzle.key.name,
        input=[ChatMessageUser(content=list(content))],
        target=", ".join(map(str, puzzle.target)),
        metadata={
            "task": asked.task,
            "difficulty": asked.difficulty,
            "sample": asked.sample,
            "target": list(asked.target),
            "grid": asked.grid,
            "alike": asked.alike,
            "rule": asked.rule.model_dump(),
        },
    )


def asked_of(sample: Sample | TaskState) -> Asked:
    """The question of a sample, from its metadata."""
    known = sample.metadata or {}
    grid = tuple(known["grid"]) if known["grid"] else None
    rule = AnswerRule.model_validate(known["rule"])
    alike = tuple(tuple(group) for group in known["alike"])
    return Asked(known["sample"], known["task"], known["difficulty"], tuple(known["target"]), rule, grid, alike)


@scorer(
    metrics={
        "exact": [grouped(mean(), "difficulty"), stderr()],
        "places": [grouped(mean(), "difficulty"), stderr()],
        "reward": [mean()],
    }
)
def jigsaw_scorer() -> Scorer:
    """Judges each response by the rule of its puzzle."""

    async def judge(state: TaskState, target: Target) -> Score:
        reply = Reply(state.output.completion, cut=state.output.stop_reason in {"max_tokens", "model_length"})
        judged = score(asked_of(state), reply)
        return Score(
            value={"exact": float(judged.exact), "places": judged.places, "reward": judged.reward},
            answer=", ".join(map(str, judged.answer)),
            explanation=f"{judged.status}; right is {target.text}",
        )

    return judge


def replies_of(log: EvalLog) -> dict[str, Reply]:
    """What came back for each puzzle of a log, by its id; what broke keeps its words."""
    found = {}
    for sample in log.samples or []:
        if sample.error is not None:
            found[str(sample.id)] = Reply(None, trouble=sample.error.message)
        elif sample.output.error or not sample.output.choices:
            found[str(sample.id)] = Reply(None, trouble=sample.output.error or "the model returned nothing")
        else:
            cut = sample.output.stop_reason in {"max_tokens", "model_length"}
            found[str(sample.id)] = Reply(sample.output.completion, cut=cut)
    return found
