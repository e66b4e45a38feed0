"""A small recipe over a small folder of pictures and texts, for tests of whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from pixelword.recipe import Recipe
from tests.model.processors import SMALL
from tests.model.prompts import tokenizer


def write_data(folder: Path, pictures: int = 30, texts: int = 30) -> Path:
    """Rows about pictures of several sizes, rows of text, and a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        Image.new("RGB", (8 + 8 * number, 16), (60 * number, 90, 30)).save(folder / f"{number}.png")
    rows: list[dict[str, Any]] = [
        {
            "id": n,
            "image": f"{n % 4}.png",
            "conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": "y" * (n % 7 + 1)}],
        }
        for n in range(pictures)
    ]
    (folder / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [{"text": f"text {n} " + "z" * (n % 11)} for n in range(texts)]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def small_recipe(folder: Path, /, **changes: Any) -> Recipe:
    """A NEO-tiny with drawn weights; `changes` replace whole sections, but those of data, optimizer and source."""
    every = {"kind": "json"} | changes.pop("source", {})
    sources = [
        {"name": name, "path": str(folder / f"{name}.jsonl"), "weight": weight, **every}
        for name, weight in (("pictures", 0.6), ("texts", 0.4))
    ]
    values: dict[str, Any] = {
        "name": "small",
        "model": {"preset": "neo-tiny", "tokenizer": str(folder / "tokenizer"), "dtype": "float32"},
        "images": {"min_pixels": SMALL["min_pixels"], "max_pixels": SMALL["max_pixels"]},
        "data": {"sources": sources, "lanes": 4, "pool": 8, "threads": 0} | changes.pop("data", {}),
        "packing": {"budget": 96, "max_sample": 96, "look_ahead": 5} | changes.pop("packing", {}),
        "optimizer": {"rate": 1e-3, "warmup_steps": 2} | changes.pop("optimizer", {}),
        "steps": 8,
        "rows_per_step": 4,
        "checkpointing": False,
        "log_every": 1,
        "save_every": 4,
        "report_to": [],
    }
    return Recipe.model_validate(values | changes)
