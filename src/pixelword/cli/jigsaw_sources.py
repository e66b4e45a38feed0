"""Which puzzles a command makes: kinds, layouts, and where the samples come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pixelword.errors import ConfigError


class Kind(StrEnum):
    image = "image"
    video = "video"
    depth = "depth"
    motion = "motion"
    pose = "pose"


class Layout(StrEnum):
    folder = "folder"
    coco = "coco"
    llava_video = "llava-video"
    scannet = "scannet"


def task_of(kind: Kind, settings: Sequence[str]) -> Any:
    """The puzzle's settings from words `key=value`."""
    from pixelword.config import load_settings
    from pixelword.jigsaw import DepthJigsaw, ImageJigsaw, MotionJigsaw, PoseJigsaw, VideoJigsaw

    classes = (ImageJigsaw, VideoJigsaw, DepthJigsaw, MotionJigsaw, PoseJigsaw)
    return load_settings({one.kind: one for one in classes}[kind.value], overrides=settings)


def samples(folder: Path, kind: Kind, layout: Layout, depths: Path | None, every: int | None = None) -> Iterator[Any]:
    """The source for a kind and a layout.

    Args:
        every: take each so many-th frame of a ScanNet scan.

    Raises:
        ConfigError: a layout that has no samples of this kind, or a depth puzzle without maps.
    """
    from pixelword import jigsaw as house

    if every is not None and layout is not Layout.scannet:
        raise ConfigError("only scans are thinned out", got=f"--every {every}", fix="use --layout scannet, or --count")
    if folder.is_file():
        # LLaVA-Video's annotations lie in the folder that their paths start from.
        annotated = kind is Kind.video and layout is Layout.llava_video
        return house.llava_video(folder.parent, folder) if annotated else rows(folder, kind)
    sources: dict[tuple[Kind, Layout], Any] = {
        (Kind.image, Layout.folder): house.image_folder,
        (Kind.image, Layout.coco): house.coco,
        (Kind.video, Layout.folder): house.video_folder,
        (Kind.video, Layout.llava_video): house.llava_video,
        (Kind.depth, Layout.scannet): house.scannet_depth,
        (Kind.motion, Layout.scannet): house.scannet_scenes,
        (Kind.pose, Layout.scannet): house.scannet_scenes,
    }
    if kind is Kind.depth and layout is Layout.folder:
        if depths is None:
            raise ConfigError("a depth puzzle needs depth maps", fix="give their folder with --depths")
        return house.depth_folder(folder, depths)
    if (kind, layout) not in sources:
        known = ", ".join(other.value for one, other in sources if one is kind)
        raise ConfigError(
            f"there are no {kind.value} puzzles in this layout", got=layout.value, fix=f"use --layout {known}"
        )
    thinned = {} if every is None else {"every": every}
    found: Iterator[Any] = sources[kind, layout](folder, **thinned)
    return found


def rows(file: Path, kind: Kind) -> Iterator[Any]:
    """Samples of JSON lines or a parquet file; paths in it are below its folder.

    Raises:
        ConfigError: another file.
    """
    from pixelword import jigsaw as house

    readers: dict[str, Any] = {".jsonl": house.json_lines, ".parquet": house.parquet_rows}
    makers: dict[Kind, Any] = {
        Kind.image: house.image_rows,
        Kind.video: house.video_rows,
        Kind.depth: house.depth_rows,
        Kind.motion: house.scene_rows,
        Kind.pose: house.scene_rows,
    }
    if file.suffix not in readers:
        raise ConfigError("rows come from .jsonl or .parquet", got=file.name, fix="give a folder, or such a file")
    found: Iterator[Any] = makers[kind](readers[file.suffix](file), root=file.parent)
    return found
