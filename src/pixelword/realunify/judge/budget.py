"""What a judge will cost, said before it is asked. The cap while it is asked is the `Purse` of the whole run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixelword.realunify.judge.settings import JudgeSettings
from pixelword.realunify.judge.wordings import WORDINGS

LETTERS_PER_TOKEN = 4
REPLY_TOKENS = {"paper_v1": 3, "strict_v1": 45, "strict_all_v1": 45}
"""For each question; a judge that reasons first writes hundreds, up to its `max_tokens`."""


@dataclass(frozen=True)
class Forecast:
    """What judging will take: `cost` with replies of usual length, `most` when each is as long as it may be."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost: float
    most: float
    currency: str

    def __str__(self) -> str:
        if self.most == 0:
            return f"{self.requests} requests to the judge, about {self.input_tokens:,} tokens in, no price given"
        return f"{self.requests} requests to the judge, about {self.cost:.2f} {self.currency}, at most {self.most:.2f}"


def forecast(pictures: Iterable[Sequence[str]], settings: JudgeSettings) -> Forecast:
    """The estimate for pictures with these questions, without retries.

    Args:
        pictures: the questions of each picture.
    """
    wording, requests, letters, questions = WORDINGS[settings.wording], 0, 0, 0
    for asked in pictures:
        texts = [request.text for request in wording.requests(asked)] if asked else []
        requests += len(texts)
        letters += sum(map(len, texts))
        questions += len(asked)
    requests, questions, letters = (settings.votes * number for number in (requests, questions, letters))
    tokens_in = requests * settings.picture_tokens + math.ceil(letters / LETTERS_PER_TOKEN)
    tokens_out = min(questions * REPLY_TOKENS[wording.name], requests * settings.max_tokens)
    fee = requests * settings.prices.per_request
    prices = settings.prices
    cost = prices.cost(tokens_in, tokens_out) - prices.per_request + fee
    most = prices.cost(tokens_in, requests * settings.max_tokens) - prices.per_request + fee
    return Forecast(requests, tokens_in, tokens_out, max(0.0, cost), max(0.0, most), prices.currency)
