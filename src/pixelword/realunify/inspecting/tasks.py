"""The two tasks. A sample is an item; its solver asks under one protocol, its score comes from the item's record."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import Model, get_model
from inspect_ai.model import model_roles as active_roles
from inspect_ai.scorer import SampleScore
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import EarlyStop

from pixelword import __version__
from pixelword.errors import ConfigError, DataError
from pixelword.realunify.backends.calls import RunStopped
from pixelword.realunify.costs import Purse, read_prices
from pixelword.realunify.inspecting.asking import Halt, InspectAsker, Limits, made_or_halted
from pixelword.realunify.inspecting.scoring import RECORD, realunify_scorer, realunify_scores
from pixelword.realunify.judge import JudgeSettings
from pixelword.realunify.protocols import Item, Rules, run_item
from pixelword.realunify.records import Role
from pixelword.realunify.run_settings import RunSettings
from pixelword.realunify.sources import MiniSize, Source, chosen, read_source
from pixelword.realunify.store import RunRecord, Store
from pixelword.realunify.taxonomy import Protocol, Track


@dataclass
class OpenRun:
    """A folder that this process writes to, with what its tasks share: the money and the reason to stop."""

    store: Store
    purse: Purse
    halt: Halt
    models: list[Model] = field(default_factory=list)
    """Those whose connections and processes are given back when a task ends; only those made for this run."""


OPEN_RUNS: dict[Path, OpenRun] = {}


@task
def realunify_ueg(**settings: Any) -> Task:
    """Understanding enhances generation: a prompt that has to be understood before it is drawn.

    Args:
        settings: the fields of `RunSettings`, each as `-T name=value`.
    """
    return make_task(Track.UEG, RunSettings(**settings))


@task
def realunify_geu(**settings: Any) -> Task:
    """Generation enhances understanding: a question about a picture that a drawing would help to answer.

    Args:
        settings: the fields of `RunSettings`, each as `-T name=value`.
    """
    return make_task(Track.GEU, RunSettings(**settings))


def open_run(settings: RunSettings) -> OpenRun:
    """The run's folder, locked for this process; the tasks of one evaluation share it."""
    place = Path(settings.out).resolve()
    if place not in OPEN_RUNS:
        prices = read_prices(Path(settings.prices) if settings.prices else None)
        purse = Purse(prices, settings.max_cost)
        store = Store(place).open()
        purse.count(store.replies.values())
        OPEN_RUNS[place] = OpenRun(store, purse, Halt())
    return OPEN_RUNS[place]


def close_runs() -> None:
    """Give back every folder."""
    while OPEN_RUNS:
        OPEN_RUNS.popitem()[1].store.close()


def make_task(track: Track, settings: RunSettings) -> Task:
    """A task with its store open. What it is to ask is written down when it starts."""
    opened = open_run(settings)
    store, halt = opened.store, opened.halt
    mini = MiniSize(settings.mini_number, settings.mini_seed, settings.mini_side)
    source = read_source(
        settings.data,
        store.folder,
        mini,
        accept_license=settings.accept_data_license,
        revision=settings.revision,
        strict=settings.strict_data,
    )
    items, expected = chosen(
        source.benchmark, track, settings.protocol, limit=settings.limit, categories=settings.categories
    )
    named = [str(item) for item in expected]
    record = RunRecord(
        started="",
        track=str(track),
        protocol=settings.protocol,
        models={},
        data=source.record,
        expected=tuple(named),
        settings=settings.model_dump(mode="json", exclude={"out"}),
        versions={"pixelword": __version__, "inspect-ai": version("inspect-ai")},
    )
    return Task(
        dataset=MemoryDataset([sample(item) for item in items], name=f"realunify-{track.lower()}"),
        solver=realunify_solver(
            track, settings, store, {str(item.id): item for item in items}, source, opened.purse, halt
        ),
        scorer=realunify_scorer(),
        metrics=[realunify_scores(named, str(track), str(settings.protocol))],
        epochs=settings.samples,
        fail_on_error=False,
        early_stopping=Steward(opened, record),
        metadata={"protocol": str(settings.protocol), "store": str(store.folder)},
    )


