"""Training by stages: what learns, rows with parallel branches, one optimiser, and stages that continue."""

from pixelword.train.branches import Batch, Branch, BranchCollator, Row
from pixelword.train.learns import EVERYTHING, PartLearns, as_text, first_stage, select, table
from pixelword.train.machine import Machine, look_at_machine
from pixelword.train.muon import MuonAdamW
from pixelword.train.run import Outcome, run_recipe
from pixelword.train.setting_up import Prepared, prepare
from pixelword.train.stages import Stage, is_finished, run_stage, write_json, write_whole

__all__ = [
    "EVERYTHING",
    "Batch",
    "Branch",
    "BranchCollator",
    "Machine",
    "MuonAdamW",
    "Outcome",
    "PartLearns",
    "Prepared",
    "Row",
    "Stage",
    "as_text",
    "first_stage",
    "is_finished",
    "look_at_machine",
    "prepare",
    "run_recipe",
    "run_stage",
    "select",
    "table",
    "write_json",
    "write_whole",
]
