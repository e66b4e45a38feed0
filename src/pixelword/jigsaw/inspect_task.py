"""Puzzles as a task of Inspect AI, so that any model it knows can be asked.

    pixelword jigsaw export pictures --to jsonl --out held_out
    inspect eval pixelword/visual_jigsaw --model openai/gpt-4o -T puzzles=held_out

Scores hold `exact` (0 or 1) and `places`; their means stand per kind and size of puzzle. `pixelword jigsaw eval` asks
the same and adds intervals and a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import inspect_ai
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig, Model, ModelOutput
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from pixelword.errors import BackendError, InputError
from pixelword.jigsaw.puzzle import Puzzle
from pixelword.jigsaw.puzzle_files import read_lines
from pixelword.jigsaw.rewards import AnswerRule
from pixelword.jigsaw.scoring import Asked, Reply, score

MOST_TOKENS = 2048
"""Longest response. Visual Jigsaw, section 4.1."""
CUT = frozenset({"max_tokens", "model_length"})
"""Inspect's words for what the length limit ended."""


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
    return task_of((sample_of(puzzle, files) for puzzle, files in read_lines(puzzles)), max_tokens)


Keep = Callable[[str, Reply], None]


def task_of(samples: Iterable[Sample], max_tokens: int, keep: Keep | None = None) -> Task:
    """A task of these samples.

    Args:
        keep: called with the id and the reply of each puzzle as soon as it is answered.
    """
    return Task(
        dataset=MemoryDataset(list(samples), name="visual_jigsaw"),
        solver=asking(keep),
        scorer=jigsaw_scorer(),
        config=GenerateConfig(max_tokens=max_tokens, temperature=0.0),
        # One puzzle that a server refuses is a failure of that puzzle, not of the thousand others.
        fail_on_error=False,
    )


@solver
def asking(keep: Keep | None = None) -> Solver:
    """Asks once. A sample without a reply ends with an error, because Inspect would count it as wrong."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        answered = await generate(state)
        reply = reply_of(answered.output)
        if reply.text is None:
            raise BackendError("no reply came", got=reply.trouble, fix="ask again")
        if keep is not None:
            keep(str(state.sample_id), reply)
        return answered

    return solve


def ask_all(samples: Sequence[Sample], model: Model, *, max_tokens: int, logs: Path, keep: Keep) -> dict[str, Reply]:
    """Ask a model all of these at once, with Inspect's concurrency, retries and log.

    Args:
        logs: folder of Inspect's logs.
        keep: called with each reply as soon as it is there, so that a run that is killed loses none.

    Returns:
        Replies by id; those of puzzles that broke say why.

    Raises:
        BackendError: the task could not run, or was stopped.
    """
    found: dict[str, Reply] = {}
    task = task_of(samples, max_tokens, keep)
    for log in inspect_ai.eval(task, model=model, log_dir=str(logs), display="none"):
        if log.error is not None:
            raise BackendError("Inspect could not run the task", got=log.error.message, fix="see its log")
        if log.status != "success":
            raise BackendError("the evaluation was stopped", got=log.status, fix="the same command asks what is left")
        found |= replies_of(log)
    return found


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
        judged = score(asked_of(state), reply_of(state.output))
        return Score(
            value={"exact": float(judged.exact), "places": judged.places, "reward": judged.reward},
            answer=", ".join(map(str, judged.answer)),
            explanation=f"{judged.status}; right is {target.text}",
        )

    return judge


def reply_of(output: ModelOutput) -> Reply:
    """What came back. What the server kept back, or broke, is no reply of the model's."""
    if output.error or not output.choices:
        return Reply(None, trouble=output.error or "the model returned nothing")
    if output.stop_reason == "content_filter":
        return Reply(None, trouble="the server's content filter kept the reply back")
    return Reply(output.completion, cut=output.stop_reason in CUT)


def replies_of(log: EvalLog) -> dict[str, Reply]:
    """What came back for each puzzle of a log, by its id; what broke keeps its words."""
    return {
        str(sample.id): Reply(None, trouble=sample.error.message) if sample.error else reply_of(sample.output)
        for sample in log.samples or []
    }
