"""A short run of GRPO with a curriculum, to be killed: `python one_run.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from pixelword.posttrain import PosttrainRecipe
from pixelword.posttrain.run import posttrain
from tests.posttrain.tiny_models import ours

RECIPE: dict[str, Any] = {
    "model": {"checkpoint": "given", "dtype": "float32", "autocast": False},
    "samples": {"layout": "drawn", "drawn": 7, "held_out": 4},
    "image": {"rows": 2, "columns": 2, "min_side": 64, "screen": False},
    "wording": "short",
    "grpo": {"group": 4, "prompts": 2, "rows_per_batch": 4, "updates": 2, "max_tokens": 4, "entropy_bonus": 0.5},
    "curriculum": {"levels": [{"rows": 1, "columns": 2}, {"rows": 2, "columns": 2}], "start": 0.5},
    "held_out": {"puzzles": 2, "every": 4},
    "optimizer": {"rate": 0.001, "schedule": "cosine"},
    "steps": 12,
    "checkpointing": False,
    "save_every": 4,
    "seed": 3,
}


def run(folder: Path) -> dict[str, Any]:
    model, processor = ours()
    return posttrain(PosttrainRecipe.model_validate(RECIPE), folder, model=model, processor=processor, cpu=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
