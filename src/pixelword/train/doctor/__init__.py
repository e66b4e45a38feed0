"""The examination of a training run before its first step.

    diagnosis = examine(model, batches)          any transformers VLM with a collator
    diagnosis = examine_recipe(recipe)           all of one of our recipes

A check is sound, faulty with findings, or not applicable with the reason.
"""

from pixelword.train.doctor.examine import examine
from pixelword.train.doctor.findings import CHECKS, Checked, Diagnosis, Finding
from pixelword.train.doctor.recipes import examine_recipe
from pixelword.train.doctor.subject import Cursor

__all__ = ["CHECKS", "Checked", "Cursor", "Diagnosis", "Finding", "examine", "examine_recipe"]
