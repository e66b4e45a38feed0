"""The mini's exact judge as a model like any other: it reads a picture's pixels and answers in the judge's wordings."""

from __future__ import annotations

import json
import re

from pixelword.errors import ImageError, InputError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Operation, Request
from pixelword.realunify.mini.polling import exact_verdict
from pixelword.realunify.paths import open_picture

QUESTION = re.compile(r"^Question: (.*)$", re.MULTILINE)


class ExactJudge(Backend):
    """Answers the mini's questions truly. It knows no other questions and is no judge of real pictures."""

    can = frozenset({Operation.UNDERSTAND})
    at_once = 64

    def __init__(self, model: str = "exact") -> None:
        self.model = model

    async def call(self, request: Request) -> Answer:
        if request.operation != Operation.UNDERSTAND or not request.pictures:
            fix = "give it the role of the judge only"
            raise NotSupported("the exact judge answers questions about pictures", got=request.operation, fix=fix)
        found = QUESTION.search(request.prompt)
        try:
            verdict = exact_verdict(open_picture(request.pictures[-1]), found[1].strip() if found else request.prompt)
        except (InputError, ImageError) as error:
            fix = "use a model as judge for other items"
            raise CallFailed(error.what, got=error.got, fix=fix, again=False) from error
        plain = "only reply yes or no" in request.prompt
        text = verdict if plain else json.dumps({"evidence": "read from the pixels", "answer": verdict})
        return Answer(text=text, reported=self.model)
