"""What a judge costs: an estimate before, a cap during, a bill after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pixelword.realunify.judge.settings import JudgeSettings
from pixelword.realunify.judge.wordings import WORDINGS
from pixelword.realunify.records import Call, Outcome

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


@dataclass(frozen=True)
class Bill:
    """What judging took."""

    requests: int
    failed: int
    input_tokens: int
    output_tokens: int
    seconds: float
    cost: float
    currency: str

    def __str__(self) -> str:
        return (
            f"{self.requests} requests ({self.failed} failed), {self.input_tokens:,} tokens in, "
            f"{self.output_tokens:,} out, {self.seconds:.0f} s, {self.cost:.2f} {self.currency}"
        )


@dataclass
class Ledger:
    """Counts what is spent while a judge works, and says when its cap is reached.

    A request is reserved before it is sent, at the price of the longest reply, so the cap holds also with many
    requests on their way.
    """

    settings: JudgeSettings
    spent: float = 0.0
    reserved: float = 0.0
    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    stopped: bool = field(default=False)
    """Whether a request was held back by the cap."""

    def price(self, request: str) -> float:
        """The most that a request can cost."""
        tokens = self.settings.picture_tokens + math.ceil(len(request) / LETTERS_PER_TOKEN)
        return self.settings.prices.cost(tokens, self.settings.max_tokens)

    def reserve(self, request: str) -> bool:
        """Whether the request may be sent; if so, its price is set aside until `settle`."""
        price = self.price(request)
        if self.settings.cap is not None and self.spent + self.reserved + price > self.settings.cap:
            self.stopped = True
            return False
        self.reserved += price
        return True

    def settle(self, request: str, call: Call) -> None:
        """Put the real cost of a finished request in the place of its reserved price."""
        self.reserved = max(0.0, self.reserved - self.price(request))
        self.spent += cost_of(call, self.settings)
        self.requests += 1
        self.failed += not call.answered
        self.input_tokens += call.usage.input_tokens
        self.output_tokens += call.usage.output_tokens
        self.seconds += call.seconds

    def bill(self) -> Bill:
        return Bill(
            self.requests,
            self.failed,
            self.input_tokens,
            self.output_tokens,
            self.seconds,
            self.spent,
            self.settings.prices.currency,
        )


def cost_of(call: Call, settings: JudgeSettings) -> float:
    """What one call cost: what it says itself, else its tokens at the list prices. A failure costs nothing known."""
    if call.usage.cost or call.outcome in {Outcome.FAILED, Outcome.TIMEOUT}:
        return call.usage.cost
    return settings.prices.cost(call.usage.input_tokens, call.usage.output_tokens)
