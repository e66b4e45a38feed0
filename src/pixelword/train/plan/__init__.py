"""What a run will cost, before it starts: `plan_recipe(recipe)`."""

from pixelword.train.lengths import Lengths, read_lengths
from pixelword.train.plan.estimate import Plan, estimate, plan_recipe
from pixelword.train.plan.memory import PeakMemory
from pixelword.train.plan.probe import Probe, probe

__all__ = ["Lengths", "PeakMemory", "Plan", "Probe", "estimate", "plan_recipe", "probe", "read_lengths"]
