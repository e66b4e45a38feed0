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
from pixelword.realunify.costs import Purse, read_prices
from pixelword.realunify.inspecting.asking import InspectAsker, Judge, Limits
from pixelword.realunify.inspecting.scoring import RECORD, realunify_scorer, realunify_scores
from pixelword.realunify.inspecting.stopping import Halt, made_or_halted
from pixelword.realunify.judge import JudgeSettings, preset_of
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
        halt = Halt()
        halt.remember(store.replies.values())
        OPEN_RUNS[place] = OpenRun(store, purse, halt)
    return OPEN_RUNS[place]


def close_runs() -> None:
    """Give back every folder."""
    while OPEN_RUNS:
        OPEN_RUNS.popitem()[1].store.close()


def make_task(track: Track, settings: RunSettings) -> Task:
    """A task with its store open. What it is to ask is written down when it starts."""
    opened = open_run(settings)
    store = opened.store
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
        solver=realunify_solver(track, settings, opened, {str(item.id): item for item in items}, source),
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
    track: Track, settings: RunSettings, run: OpenRun, items: dict[str, Item], source: Source
) -> Solver:
    """Asks an item under the protocol and stores its record."""
    askers: list[InspectAsker] = []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if not askers:
            askers.append(made_or_halted(run.halt, lambda: make_asker(track, settings, run)))
        rules = Rules(source.benchmark.folder, settings.mode, settings.prompt_limit)
        record = await run_item(
            items[str(state.sample_id)], settings.protocol, askers[0], rules, sample=state.epoch - 1
        )
        run.store.keep_item(record)
        state.metadata[RECORD] = record
        state.output.completion = record.read or record.note or str(record.status)
        state.completed = True
        return state

    return solve


def make_asker(track: Track, settings: RunSettings, run: OpenRun) -> InspectAsker:
    """The models of the roles that this task needs.

    Raises:
        ConfigError: a role without a model, or models that cannot be asked together.
    """
    models: dict[Role, Model] = {
        "understander": get_model(role="understander"),
        "generator": get_model(role="generator"),
    }
    drawer, reader = models["generator"], models["understander"]
    same = (str(drawer), drawer.api.base_url) == (str(reader), reader.api.base_url)
    if settings.protocol == Protocol.ORACLE_PAIR and same:
        raise ConfigError("a pair has two models", got=drawer, fix="give understander and generator, or stepwise")
    return asker(models, panel(settings) if track == Track.UEG else (), settings, run)


def panel(settings: RunSettings) -> tuple[Judge, ...]:
    """The judges that have the role; on the mini the exact one, where none has.

    Raises:
        ConfigError: no judge for data that needs one.
    """
    given = active_roles().get("judge")
    if given is None and settings.data != "mini":
        raise ConfigError("UEG needs a judge", fix="give --model-role judge=...")
    # The mini's own judge knows the truth.
    models = given if isinstance(given, list) else [given or get_model("pixelword-exact/mini")]
    return tuple(Judge(model, judge_settings(str(model), settings)) for model in models)


def judge_settings(model: str, settings: RunSettings) -> JudgeSettings:
    """What a judge is, with the limits of its preset where it has one. It is Inspect that retries its calls."""
    known = preset_of(model) or JudgeSettings(model=model)
    return known.model_copy(update={"wording": settings.judge_wording, "votes": settings.judge_votes, "retries": 0})


def asker(models: dict[Role, Model], judges: tuple[Judge, ...], settings: RunSettings, run: OpenRun) -> InspectAsker:
    """Asks these models with the settings of the run."""
    told: dict[Role, dict[str, Any]] = {
        role: dict(settings.settings.get(role, {})) for role in ("understander", "generator", "judge")
    }
    limits = Limits(settings.retries, settings.timeout, settings.at_once)
    return InspectAsker(run.store, models, judges, run.purse, run.halt, limits, told, settings.seed)


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
            roles = {"model": task.model} | {role: named(given) for role, given in (task.model_roles or {}).items()}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = self.record.model_copy(update={"started": now, "models": roles})
            try:
                self.run.store.begin(record)
            except DataError as error:
                self.run.halt.stop(error.what, got=error.got, fix=error.fix)
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


def named(given: Any) -> str:
    """The name of the model, or of the models, that Inspect holds for a role."""
    return ", ".join(map(named, given)) if isinstance(given, list) else str(getattr(given, "model", given))
