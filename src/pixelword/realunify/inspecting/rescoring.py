"""Scoring again: stored replies are read anew and stored pictures judged anew; no model but the judge is asked."""

from __future__ import annotations

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import model_roles as active_roles
from inspect_ai.solver import Generate, Solver, TaskState, solver

from pixelword.errors import ConfigError, DataError
from pixelword.realunify.dataset import Question
from pixelword.realunify.inspecting.asking import InspectAsker
from pixelword.realunify.inspecting.scoring import RECORD, realunify_scorer
from pixelword.realunify.inspecting.stopping import made_or_halted
from pixelword.realunify.inspecting.tasks import OpenRun, Steward, asker, panel
from pixelword.realunify.judge import decide
from pixelword.realunify.protocols import rescored
from pixelword.realunify.records import ItemRecord
from pixelword.realunify.run_settings import RunSettings


def rescoring_task(run: OpenRun, settings: RunSettings, scoring: str) -> Task:
    """A task whose samples are the finished items of a folder.

    Raises:
        DataError: the folder has none.
        ConfigError: a name that is taken by the run itself.
    """
    if scoring == "default" or not scoring.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConfigError("a scoring has a name of its own", got=scoring, fix="give --name of letters and digits")
    records = {name_of(record): record for record in run.store.items().values()}
    if not records:
        raise DataError("this folder has no finished item", got=run.store.folder, fix="run it first")
    return Task(
        dataset=MemoryDataset([Sample(id=name, input=record.prompt) for name, record in records.items()]),
        solver=rescoring_solver(records, run, settings, scoring),
        scorer=realunify_scorer(),
        metrics=[],
        name=f"realunify_score_{scoring}",
        fail_on_error=False,
        early_stopping=Steward(run),
    )


def name_of(record: ItemRecord) -> str:
    return f"{record.item} {record.protocol} {record.sample}"


@solver
def rescoring_solver(records: dict[str, ItemRecord], run: OpenRun, settings: RunSettings, scoring: str) -> Solver:
    """Scores one stored item again."""
    askers: list[InspectAsker] = []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        record = records[str(state.sample_id)]
        changed = dict(rescored(record, settings.mode, scoring))
        if record.picture is not None and record.polled:
            if not askers:
                askers.append(made_or_halted(run.halt, lambda: judge_only(run, settings)))
            questions = tuple(Question(each.question, each.expected) for each in record.polled)
            shown = askers[0].stored(record.picture)
            polled = await askers[0].poll(shown, questions, sample=record.sample)
            status, right = decide(polled)
            changed |= {"polled": polled, "status": status, "right": right}
        new = record.model_copy(update=changed)
        run.store.keep_item(new)
        state.metadata[RECORD] = new
        state.completed = True
        return state

    return solve


def judge_only(run: OpenRun, settings: RunSettings) -> InspectAsker:
    """An asker that has judges and nobody else.

    Raises:
        ConfigError: no judge.
    """
    if "judge" not in active_roles():
        raise ConfigError("scoring pictures again needs a judge", fix="give --judge")
    return asker({}, panel(settings), settings, run)
