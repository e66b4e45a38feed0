"""The optimiser of a recipe and its learning rate over the steps."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from pixelword.recipe import Recipe
from pixelword.train.muon import MuonAdamW


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW (fused), or Muon for the matrices inside and AdamW for the rest; norms and biases are not decayed."""
    settings = recipe.optimizer
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if settings.name == "muon":
        return MuonAdamW(
            trained, settings.rate, betas=settings.betas, eps=settings.eps, weight_decay=settings.weight_decay
        )
    decayed = [parameter for _, parameter in trained if parameter.ndim >= 2]
    others = [parameter for _, parameter in trained if parameter.ndim < 2]
    groups = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((decayed, settings.weight_decay), (others, 0.0))
        if parameters
    ]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas, eps=settings.eps, fused=True)


def rate_share(recipe: Recipe, step: int) -> float:
    """The rate of a step (0 is the first) as a share of the peak.

    Linear from 0 over the warm-up, then constant, or a cosine down to `min_rate_share` at the last step's end.
    Source: the scheduler "cosine with min lr" of the released scripts, which is that of transformers.
    """
    settings = recipe.optimizer
    if step < settings.warmup_steps:
        return step / max(1, settings.warmup_steps)
    if settings.schedule == "constant":
        return 1.0
    progress = (step - settings.warmup_steps) / max(1, recipe.steps - settings.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return settings.min_rate_share + (1 - settings.min_rate_share) * cosine


def build_schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, step: int = 0) -> LambdaLR:
    """The schedule behind so many steps; it follows from the recipe alone, so no checkpoint holds it."""
    for group in optimizer.param_groups:
        group["initial_lr"] = recipe.optimizer.rate
    return LambdaLR(optimizer, lambda number: rate_share(recipe, number), last_epoch=step - 1)
