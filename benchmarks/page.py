"""One page of all recorded results: `python benchmarks/page.py` writes docs/benchmarks.md from benchmarks/results.

A result file is an object with `about` (hardware, versions, ceilings) and `rows`, as `measure.write_result` makes it,
or any other object, whose entries are then listed as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"

TITLES = {
    "generation": "Decoding and prefill beside the reference's formulas",
    "training_step": "A training step beside the reference's formulas",
    "loss_memory": "Memory of the loss at a large vocabulary",
    "packing": "Packing",
    "plan": "The plan beside the run",
    "jigsaw": "Making puzzles",
    "jigsaw_learning": "GRPO on puzzles, beside SFT for the same time",
    "rollout_memory": "Memory of a rollout batch",
    "harness": "What the RealUnify harness costs",
    "realunify_harness_faults": "RealUnify under injected faults",
    "realunify_harness_kills": "RealUnify killed and continued",
    "realunify_report": "A RealUnify page of 1,000 items",
}

OPENING = """# Benchmarks

Written by `python benchmarks/page.py` from the result files in `benchmarks/results`; `make bench` runs every script and
then this. Ratios come from one run, both sides in turn; a cell is the median with the spread in brackets. The machines
are noisy: read the load that each file notes.
"""


def page() -> str:
    """The page's text."""
    parts = [OPENING]
    for file in sorted(RESULTS.glob("*.json"), key=order):
        content = json.loads(file.read_text(encoding="utf-8"))
        parts.append(f"## {title(file)}\n\n`{file.name}`\n")
        parts.append(measured(content) if isinstance(content, dict) and "rows" in content else listed(content))
    return "\n".join(parts)


def theme(file: Path) -> str:
    """The part of a file's name that says what was measured."""
    return max((name for name in TITLES if file.stem.startswith(name)), key=len, default=file.stem)


def order(file: Path) -> tuple[int, str]:
    themes = list(TITLES)
    return (themes.index(theme(file)) if theme(file) in themes else len(themes), file.name)


def title(file: Path) -> str:
    return TITLES.get(theme(file), theme(file).replace("_", " "))


def measured(content: dict[str, Any]) -> str:
    """A table of rows under a line about the machine."""
    about = "; ".join(f"{key}: {shown(value)}" for key, value in content["about"].items())
    columns = list(dict.fromkeys(key for row in content["rows"] for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(shown(row.get(column, "")) for column in columns) + " |" for row in content["rows"]]
    return f"{about}\n\n" + "\n".join(lines) + "\n"


def listed(content: Any) -> str:
    """Entries, one a line; what is inside one stands behind its name."""
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in flat(content, ""))]
    return "\n".join(lines) + "\n"


def flat(content: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(content, dict) and content:
        return [pair for key, value in content.items() for pair in flat(value, f"{name}, {key}" if name else str(key))]
    if isinstance(content, list) and any(isinstance(value, dict) for value in content):
        return [pair for number, value in enumerate(content, 1) for pair in flat(value, f"{name} {number}")]
    return [(name, shown(content))]


def shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(shown(one) for one in value)
    return (f"{value:.4g}" if isinstance(value, float) else str(value)).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print("written:", PAGE.relative_to(ROOT))
