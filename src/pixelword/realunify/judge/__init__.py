"""The judge as an instrument: what it is asked, how it is read, how often it errs, and what it costs.

It knows no library of models. Whoever has one hands in an asynchronous function that sends a picture and a request
and returns the `Call` that came of it:

    async def ask(picture, request, attempt):
        return await my_model(picture, request, seed=attempt.vote)

    polled = await poll(ask, picture, item.questions, JudgeSettings(model="Qwen/Qwen3-VL-32B-Instruct", votes=3))
    status, right = decide(polled)
"""

from pixelword.realunify.judge.budget import Forecast, forecast
from pixelword.realunify.judge.calibration import (
    CalibrationBlock,
    Corrected,
    ErrorRate,
    TrialRecord,
    calibration_block,
    corrected_score,
    read_trials,
    run_trials,
    write_trials,
)
from pixelword.realunify.judge.panel import (
    Agreement,
    agreements,
    beside,
    check_names,
    disagreement,
    judge_verdicts,
    poll_panel,
)
from pixelword.realunify.judge.polling import Ask, Attempt, decide, every_one, majority, poll
from pixelword.realunify.judge.probes import (
    Trial,
    calibration_trials,
    mini_trials,
    negated,
    probes,
    questions_of_pictures,
)
from pixelword.realunify.judge.settings import PRESETS, JudgeSettings, Prices, preset, preset_of
from pixelword.realunify.judge.stage_one import StageOne, check_rewrite, read_stage_one, write_stage_one
from pixelword.realunify.judge.wordings import ANSWER_SCHEMA, ANSWERS_SCHEMA, WORDINGS, Request, Wording

__all__ = [
    "ANSWERS_SCHEMA",
    "ANSWER_SCHEMA",
    "PRESETS",
    "WORDINGS",
    "Agreement",
    "Ask",
    "Attempt",
    "CalibrationBlock",
    "Corrected",
    "ErrorRate",
    "Forecast",
    "JudgeSettings",
    "Prices",
    "Request",
    "StageOne",
    "Trial",
    "TrialRecord",
    "Wording",
    "agreements",
    "beside",
    "calibration_block",
    "calibration_trials",
    "check_names",
    "check_rewrite",
    "corrected_score",
    "decide",
    "disagreement",
    "every_one",
    "forecast",
    "judge_verdicts",
    "majority",
    "mini_trials",
    "negated",
    "poll",
    "poll_panel",
    "preset",
    "preset_of",
    "probes",
    "questions_of_pictures",
    "read_stage_one",
    "read_trials",
    "run_trials",
    "write_stage_one",
    "write_trials",
]
