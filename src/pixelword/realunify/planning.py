"""What a run will take: calls of each role and, with prices, what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pixelword.realunify.costs import Purse
from pixelword.realunify.dataset import ChoiceItem, DrawingItem
from pixelword.realunify.judge import JudgeSettings, forecast
from pixelword.realunify.run_settings import RunPlan
from pixelword.realunify.sources import Source, chosen
from pixelword.realunify.taxonomy import Protocol, Track

PICTURE_TOKENS = 1300
ANSWER_TOKENS = 20
REWRITE_TOKENS = 120
"""What a call takes on average; a model that thinks first writes far more."""

TWO_STAGES = frozenset({Protocol.STEPWISE, Protocol.STEPWISE_BOTH_IMAGES, Protocol.ORACLE_PAIR})


@dataclass
class Needs:
    """Calls of one task.

    Args:
        calls: role -> number.
        tokens: role -> (in, out), roughly.
    """

    track: Track
    protocol: Protocol
    items: int
    calls: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, role: str, calls: int, tokens_in: int, tokens_out: int) -> None:
        if calls:
            before = self.tokens.get(role, (0, 0))
            self.calls[role] += calls
            self.tokens[role] = before[0] + tokens_in, before[1] + tokens_out


def needs_of(plan: RunPlan, source: Source) -> list[Needs]:
    """The calls of every task of a plan, without retries."""
    found = []
    for track, settings in plan.tasks():
        items, _ = chosen(
            source.benchmark, track, settings.protocol, limit=settings.limit, categories=settings.categories
        )
        need = Needs(track, settings.protocol, len(items))
        times = settings.samples
        if track == Track.UEG:
            drawings = [item for item in items if isinstance(item, DrawingItem)]
            letters = sum(len(item.new_prompt or "") for item in drawings)
            if settings.protocol in TWO_STAGES:
                need.add("understander", times * len(items), times * letters // 4, times * REWRITE_TOKENS * len(items))
            need.add("generator", times * len(items), times * REWRITE_TOKENS * len(items), 0)
            judge = JudgeSettings(model="judge", wording=settings.judge_wording, votes=settings.judge_votes)
            ahead = forecast([[q.question for q in item.questions] for item in drawings], judge)
            need.add("judge", times * ahead.requests, times * ahead.input_tokens, times * ahead.output_tokens)
        else:
            choices = [item for item in items if isinstance(item, ChoiceItem)]
            letters = sum(len(item.evaluation_prompt) for item in choices)
            pictures = 2 if settings.protocol == Protocol.STEPWISE_BOTH_IMAGES else 1
            if settings.protocol in TWO_STAGES:
                need.add("generator", times * len(items), times * PICTURE_TOKENS * len(items), 0)
            tokens_in = times * (letters // 4 + pictures * PICTURE_TOKENS * len(items))
            need.add("understander", times * len(items), tokens_in, times * ANSWER_TOKENS * len(items))
        found.append(need)
    return found


def cost_of(need: Needs, plan: RunPlan, purse: Purse) -> float:
    """What a task costs at the prices of its models, per request and per token; each judge is asked everything."""
    total = 0.0
    for role, (tokens_in, tokens_out) in need.tokens.items():
        calls = need.calls[role]
        for choice in plan.models.of(role):
            total += calls * purse.price(choice.name, tokens_in // calls, tokens_out // calls)
    return total


def without_price(plan: RunPlan, purse: Purse) -> list[str]:
    """Models of a plan that the estimate counts as free because the price file has no line for them."""
    names = {choice.name for role in ("understander", "generator", "judge") for choice in plan.models.of(role)}
    return sorted(name for name in names if not purse.knows(name))
