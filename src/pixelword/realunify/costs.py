"""What calls cost, and the cap of a run: prices from a file, one line for each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pixelword.config import read_yaml
from pixelword.errors import ConfigError, nearest
from pixelword.realunify.backends.calls import RunStopped
from pixelword.realunify.judge.settings import Prices
from pixelword.realunify.records import Call

FREE = frozenset(
    {
        "pixelword-absent",
        "pixelword-diffusers",
        "pixelword-exact",
        "pixelword-native",
        "pixelword-transformers",
        "pixelword-worker",
    }
)
"""Providers on one's own machine."""


def read_prices(path: Path | None) -> dict[str, Prices]:
    """Model -> prices from a YAML file such as

        gpt-image-2: {input_per_million: 8, output_per_million: 30, per_request: 0.02}

    A model of one's own machine that costs nothing has the line `name: {}`.

    Raises:
        ConfigError: the file cannot be read, a line is no mapping, or it has an unknown key or a negative number.
    """
    values = {} if path is None else read_yaml(path)
    found = {}
    for model, prices in values.items():
        try:
            found[str(model)] = Prices.model_validate(prices)
        except ConfigError as error:
            raise ConfigError(f"the price of {model}: {error.what}", got=error.got, fix=error.fix) from error
    return found


@dataclass
class Purse:
    """What a run has spent, over all its starts, and may spend.

    Before a call its price is set aside: the highest that a call of this model had so far, or an estimate for the
    first. So the cap holds also with many calls on their way, as far as the next costs no more than the last.

    Raises:
        ConfigError: a cap without any price, which would never be reached.
    """

    prices: dict[str, Prices]
    cap: float | None = None
    spent: float = 0.0
    set_aside: float = 0.0
    highest: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cap is not None and not self.prices:
            raise ConfigError(
                "a cap needs prices, or it is never reached",
                got=f"max_cost {self.cap:g} and no price",
                fix="give --prices a YAML file with a line for each model, or leave --max-cost out",
            )

    def count(self, calls: Iterable[Call]) -> None:
        """Add calls that an earlier start stored."""
        for call in calls:
            self.add(call.model, call.usage.cost)

    def add(self, model: str, cost: float) -> None:
        """Add the cost of a finished call."""
        self.spent += cost
        if cost > 0:
            self.highest[model] = max(cost, self.highest.get(model, 0.0))

    def check_prices(self, models: Iterable[str]) -> None:
        """Refuse a cap that a model without a price would never reach.

        Raises:
            ConfigError: names the model, and the line of the price file that it may be meant by.
        """
        if self.cap is None:
            return
        for model in models:
            if not self.knows(model):
                name = model.partition("/")[2] or model
                raise ConfigError(
                    "a cap needs the price of every model, or it is never reached",
                    got=f"{model}; priced are {', '.join(self.prices)}",
                    fix=f"{nearest(name, self.prices)}; a model that costs nothing has the line '{name}: {{}}'",
                )

    def reserve(self, model: str, *, tokens: tuple[int, int] = (0, 0)) -> float:
        """Set the price of a call aside; give it to `release` when the call is done.

        Args:
            tokens: in and out, roughly; they count as long as no call of this model has ended.

        Raises:
            RunStopped: the cap does not allow for it.
        """
        price = self.highest[model] if model in self.highest else self.price(model, *tokens)
        if self.cap is not None and self.spent + self.set_aside + price > self.cap:
            raise RunStopped(
                "the cost cap is reached; what was answered is stored",
                got=f"{self.spent:.2f} of {self.cap:.2f} spent, about {price:.2g} for the next call",
                fix="give the same command with a higher --max-cost, and it goes on",
            )
        self.set_aside += price
        return price

    def release(self, price: float) -> None:
        """The call is done, whatever became of it."""
        self.set_aside -= price

    def knows(self, model: str) -> bool:
        """Whether a model has a price, or costs nothing because it runs here."""
        return model.partition("/")[0] in FREE or self.prices_of(model) is not None

    def prices_of(self, model: str) -> Prices | None:
        """By the model's whole name, or by what follows its provider."""
        found = self.prices.get(model)
        return self.prices.get(model.partition("/")[2]) if found is None else found

    def price(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """Of one call; 0 without a price."""
        prices = self.prices_of(model)
        return prices.cost(input_tokens, output_tokens) if prices else 0.0
