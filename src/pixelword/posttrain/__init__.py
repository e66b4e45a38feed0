"""Post-training on puzzles: GRPO and SFT, a curriculum, a health monitor. Settings and both of these need no torch.

from pixelword.posttrain import PosttrainRecipe, read_posttrain_recipe
from pixelword.posttrain.run import posttrain

posttrain(read_posttrain_recipe(Path("recipes/jigsaw/tiny.yaml")), Path("runs/jigsaw"))
"""

from pixelword.posttrain.curriculum import Curriculum
from pixelword.posttrain.health import MEANINGS, REMEDIES, Finding, Monitor, Vitals
from pixelword.posttrain.settings import PosttrainRecipe, read_posttrain_recipe
from pixelword.posttrain.stream import PuzzleStream

__all__ = [
    "MEANINGS",
    "REMEDIES",
    "Curriculum",
    "Finding",
    "Monitor",
    "PosttrainRecipe",
    "PuzzleStream",
    "Vitals",
    "read_posttrain_recipe",
]
