"""The reward as others call it: TRL's trainer and verl's reward manager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pixelword.errors import InputError
from pixelword.jigsaw.rewards import AnswerRule, jigsaw_reward

Completion = str | list[dict[str, Any]]


def trl_reward(rule: AnswerRule | None = None) -> Callable[..., list[float]]:
    """A reward function for TRL's trainers. It reads the column `ground_truth`, and `alike` where there is one.

    One function for all parts, because a wrong form voids the accuracy; the means of the parts are logged one by one
    where the trainer passes `log_metric`.

    Args:
        rule: the rule of the prompts.
    """
    known = rule or AnswerRule()

    def visual_jigsaw(
        *,
        completions: Sequence[Completion],
        ground_truth: Sequence[Sequence[int]],
        alike: Sequence[Sequence[Sequence[int]] | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        if len(completions) != len(ground_truth):
            raise InputError(
                "each completion has a ground truth",
                got=f"{len(completions)} completions, {len(ground_truth)} ground truths",
                fix="keep the column ground_truth: remove_unused_columns=False",
            )
        same = alike if alike is not None else [()] * len(completions)
        rewards = [
            known.score(text_of(done), truth, groups or ())
            for done, truth, groups in zip(completions, ground_truth, same, strict=True)
        ]
        if log_metric is not None and rewards:
            for part in ("accuracy", "format", "repetition", "exact"):
                log_metric(f"jigsaw/{part}", sum(float(getattr(reward, part)) for reward in rewards) / len(rewards))
        return [reward.total for reward in rewards]

    return visual_jigsaw


def text_of(completion: Completion) -> str:
    """The text of a completion: itself, or what its messages say."""
    if isinstance(completion, str):
        return completion
    texts: list[str] = []
    for message in completion:
        content = message.get("content") or ""
        texts += [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
    return "".join(texts)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Sequence[int],
    extra_info: dict[str, Any] | None = None,
    **knobs: Any,
) -> dict[str, float]:
    """verl's custom reward function: `custom_reward_function.path` and `.name=compute_score`.

    As in the released code, a data source whose name contains `nothink` wants the bare list.

    Args:
        extra_info: of a row; only `alike` is read, groups of labels that may stand for each other.
        knobs: arguments of `jigsaw_reward`, from `custom_reward_function.reward_kwargs`.

    Returns:
        `score`, `acc_reward`, `format_reward` and `acc`, as the released function names them.
    """
    knobs.setdefault("think", "nothink" not in data_source)
    knobs.setdefault("alike", (extra_info or {}).get("alike") or ())
    reward = jigsaw_reward(solution_str, ground_truth, **knobs)
    return {
        "score": reward.total,
        "acc_reward": reward.accuracy,
        "format_reward": reward.format,
        "acc": float(reward.exact),
    }