def sample(item: Item) -> Sample:
    """An item as Inspect holds it: texts, and the path of its image."""
    if item.id.track == Track.UEG:
        return Sample(id=str(item.id), input=item.prompt or "", target="", metadata={"category": item.id.category})  # type: ignore[union-attr]
    return Sample(
        id=str(item.id),
        input=item.evaluation_prompt,  # type: ignore[union-attr]
        target=item.answer,  # type: ignore[union-attr]
        metadata={"category": item.id.category, "image": str(item.image)},  # type: ignore[union-attr]
    )


@solver
def realunify_solver(
    track: Track,
    settings: RunSettings,
    store: Store,
    items: dict[str, Item],
    source: Source,
    purse: Purse,
    halt: Halt,
) -> Solver:
    """Asks an item under the protocol and stores its record."""
    askers: list[InspectAsker] = []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if not askers:
            askers.append(made_or_halted(halt, lambda: make_asker(track, settings, store, purse, halt)))
        rules = Rules(source.benchmark.folder, settings.mode, settings.prompt_limit)
        record = await run_item(
            items[str(state.sample_id)], settings.protocol, askers[0], rules, sample=state.epoch - 1
        )
        store.keep_item(record)
        state.metadata[RECORD] = record
        state.output.completion = record.read or record.note or str(record.status)
        state.completed = True
        return state

    return solve


def make_asker(track: Track, settings: RunSettings, store: Store, purse: Purse, halt: Halt) -> InspectAsker:
    """The models of the roles that this task needs.

    Raises:
        ConfigError: a role without a model.
    """
    roles: list[Role] = ["understander", "generator"]
    models: dict[Role, Model] = {role: get_model(role=role) for role in roles}
    if track == Track.UEG and "judge" not in active_roles() and settings.data != "mini":
        raise ConfigError("UEG needs a judge", fix="give --model-role judge=...")
    if track == Track.UEG:
        # The mini's own judge knows the truth.
        models["judge"] = get_model(role="judge", default="pixelword-exact/mini")
    if settings.protocol == Protocol.ORACLE_PAIR and str(models["understander"]) == str(models["generator"]):
        raise ConfigError(
            "a pair has two models", got=str(models["generator"]), fix="give understander and generator, or stepwise"
        )
    judge = JudgeSettings(
        model=str(models.get("judge", "none")),
        wording=settings.judge_wording,
        votes=settings.judge_votes,
        retries=0,  # Inspect's own come first
    )
    told = {role: dict(settings.settings.get(role, {})) for role in (*roles, "judge")}
    told["judge"] = {"temperature": judge.temperature, "max_tokens": judge.max_tokens, **told["judge"]}
    limits = Limits(settings.retries, settings.timeout, settings.at_once)
    return InspectAsker(store, models, judge, purse, halt, limits, told, settings.seed)


class Steward:
    """Keeps samples from starting once the run is stopped, and gives back what the models hold.

    Inspect asks it before each sample under the name of early stopping.

    Args:
        record: what is written down when the task starts; `models` are filled in then.
    """

    def __init__(self, run: OpenRun, record: RunRecord | None = None) -> None:
        self.run, self.record = run, record

    async def start_task(self, task: Any, samples: list[Sample], epochs: int) -> str:
        if self.record is not None:
            roles = task.model_roles or {}
            models = {role: getattr(given, "model", str(given)) for role, given in roles.items()}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = self.record.model_copy(update={"started": now, "models": {"model": task.model, **models}})
            try:
                self.run.store.same_run(record)
            except DataError as error:
                self.run.halt.reason = RunStopped(error.what, got=error.got, fix=error.fix)
            else:
                self.run.store.keep_run(record)
        return "pixelword"

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:
        reason = self.run.halt.reason
        return None if reason is None else EarlyStop(id=id, epoch=epoch, reason=reason.what)

    async def complete_sample(self, id: str | int, epoch: int, scores: dict[str, SampleScore]) -> None:
        """Nothing: what was finished is in the store already."""

    async def complete_task(self) -> dict[str, Any]:
        """Raises what stopped the run, so that Inspect calls it failed and not finished."""
        while self.run.models:
            await self.run.models.pop().api.aclose()
        self.run.halt.check()
        return {}
