"""One run of one command: the tasks of a plan through Inspect, one after the other, into one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai import Task, eval
from inspect_ai.log import EvalLog
from inspect_ai.model import GenerateConfig, Model, get_model

from pixelword.errors import BackendError, ConfigError
from pixelword.realunify.inspecting.rescoring import rescoring_task
from pixelword.realunify.inspecting.tasks import OPEN_RUNS, close_runs, make_task, open_run
from pixelword.realunify.run_settings import ModelChoice, Models, RunPlan
from pixelword.realunify.taxonomy import Track

AT_ONCE = 16
"""Samples on their way where nothing else is said."""


def run_plan(plan: RunPlan, *, display: str = "none") -> list[EvalLog]:
    """Run every task of a plan; what the folder holds already is not asked again.

    Raises:
        RunStopped: a wrong key, a missing model, an exhausted quota, or the cap. What was answered is stored.
        BackendError: another process is running in this folder, or Inspect could not finish a task.
        ConfigError, DataError: the plan or the data cannot be used.
    """
    if Track.UEG in plan.tracks and not plan.models.judge and plan.run.data != "mini":
        raise ConfigError("UEG needs a judge", fix="give --judge, such as pixelword-openai/Qwen/Qwen3-VL-32B-Instruct")
    with opened(plan):
        # Made one by one, so that the second starts with what the first has stored.
        return [evaluate(make_task(track, settings), plan, display) for track, settings in plan.tasks()]


def score_again(plan: RunPlan, scoring: str, *, display: str = "none") -> EvalLog:
    """Read every stored reply and judge every stored picture again, without the model, under another name.

    Raises:
        As `run_plan`.
    """
    with opened(plan):
        run = open_run(plan.run)
        # Whether the mini's own judge may judge is decided by what was drawn, not by what this command says.
        sources = {start.data.source for start in run.store.runs()} or {plan.run.data}
        settings = plan.run.model_copy(update={"data": "mini" if sources == {"mini"} else max(sources - {"mini"})})
        plan = plan.model_copy(update={"run": settings})
        return evaluate(rescoring_task(run, settings, scoring), plan, display, judge_only=True)


@contextmanager
def opened(plan: RunPlan) -> Iterator[None]:
    """The folder, locked from here to the end."""
    open_run(plan.run)
    try:
        yield
    finally:
        close_runs()


def evaluate(task: Task, plan: RunPlan, display: str, *, judge_only: bool = False) -> EvalLog:
    """One task through Inspect."""
    run = next(iter(OPEN_RUNS.values()))
    roles = roles_of(plan.models, mini=plan.run.data == "mini", judge_only=judge_only)
    run.models.extend(model for models in roles.values() for model in models)
    given = {role: models if len(models) > 1 else models[0] for role, models in roles.items()}
    (log,) = eval(
        task,
        model=given.pop("model", None),
        model_roles=given,
        display=display,  # type: ignore[arg-type]
        log_dir=str(run.store.folder / "logs"),
        max_samples=plan.run.at_once or AT_ONCE,
        log_realtime=False,
        log_level="warning",
        fail_on_error=False,
        acp_server=False,
        ctl_server=False,
    )
    if run.halt.reason is not None:
        run.halt.check()
    if log.status != "success":
        raise BackendError(
            "the run did not end well",
            got=log.error.message if log.error else log.status,
            fix="the same command goes on from here",
        )
    return log


def roles_of(models: Models, *, mini: bool, judge_only: bool) -> dict[str, list[Model]]:
    """Role -> its model, or several judges. The mini's own judge is exact, unless another is given.

    Raises:
        ConfigError: nobody to ask.
    """
    chosen = {role: [choice] for role in ("model", "understander", "generator") if (choice := getattr(models, role))}
    if models.judge or mini:
        chosen["judge"] = list(models.judge) or [ModelChoice(name="pixelword-exact/mini")]
    missing = set() if "model" in chosen else {"understander", "generator"} - set(chosen)
    if len(missing) == 2 and not judge_only:
        raise ConfigError("there is no model to ask", fix="give --model, or --understander and --generator")
    # A role that no step needs may stay empty; a step that needs it says "not supported".
    chosen |= {role: [ModelChoice(name="pixelword-absent/none")] for role in missing}
    return {role: [made(choice, role) for choice in choices] for role, choices in chosen.items()}


def made(choice: ModelChoice, role: str) -> Model:
    """The model that a choice names.

    Raises:
        ConfigError: a key among its arguments, which Inspect's log would keep, or no such model.
    """
    if secret := [name for name in choice.args if name.lower().endswith(("key", "secret", "password", "_token"))]:
        fix = "set it in the environment, see key_env"
        raise ConfigError("a key given as an argument would stand in the log", got=", ".join(secret), fix=fix)
    config = GenerateConfig(**choice.config)
    try:
        return get_model(choice.name, config=config, memoize=False, **choice.args)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the model of {role} cannot be made", got=error, fix="check its name and args") from error
