"""The layouts of the paper's three datasets, as their owners give them out. Nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelword.errors import DataError
from pixelword.jigsaw.depth import DepthSample
from pixelword.jigsaw.image import ImageSample
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.sources import image_folder, json_lines, video_folder, video_rows
from pixelword.jigsaw.video import VideoSample
from pixelword.jigsaw.views import SceneSample, View

COLOUR_FOLDERS = ("color", "image")
"""What ScanNet's own exporter and the released jigsaw rows call the pictures of a scan."""


def coco(root: str | Path, split: str = "train2017") -> Iterator[ImageSample | Refusal]:
    """COCO: `root/train2017/*.jpg`, or `root/images/train2017/*.jpg`. Ids are file names.

    Raises:
        DataError: neither folder is there.
    """
    places = [Path(root) / split, Path(root) / "images" / split]
    return image_folder(first_folder(places, "COCO has a folder of pictures for each split"))


def llava_video(root: str | Path, annotations: str | Path | None = None) -> Iterator[VideoSample | Refusal]:
    """LLaVA-Video-178K: films below `root`. With annotations, those films that they name, each once.

    Args:
        annotations: a JSON list or JSON lines whose rows have `video`, a path below `root`.

    Raises:
        DataError: the root is no folder, or the annotations are no rows.
    """
    if annotations is None:
        yield from video_folder(root)
        return
    first_folder([Path(root)], "LLaVA-Video has a folder of films")
    seen: set[str] = set()
    for sample in video_rows(annotated(Path(annotations)), root=root, id="video"):
        name = sample.sample if isinstance(sample, Refusal) else sample.id
        # Many questions are about the same film, and it is one puzzle.
        if isinstance(sample, Refusal) or name not in seen:
            seen.add(name)
            yield sample


def annotated(path: Path) -> Iterator[dict[str, object] | Refusal]:
    if path.suffix == ".jsonl":
        yield from json_lines(path)  # type: ignore[misc]
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("these annotations cannot be read", got=f"{path}: {error}", fix="give a JSON list") from error
    if not isinstance(rows, list):
        raise DataError("annotations are a list of rows", got=type(rows).__name__, fix="give a JSON list of objects")
    for number, row in enumerate(rows):
        yield row if isinstance(row, dict) else Refusal(f"{path.name}:{number}", "unreadable", "no object")


def scannet_depth(root: str | Path, *, every: int = 1) -> Iterator[DepthSample | Refusal]:
    """ScanNet frames with depth: `root/scene*/color/0.jpg` and `root/scene*/depth/0.png`, 16 bits of millimetres.

    Args:
        every: take each so many-th frame of a scan.
    """
    for scan, pictures in scans(Path(root)):
        for picture in pictures[::every]:
            name = picture.relative_to(root).as_posix()
            depth = scan / "depth" / f"{picture.stem}.png"
            if depth.exists():
                yield DepthSample(name, picture, depth, depth_scale=0.001)
            else:
                yield Refusal(name, "missing", "no depth map")


def scannet_scenes(root: str | Path, *, every: int = 20, views: int = 24) -> Iterator[SceneSample | Refusal]:
    """ScanNet scans with poses: `pose/0.txt`, camera to world, and `intrinsic/intrinsic_depth.txt`.

    ScanNet marks frames whose pose was lost with infinities; such frames are refused, and their scan goes on without.

    Args:
        every: take each so many-th frame of a scan.
        views: frames of a sample; a scan gives several samples.
    """
    for scan, pictures in scans(Path(root)):
        camera = read_matrix(scan / "intrinsic" / "intrinsic_depth.txt")
        found = []
        for picture in pictures[::every]:
            pose = read_matrix(scan / "pose" / f"{picture.stem}.txt")
            depth = scan / "depth" / f"{picture.stem}.png"
            if pose is not None and np.isfinite(pose).all():
                found.append(View(picture, pose, depth if depth.exists() else None, camera, 0.001))
            else:
                yield Refusal(picture.relative_to(root).as_posix(), "no_poses", "lost" if pose is not None else "none")
        if not found:
            yield Refusal(scan.name, "no_poses", "no frame with a pose")
        for start in range(0, len(found), views):
            yield SceneSample(f"{scan.name} {start}", tuple(found[start : start + views]))


def scans(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each scan's folder and its pictures, by number."""
    found = [folder for folder in sorted(root.glob("scene*")) if folder.is_dir()]
    if not found:
        raise DataError("ScanNet has folders scene0000_00 and so on", got=root, fix="give the folder that holds them")
    for scan in found:
        pictures = [path for name in COLOUR_FOLDERS for path in (scan / name).glob("*.jpg")]
        yield scan, sorted(pictures, key=lambda path: (len(path.stem), path.stem))


def read_matrix(path: Path) -> NDArray[np.float64] | None:
    """Rows of numbers, or None where there is no such file or it holds something else."""
    try:
        rows = [[float(number) for number in line.split()] for line in path.read_text("utf-8").splitlines() if line]
        return np.array(rows)
    except (OSError, ValueError):
        return None


def first_folder(places: list[Path], rule: str) -> Path:
    for place in places:
        if place.is_dir():
            return place
    raise DataError(rule, got=", ".join(map(str, places)), fix="give the folder above it")
