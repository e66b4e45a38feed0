"""A judge asked outside of a run: trials whose truth is known, and rewritten prompts. What it answers is stored, and a
stored reply is never asked for again.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

from inspect_ai.model import Model
from PIL import Image

from pixelword.errors import DataError
from pixelword.realunify.costs import Purse
from pixelword.realunify.inspecting.asking import InspectAsker, Judge, Limits
from pixelword.realunify.inspecting.running import made
from pixelword.realunify.inspecting.stopping import Halt
from pixelword.realunify.judge import (
    Attempt,
    JudgeSettings,
    StageOne,
    Trial,
    TrialRecord,
    check_rewrite,
    every_one,
    run_trials,
    write_stage_one,
)
from pixelword.realunify.judge.settings import Prices
from pixelword.realunify.records import Call, ItemRecord
from pixelword.realunify.run_settings import ModelChoice
from pixelword.realunify.store import Store
from pixelword.realunify.taxonomy import Protocol


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
            return await asker.ask_judge(asker.judges[0], request, (shown,), attempt)

        # Inspect retries failures on the way itself.
        return asyncio.run(run_trials(ask, trials, settings.model_copy(update={"retries": 0}), at_once=at_once))


def check_rewrites(
    folder: Path,
    judge: str,
    *,
    votes: int = 1,
    url: str = "",
    prices: dict[str, Prices] | None = None,
    max_cost: float | None = None,
    at_once: int = 16,
) -> list[StageOne]:
    """Put every rewritten prompt of a run's stepwise UEG items to a text judge, and write what it says into the folder.

    Raises:
        As `ask_trials`; and DataError where there is no such item.
    """
    settings = JudgeSettings(model=judge, votes=votes, retries=0)
    model = made(ModelChoice(name=judge, args={"base_url": url} if url else {}), "judge")
    with Store(folder) as store:
        records = [record for record in store.items().values() if is_checked(record)]
        if not records:
            raise DataError(
                "this run has no rewritten prompts that were drawn and judged", got=folder, fix="run stepwise UEG first"
            )
        purse = Purse(prices or {}, max_cost)
        purse.count(store.replies.values())
        asker = asker_of(store, model, settings, purse, at_once)

        async def ask(request: str, attempt: Attempt) -> Call:
            return await asker.ask_judge(asker.judges[0], request, (), attempt)

        async def every() -> list[StageOne]:
            gate = asyncio.Semaphore(at_once)

            async def one(record: ItemRecord) -> StageOne:
                async with gate:
                    return await check_rewrite(ask, record, settings)

            return await every_one(map(one, records))

        found = asyncio.run(every())
        write_stage_one(folder, found)
    return found


def is_checked(record: ItemRecord) -> bool:
    """Whether an item has a rewritten prompt of the model's own and questions to poll it with."""
    return record.protocol == Protocol.STEPWISE and record.rewritten is not None and bool(record.polled)


def asker_of(store: Store, model: Model, settings: JudgeSettings, purse: Purse, at_once: int) -> InspectAsker:
    """An asker that has a judge and nobody else."""
    halt = Halt()
    halt.remember(store.replies.values())
    return InspectAsker(store, {}, (Judge(model, settings),), purse, halt, Limits(at_once=at_once), seed=0)
