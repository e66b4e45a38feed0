"""How fast puzzles are made from 640 x 480 JPEGs, beside plain decoding and cropping of the same files, on one core.

Plain means Pillow's decoder and nine crops. Screening looks at thumbnails of the tiles; its verdicts can be kept. The
photographs are those of scikit-image, enlarged, with a little noise, at JPEG quality 85. Ways of making take turns,
and the best of the rounds counts, in CPU seconds.

    python benchmarks/bench_jigsaw.py
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
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
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.process_time()
                way()
                best[name] = min(best[name], time.process_time() - start)
        rates = {name: round(FILES / seconds) for name, seconds in best.items()}
        whole = best["plain decode and crop"]
        result = {
            "what": "3x3 puzzles of 640x480 JPEGs",
            "per second of CPU": rates,
            "share of plain": {name: round(whole / seconds, 3) for name, seconds in best.items()},
            "bytes of a file": round(sum(path.stat().st_size for path in paths) / FILES),
            "pillow": PIL.__version__,
            "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(),
        }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
