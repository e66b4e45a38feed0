"""The mini's checkers over many seeds: right pictures, every single fault, and what blur, noise and JPEG do.

    python benchmarks/realunify_mini_checkers.py 10000 > docs/realunify_checkers.md

Each seed gives one item of each of the six drawing categories. Its right picture and one picture with a single fault
(in turn those that apply) are checked at 64 pixels. The robustness table uses 200 seeds at 64, 128 and 256 pixels.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from pixelword.realunify.mini import faults_of, mini_drawing
from pixelword.realunify.taxonomy import Track, categories_of

CATEGORIES = categories_of(Track.UEG)
ROBUSTNESS_SEEDS = 200
SIDES = (64, 128, 256)


def blur(radius: float) -> Callable[[Image.Image], Image.Image]:
    """Radius in parts of a 64-pixel picture's pixel, so that it means the same at every size."""
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(radius * picture.width / 64))


def noise(spread: float) -> Callable[[Image.Image], Image.Image]:
    def apply(picture: Image.Image) -> Image.Image:
        random = np.random.default_rng(7)
        pixels = np.asarray(picture) + random.normal(0, spread, (*picture.size[::-1], 3))
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    return apply


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def apply(picture: Image.Image) -> Image.Image:
        stored = io.BytesIO()
        picture.save(stored, "JPEG", quality=quality)
        return Image.open(stored).convert("RGB")

    return apply


DAMAGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda picture: picture,
    "blur 0.3 px": blur(0.3),
    "blur 0.5 px": blur(0.5),
    "blur 1 px": blur(1.0),
    "noise 5": noise(5),
    "noise 10": noise(10),
    "noise 20": noise(20),
    "JPEG 90": jpeg(90),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
}


def exhaust(seeds: int) -> None:
    right, accepted, faulty, missed = Counter(), Counter(), Counter(), Counter()
    for seed in range(seeds):
        for category in CATEGORIES:
            item = mini_drawing(category, seed, seed=seed)
            right[category] += 1
            accepted[category] += item.check(item.picture(64, seed)).right
            possible = faults_of(item.target)
            fault = possible[seed % len(possible)]
            faulty[fault] += 1
            missed[fault] += item.check(item.faulty_picture(fault, 64, seed)).right
    print("| right pictures of | accepted | of |\n|---|---|---|")
    for category in CATEGORIES:
        print(f"| {category} | {accepted[category]} | {right[category]} |")
    print("\n| single fault | rejected | of |\n|---|---|---|")
    for fault, number in faulty.items():
        print(f"| {fault} | {number - missed[fault]} | {number} |")


def robustness() -> None:
    print("\nShare of right pictures accepted / of single-fault pictures rejected, in percent. Noise is the standard")
    print("deviation of each 8-bit channel; blur radii are in pixels of a 64-pixel picture.\n")
    print("| damage | " + " | ".join(f"{side} px" for side in SIDES) + " |\n|---" + "|---" * len(SIDES) + "|")
    for name, damage in DAMAGES.items():
        cells = []
        for side in SIDES:
            good = bad = 0
            for seed in range(ROBUSTNESS_SEEDS):
                item = mini_drawing(CATEGORIES[seed % 6], seed, seed=seed)
                kinds = faults_of(item.target)
                good += item.check(damage(item.picture(side, seed))).right
                fault = kinds[seed % len(kinds)]
                bad += not item.check(damage(item.faulty_picture(fault, side, seed))).right
            cells.append(f"{100 * good / ROBUSTNESS_SEEDS:.1f} / {100 * bad / ROBUSTNESS_SEEDS:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    started = time.process_time()
    print("# Checkers of RealUnify-mini\n")
    print(f"Made by `python benchmarks/realunify_mini_checkers.py {count}`: {count} seeds, six items each.\n")
    exhaust(count)
    robustness()
    print(f"\nCPU time: {time.process_time() - started:.0f} s.", file=sys.stderr)
