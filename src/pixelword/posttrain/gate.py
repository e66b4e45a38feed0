"""Before the first update: do rollout and trainer mean the same by the same tokens, and are all pictures there?

A chat template that differs, pixels that go to another row, a cache that is wrong, or a dtype that is too coarse make
the ratio of GRPO wrong from the start, and the run learns noise. Here that is an error and not a flat curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pixelword.errors import BackendError
from pixelword.posttrain.prompts import Prompt


@dataclass(frozen=True)
class Passed:
    """What the gate measured.

    Args:
        tokens: compared.
        mean, worst: difference of log-probabilities, in nats.
        pictures: counted, in all prompts looked at.
    """

    tokens: int
    mean: float
    worst: float
    pictures: int

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def check_pictures(prompts: Sequence[Prompt], processor: Any) -> int:
    """Every prompt has the pictures of its puzzle, as pixels and as placeholders; returns how many.

    Raises:
        BackendError: one has not.
    """
    image_id = getattr(processor, "image_token_id", None)
    pictures = 0
    for prompt in prompts:
        wanted = len(prompt.puzzle.images)
        grids = prompt.media.get("image_grid_thw")
        given = len(grids) if grids is not None else len(prompt.pictures)
        tokens = prompt.ids.count(image_id) if image_id is not None else None
        merge = getattr(processor.image_processor, "merge_size", None)
        expected = int(grids.prod(-1).sum()) // merge**2 if grids is not None and merge is not None else None
        if given != wanted or (tokens is not None and expected is not None and tokens != expected):
            raise BackendError(
                "a prompt does not hold the pictures of its puzzle",
                got=f"{wanted} pictures, {given} processed, {tokens} placeholders for {expected} image tokens",
                fix="check the model's chat template and processor: each picture must stand in its place once",
            )
        pictures += wanted
    return pictures


def compare(rollout_RT: Tensor, trainer_RT: Tensor, mask_RT: Tensor, tolerance: float, pictures: int) -> Passed:
    """Log-probabilities of the same ids, from the engine that sampled them and from the trainer.

    Args:
        rollout_RT: (R, T); what the engine cannot tell is NaN and not compared.
        tolerance: largest mean difference.

    Raises:
        BackendError: they disagree.
    """
    known = mask_RT.bool() & ~rollout_RT.isnan()
    difference = (rollout_RT.float() - trainer_RT.float()).abs()[known]
    mean = float(difference.mean()) if len(difference) else 0.0
    worst = float(difference.max()) if len(difference) else 0.0
    if not mean <= tolerance:
        raise BackendError(
            "rollout and trainer disagree about the same tokens",
            got=f"{mean:.4f} nats on average, {worst:.4f} at most, over {len(difference)} tokens",
            fix="use float32 or the same dtype in both, check the processor, or raise grpo.gate_tolerance",
        )
    return Passed(len(difference), mean, worst, pictures)


@torch.no_grad()
def rollout_logps(
    model: Any, inputs: dict[str, Any], config: Any, temperature: float, ends: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample with the rollout's own path and ask it for the log-probabilities, before any processing of scores.

    Returns:
        ids (R, T), log-probabilities (R, T), mask (R, T) up to and with the end.
    """
    asked = deepcopy(config)
    asked.update(output_logits=True, return_dict_in_generate=True)
    with torch.compiler.set_stance("force_eager"):
        made = model.generate(**inputs, generation_config=asked)
    ids = made.sequences[:, inputs["input_ids"].shape[1] :]
    logits = torch.stack(made.logits, dim=1).float() / temperature
    logps = torch.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]
    ended = torch.isin(ids, torch.tensor(list(ends), device=ids.device)).int().cumsum(1)
    mask = (ended - torch.isin(ids, torch.tensor(list(ends), device=ids.device)).int()) == 0
    return ids, logps, mask.int()
