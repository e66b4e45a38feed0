"""Recipes: everything that a stage of training is told, as values in YAML. No torch."""

from pixelword.recipe.loading import differences, fingerprint, load_recipe, resolved
from pixelword.recipe.settings import (
    DataSettings,
    ImageSettings,
    LoraSettings,
    ModelSettings,
    OptimizerSettings,
    PackingSettings,
    Recipe,
    RetentionSettings,
    SourceSettings,
    VideoSettings,
)

__all__ = [
    "DataSettings",
    "ImageSettings",
    "LoraSettings",
    "ModelSettings",
    "OptimizerSettings",
    "PackingSettings",
    "Recipe",
    "RetentionSettings",
    "SourceSettings",
    "VideoSettings",
    "differences",
    "fingerprint",
    "load_recipe",
    "resolved",
]
