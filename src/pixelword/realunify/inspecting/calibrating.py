"""Trials of a judge through Inspect's models, with the store before them: a stored reply is never asked for again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

from inspect_ai.model import Model
from PIL import Image

from pixelword.realunify.backends.calls import Operation
from pixelword.realunify.costs import Purse
from pixelword.realunify.inspecting.asking import Halt, InspectAsker, Limits
from pixelword.realunify.inspecting.running import made
from pixelword.realunify.judge import Attempt, JudgeSettings, Trial, TrialRecord, run_trials
from pixelword.realunify.judge.settings import Prices
from pixelword.realunify.records import Call
from pixelword.realunify.run_settings import ModelChoice
from pixelword.realunify.store import Store


def ask_trials(
    folder: Path,
    trials: Sequence[Trial],
    settings: JudgeSettings,
    *,
    url: str = "",
    prices: dict[str, Prices] | None = None,
    max_cost: float | None = None,
    at_once: int = 16,
) -> list[TrialRecord]:
    """Put every trial to the judge; replies and pictures are kept in the folder.

    Raises:
        RunStopped: a wrong key, a missing model, an exhausted quota, or the cap. What was answered is stored.
        BackendError: another process is writing into the folder.
    """
    choice = ModelChoice(name=settings.model, args={"base_url": url} if url else {})
    model = made(choice, "judge")
    with Store(folder) as store:
        purse = Purse(prices or {}, max_cost)
        purse.count(store.replies.values())
        asker = asker_of(store, model, settings, purse, at_once)

        async def ask(picture: Image.Image, request: str, attempt: Attempt) -> Call:
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            shown = asker.stored(store.keep_picture(stream.getvalue()))
            number = f"{attempt.vote}.{attempt.number}"
            return await asker.ask("judge", Operation.UNDERSTAND, request, (shown,), attempt=number)

        # Inspect retries failures on the way itself.
        return asyncio.run(run_trials(ask, trials, settings.model_copy(update={"retries": 0}), at_once=at_once))


def asker_of(store: Store, model: Model, settings: JudgeSettings, purse: Purse, at_once: int) -> InspectAsker:
    """An asker that has a judge and nobody else."""
    told = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    limits = Limits(at_once=at_once)
    return InspectAsker(store, {"judge": model}, settings, purse, Halt(), limits, {"judge": told}, 0)
