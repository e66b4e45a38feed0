"""How fast puzzles are made from 640 x 480 JPEGs, beside plain decoding and cropping of the same files, on one core.

Plain means Pillow's decoder and nine crops. Screening looks at thumbnails of the tiles; its verdicts can be kept. The
photographs are those of scikit-image, enlarged, with a little noise, at JPEG quality 85: smaller files than those of
COCO, whose decoding takes longer, so that all else weighs less there. Ways of making take turns. A rate is the median
of the rounds in CPU seconds, with the lowest and the highest; a share is taken round by round.

    python benchmarks/bench_jigsaw.py
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
from measure import Spread, machine, ratios
from skimage import data

from pixelword.jigsaw import ImageJigsaw, ImageSample, Puzzle, Verdicts
from pixelword.jigsaw.tiles import cut

FILES, ROUNDS, SIZE = 24, 40, (640, 480)
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
RESULT = Path(__file__).parent / "results" / "jigsaw.json"


def write_photographs(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = []
    for number in range(FILES):
        photograph = PIL.Image.fromarray(getattr(data, PHOTOGRAPHS[number % 4])()).convert("RGB").resize(SIZE)
        noise = PIL.Image.fromarray(random.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        path = folder / f"{number}.jpg"
        PIL.Image.blend(photograph, noise, 0.05).save(path, quality=85)
        paths.append(path)
    return paths


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder))
        samples, task, verdicts = [ImageSample(path.name, path) for path in paths], ImageJigsaw(), Verdicts()

        def plain() -> None:
            for path in paths:
                with PIL.Image.open(path) as file:
                    file.load()
                    cut(file, 3, 3)

        def make(kept: Verdicts | None) -> None:
            for sample in samples:
                assert isinstance(task.puzzle(sample, seed=0, verdicts=kept), Puzzle)

        ways: dict[str, Callable[[], None]] = {
            "plain decode and crop": plain,
            "puzzles, verdicts kept": lambda: make(verdicts),
            "puzzles, screened": lambda: make(None),
        }
        rows = measured(ways)
        size = round(sum(path.stat().st_size for path in paths) / FILES)
        notes = {"files": FILES, "rounds": ROUNDS, "bytes of a file": size, "pillow": PIL.__version__}
        RESULT.parent.mkdir(exist_ok=True)
        result = {"about": machine() | notes, "rows": rows}
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(result, indent=1))


def measured(ways: dict[str, Callable[[], None]]) -> list[dict[str, str]]:
    """A row of each way: puzzles per second of CPU, and its share of the first way's speed."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:  # the first round warms up, and fills the verdicts that are kept
                seconds[name].append(time.process_time() - start)
    plain = next(iter(seconds.values()))
    return [
        {
            "3x3 of 640x480 JPEGs": name,
            "puzzles per second of CPU": str(Spread.of([FILES / one for one in spent])),
            "share of plain": str(ratios(plain, spent)),
        }
        for name, spent in seconds.items()
    ]


if __name__ == "__main__":
    main()
