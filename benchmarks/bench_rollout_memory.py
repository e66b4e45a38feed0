"""Peak memory of a rollout batch at 2 and at 16 responses per prompt, same prompts: ours and plain TRL.

Four 3x3 puzzles (nine tiles of a 640 x 480 picture each, about 8 MB of float32 patches a prompt), a Qwen2.5-VL of a few
thousand weights with the released patch size, 8 tokens a response, portions of 8 responses. A batch is generation,
scoring, and one forward and backward pass of 8 responses. Each case is a process of its own; memory is the highest
resident size during the batch less the resident size before it, so that libraries and weights do not hide the growth.

    python benchmarks/bench_rollout_memory.py
"""

from __future__ import annotations

import gc
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "rollout_memory.json"
PROMPTS, TOKENS, PORTION = 4, 8, 8
LIMIT = 1.2


def picture(number: int) -> Image.Image:
    """Smooth noise, so that no two tiles look alike."""
    coarse = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def resident(field: str) -> float:
    """MB of `VmRSS` (now) or `VmHWM` (highest since the mark was set back)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def case(kind: str, group: int) -> dict[str, float]:
    """One batch in this process."""
    sys.path.insert(0, str(ROOT))
    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from tests.posttrain.tiny_models import qwen

    torch.set_num_threads(1)
    model, processor = qwen("qwen2_5_vl")
    processor.image_processor = Qwen2VLImageProcessorPil()
    with tempfile.TemporaryDirectory() as folder:
        batch = (ours if kind == "ours" else plain)(model, processor, group, Path(folder))
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        batch()
        return {"peak MB": round(resident("VmHWM") - before, 1)}


def ours(model: Any, processor: Any, group: int, folder: Path) -> Any:
    from pixelword.jigsaw import ImageSample
    from pixelword.posttrain import PosttrainRecipe, PuzzleStream
    from pixelword.posttrain.run import make_trainer
    from pixelword.posttrain.settings import levels

    recipe = PosttrainRecipe.model_validate(
        {
            "model": {"checkpoint": "given", "dtype": "float32", "autocast": False},
            "samples": {"layout": "drawn"},
            "image": {"rule": {"think": False}, "screen": False},
            "grpo": {
                "group": group,
                "prompts": PROMPTS,
                "rows_per_batch": PORTION,
                "rollout_rows": PORTION,
                "max_tokens": TOKENS,
            },
            "optimizer": {"rate": 1e-6, "schedule": "constant"},
            "steps": 1,
            "checkpointing": False,
            "save_every": 1,
        }
    )
    samples = [ImageSample(str(number), picture(number)) for number in range(PROMPTS)]
    trainer = make_trainer(recipe, model, processor, PuzzleStream(samples, levels(recipe), 0), folder, cpu=True)
    rows = [{"number": number} for number in range(PROMPTS) for _ in range(group)]
    return lambda: one_batch(trainer, rows)


def plain(model: Any, processor: Any, group: int, folder: Path) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from pixelword.jigsaw import ImageJigsaw, ImageSample, Puzzle
    from pixelword.jigsaw.rewards import AnswerRule

    task = ImageJigsaw(rule=AnswerRule(think=False), screen=False)
    made = [task.puzzle(ImageSample(str(number), picture(number)), seed=0) for number in range(PROMPTS)]
    rows = [{"prompt": one.messages(), "images": one.images} for one in made if isinstance(one, Puzzle)]
    config = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=PORTION,
        num_generations=group,
        steps_per_generation=PROMPTS * group // PORTION,
        max_completion_length=TOKENS,
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=lambda completions, **_: [float(number % 2) for number in range(len(completions))],
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["none"] * PROMPTS}),
    )
    return lambda: one_batch(trainer, [row for row in rows for _ in range(group)])


def one_batch(trainer: Any, rows: list[dict[str, Any]]) -> None:
    """Generation, scoring, and the first training batch."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._prepare_inputs(rows)
    trainer._compute_loss(trainer.model, inputs).backward()


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(case(sys.argv[1], int(sys.argv[2]))))
        return
    found: dict[str, dict[int, float]] = {}
    for kind in ("ours", "plain TRL"):
        for group in (2, 16):
            command = [sys.executable, __file__, kind, str(group)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.setdefault(kind, {})[group] = json.loads(done.stdout.splitlines()[-1])["peak MB"]
            print(kind, group, found[kind][group], "MB")
    growth = {kind: round(peaks[16] / peaks[2], 3) for kind, peaks in found.items()}
    result = {
        "what": "highest resident MB of a rollout batch of 4 puzzles above what was there before",
        "responses per prompt": found,
        "16 against 2": growth,
        "limit": LIMIT,
        "python": platform.python_version(),
        "processor": platform.machine(),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(growth, "kept" if growth["ours"] <= LIMIT else "BROKEN")


if __name__ == "__main__":
    main()
