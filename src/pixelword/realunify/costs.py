"""What calls cost, and the cap of a run: prices from a file, one line for each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pixelword.config import read_yaml
from pixelword.realunify.backends.calls import RunStopped
from pixelword.realunify.judge.settings import Prices
from pixelword.realunify.records import Call


def read_prices(path: Path | None) -> dict[str, Prices]:
    """Model -> prices from a YAML file such as

        gpt-image-2: {input_per_million: 8, output_per_million: 30, per_request: 0.02}

    Raises:
        ConfigError: the file cannot be read, or has another form.
    """
    values = {} if path is None else read_yaml(path)
    return {str(model): Prices.model_validate(prices) for model, prices in values.items()}


@dataclass
class Purse:
    """What a run has spent, over all its starts, and may spend.

    The cap is looked at before each call; calls that are on their way at that moment still cost.
    """

    prices: dict[str, Prices]
    cap: float | None = None
    spent: float = field(default=0.0)

    def count(self, calls: Iterable[Call]) -> None:
        """Add calls that an earlier start stored."""
        self.spent += sum(call.usage.cost for call in calls)

    def check(self) -> None:
        """Raises RunStopped when nothing more may be spent."""
        if self.cap is not None and self.spent >= self.cap:
            raise RunStopped(
                "the cost cap is reached; what was answered is stored",
                got=f"{self.spent:.2f} of {self.cap:.2f}",
                fix="give the same command with a higher --max-cost, and it goes on",
            )

    def price(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """Of one call, by the model's whole name or by what follows its provider; 0 without a price."""
        prices = self.prices.get(model) or self.prices.get(model.partition("/")[2])
        return prices.cost(input_tokens, output_tokens) if prices else 0.0
