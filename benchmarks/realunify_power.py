"""Power of the bottleneck verdict: how often the right skill is named, by sample size, level and gap.

    python benchmarks/realunify_power.py > docs/realunify_power.md

A simulated model has two skills at one level and the third below it by a gap. 2,000 runs for each cell.
"""

from __future__ import annotations

import numpy as np

from pixelword.realunify.bottleneck import Skill, decide
from pixelword.realunify.mini import Skills, simulate
from pixelword.realunify.taxonomy import Track

RUNS = 2_000
SIZES = {Track.UEG: (100, 200, 600, 1200), Track.GEU: (100, 200, 400, 800)}
LEVELS = (0.95, 0.9, 0.8, 0.7)
GAPS = (0.05, 0.1, 0.15, 0.2, 0.3)


def verdicts(track: Track, skills: Skills, items: int) -> dict[Skill | None, int]:
    """Verdict -> number of runs."""
    random = np.random.default_rng(11)
    found: dict[Skill | None, int] = {None: 0, **dict.fromkeys(Skill, 0)}
    for _ in range(RUNS):
        run = simulate(track, skills, items, random)
        found[decide(track, run.direct, run.stepwise, run.stage_one, run.oracle).named] += 1
    return found


def percent(runs: int) -> str:
    return f"{100 * runs / RUNS:.1f}"


def table(track: Track) -> None:
    for items in SIZES[track]:
        print(f"\n### {track}, {items} items\n")
        print("| weak skill | others | " + " | ".join(f"gap {100 * gap:.0f}" for gap in GAPS) + " |")
        print("|---|---" + "|---" * len(GAPS) + "|")
        for weak in Skill:
            for level in LEVELS:
                cells = []
                for gap in GAPS:
                    values = {skill.value: level - gap if skill == weak else level for skill in Skill}
                    found = verdicts(track, Skills(**values), items)
                    wrong = RUNS - found[weak] - found[None]
                    cells.append(percent(found[weak]) + (f" ({percent(wrong)})" if wrong else ""))
                print(f"| {weak} | {100 * level:.0f} | " + " | ".join(cells) + " |")


def false_alarms() -> None:
    print("\n## False alarms\n\nShare of runs, in percent, that name any skill although none is alone at the bottom.\n")
    print("| skills u, g, j | UEG 600 | GEU 400 | UEG 100 | GEU 100 |\n|---|---|---|---|---|")
    for values in (
        (0.9, 0.9, 0.9),
        (0.7, 0.7, 0.7),
        (0.5, 0.5, 0.5),
        (0.7, 0.7, 0.9),
        (0.7, 0.9, 0.7),
        (0.9, 0.7, 0.7),
    ):
        cells = [
            percent(RUNS - verdicts(track, Skills(*values), items)[None])
            for track, items in ((Track.UEG, 600), (Track.GEU, 400), (Track.UEG, 100), (Track.GEU, 100))
        ]
        print(f"| {', '.join(f'{100 * value:.0f}' for value in values)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    print("# Power of the bottleneck verdict\n")
    print(f"Made by `python benchmarks/realunify_power.py`: simulated models, {RUNS} runs for each cell. A cell is the")
    print(
        "share of runs, in percent, that name the weak skill; in brackets those that name another one. The rest reads"
    )
    print("`not decided`. Levels and gaps are in points. One category of the benchmark has 100 items.\n\n## Power")
    for each in Track:
        table(each)
    false_alarms()
