"""The rows of the released training data, in both directions: samples and puzzles as rows, rows as puzzles.

A row of the released loader names a file and how to cut it; the loader draws an order of its own whenever it reads the
row. Our rows also carry the order that we drew, under `extra_info`, where that loader leaves it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pixelword.errors import ConfigError, InputError
from pixelword.jigsaw.depth import DepthJigsaw, DepthSample
from pixelword.jigsaw.image import ImageJigsaw, ImageSample
from pixelword.jigsaw.puzzle import Puzzle, PuzzleSettings
from pixelword.jigsaw.refusals import Ledger, Refusal
from pixelword.jigsaw.tables import Row, arrow_modules, data_source, extra_info, verl_columns
from pixelword.jigsaw.video import VideoJigsaw, VideoSample

TRIM = 0.1
"""The released loader trims clips by this, whatever the row says."""

Sample = ImageSample | VideoSample | DepthSample
Task = ImageJigsaw | VideoJigsaw | DepthJigsaw


def verl_row(sample: Sample, puzzle: Puzzle, task: PuzzleSettings, number: int, root: Path) -> Row:
    """One row of the released loader.

    Args:
        root: folder that paths are written below, its `data.multimodal_folder`.

    Raises:
        ConfigError: the loader has no such puzzle.
        InputError: the sample is no file below the root.
    """
    row: Row = {
        "data_source": data_source(puzzle.task, puzzle.rule.think),
        "prompt": [{"role": "user", "content": puzzle.text()}],
        "reward_model": {"style": "rule", "ground_truth": list(puzzle.target)},
        "extra_info": extra_info(puzzle, number),
    }
    if isinstance(task, ImageJigsaw) and isinstance(sample, ImageSample):
        cut = {"jigsaw_config": [task.rows, task.columns], **sizes(task.resize, task.crop)}
        return {**row, "images": [{"path": below(sample.image, root), **cut}]}
    if isinstance(task, DepthJigsaw) and isinstance(sample, DepthSample):
        points = [list(point) for point in puzzle.about["points"]]
        return {**row, "images": [{"path": below(sample.image, root), "points": points, **sizes(task.resize, None)}]}
    if isinstance(task, VideoJigsaw) and isinstance(sample, VideoSample):
        return {**row, "videos": [{"path": below(sample.video, root), **clips(task)}]}
    raise ConfigError(
        "the released loader knows puzzles of images, videos and depth", got=puzzle.task, fix="export to verl-cut"
    )


def sizes(resize: tuple[int, int] | None, crop: tuple[int, int] | None) -> Row:
    """`resize_size` and `crop_size`, only where they are set: the loader does not expect them empty."""
    named = {"resize_size": resize, "crop_size": crop}
    return {name: list(size) for name, size in named.items() if size is not None}


def clips(task: VideoJigsaw) -> Row:
    if task.trim_ratio != TRIM or task.as_frames:
        raise ConfigError(
            "the released loader trims 0.1 of each part and shows films",
            got=f"trim_ratio={task.trim_ratio}, as_frames={task.as_frames}",
            fix="leave both, or export to verl-cut, with as_frames=true",
        )
    grid = {} if task.rows * task.columns == 1 else {"spatial_jigsaw_grid_config": [task.rows, task.columns]}
    return {
        "clip_order": list(range(task.pieces)),
        "jigsaw_clip_num": task.clips,
        "fps": task.rate,
        "fps_min_frames": task.min_frames,
        "fps_max_frames": task.max_frames,
        "min_pixels": task.min_pixels,
        "max_pixels": task.max_pixels,
        **grid,
    }


def below(media: object, root: Path) -> str:
    if not isinstance(media, Path) or not media.is_relative_to(root):
        raise InputError("a row names a file below the root", got=media, fix="export to verl-cut, which holds pictures")
    return media.relative_to(root).as_posix()


def verl_row_columns(task: PuzzleSettings) -> dict[str, Any]:
    """Types of `verl_row` for one task; all its rows have the same columns."""
    arrow, _ = arrow_modules()
    text, number = arrow.string(), arrow.int64()
    numbers = arrow.list_(number)
    if isinstance(task, VideoJigsaw):
        kinds = {name: number for name in clips(task)} | {"clip_order": numbers, "fps": arrow.float64()}
        if "spatial_jigsaw_grid_config" in kinds:
            kinds["spatial_jigsaw_grid_config"] = numbers
        return verl_columns(None, arrow.list_(arrow.struct([("path", text), *kinds.items()])))
    how: list[tuple[str, Any]] = [("path", text)]
    if isinstance(task, ImageJigsaw):
        how += [("jigsaw_config", numbers), *((name, numbers) for name in sizes(task.resize, task.crop))]
    elif isinstance(task, DepthJigsaw):
        how += [("points", arrow.list_(numbers)), *((name, numbers) for name in sizes(task.resize, None))]
    return verl_columns(arrow.list_(arrow.struct(how)))


def released_puzzles(
    rows: Iterable[Mapping[str, Any] | Refusal],
    *,
    root: str | Path,
    seed: int,
    epoch: int = 0,
    ledger: Ledger | None = None,
    image: ImageJigsaw | None = None,
    video: VideoJigsaw | None = None,
    depth: DepthJigsaw | None = None,
) -> Iterator[Puzzle]:
    """Puzzles of released rows: files, sizes and points from the row, order and prompt from here.

    The row's own prompt is not used, because what it asks for and what the reward pays might differ. The stored answer
    is not used either; the released loader overwrites it, too.

    Args:
        rows: of `parquet_rows`, or of a dataset of Hugging Face.
        root: folder of the media.
        image, video, depth: everything that a row does not say, such as the rule.

    Raises:
        DataError: a row is refused and the ledger's policy is `fail`.
    """
    counted = ledger if ledger is not None else Ledger()
    bases = image or ImageJigsaw(), video or VideoJigsaw(), depth or DepthJigsaw()
    for number, row in enumerate(rows):
        made = row if isinstance(row, Refusal) else released_puzzle(row, number, Path(root), bases, seed, epoch)
        if isinstance(made, Refusal):
            counted.refuse(made)
        else:
            counted.made += 1
            yield made


def released_puzzle(
    row: Mapping[str, Any],
    number: int,
    root: Path,
    bases: tuple[ImageJigsaw, VideoJigsaw, DepthJigsaw],
    seed: int,
    epoch: int,
) -> Puzzle | Refusal:
    name = f"row {number}"
    try:
        sample, task = released_sample(row, number, root, *bases)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return Refusal(name, "bad_row", f"{type(error).__name__}: {error}"[:200])
    if isinstance(task, VideoJigsaw):
        assert isinstance(sample, VideoSample)
        return task.puzzle(sample, seed=seed, epoch=epoch)
    if isinstance(task, DepthJigsaw):
        assert isinstance(sample, DepthSample)
        return task.puzzle(sample, seed=seed, epoch=epoch)
    assert isinstance(sample, ImageSample)
    return task.puzzle(sample, seed=seed, epoch=epoch)


def released_sample(
    row: Mapping[str, Any], number: int, root: Path, image: ImageJigsaw, video: VideoJigsaw, depth: DepthJigsaw
) -> tuple[Sample, Task]:
    """The sample of a row, and the task with what the row says about it.

    Raises:
        KeyError, IndexError, TypeError, ValueError: the row does not hold what it must; among them ConfigError.
    """
    source = str(row["data_source"])
    if "jigsaw" not in source:
        raise ValueError(f"data_source {source!r} names no jigsaw")
    base: Task = video if row.get("videos") else depth if "depth_jigsaw" in source else image
    media = (row["videos"] if base is video else row["images"])[0]
    path = inside(root, first(media["path"]))
    extra = row.get("extra_info") or {}
    name = str(extra.get("sample") or f"{first(media['path'])} row {number}")
    update: dict[str, Any] = {"rule": base.rule.model_copy(update={"think": "nothink" not in source})}
    if isinstance(base, VideoJigsaw):
        return VideoSample(name, path), changed(base, update | told_of_clips(media))
    if media.get("resize_size"):
        update["resize"] = pair(media["resize_size"])
    if isinstance(base, DepthJigsaw):
        points = tuple((int(row), int(column)) for row, column in media["points"])
        return DepthSample(name, path, points=points), changed(base, update | {"points": len(points)})
    if media.get("crop_size"):
        update["crop"] = pair(media["crop_size"])
    update["rows"], update["columns"] = (int(side) for side in media["jigsaw_config"])
    return ImageSample(name, path), changed(base, update)


S = TypeVar("S", bound=PuzzleSettings)


def changed(base: S, update: Mapping[str, Any]) -> S:
    """The settings with those of a row, checked like any others.

    Raises:
        ValueError: a value that no puzzle has.
    """
    return type(base).model_validate({**dict(base), **update})


def told_of_clips(media: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of films says, with the released loader's defaults for the rest."""
    rows, columns = media.get("spatial_jigsaw_grid_config") or (1, 1)
    parts = int(media.get("jigsaw_clip_num") or 4)
    if len(media["clip_order"]) != parts * rows * columns:
        raise ValueError(f"clip_order has {len(media['clip_order'])} entries for {parts} clips of {rows}x{columns}")
    return {
        "clips": parts,
        "rows": int(rows),
        "columns": int(columns),
        "rate": float(media.get("fps") or 2),
        "min_frames": int(media.get("fps_min_frames") or 2),
        "max_frames": int(media.get("fps_max_frames") or 16),
        "min_pixels": int(media.get("min_pixels") or 128 * 28 * 28),
        "max_pixels": int(media.get("max_pixels") or 128 * 28 * 28),
    }


def first(value: Any) -> Any:
    """A value, or the only one of a list: released rows have both."""
    return value if isinstance(value, str) else value[0]


def pair(value: Sequence[Any]) -> tuple[int, int] | None:
    """[w, h] or [[w, h]] as (w, h); None where they are not positive, which stands for none."""
    width, height = value if len(value) == 2 else value[0]
    return (int(width), int(height)) if width > 0 and height > 0 else None


def inside(root: Path, name: Any) -> Path:
    path = root / str(name)
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name} leaves the folder of the media")
    return path
