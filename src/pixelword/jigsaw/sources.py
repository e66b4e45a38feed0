"""Where samples come from: folders, JSON lines, parquet files, any rows. Sources list; they open no picture."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pixelword.errors import DataError, InputError, MissingExtra, nearest
from pixelword.jigsaw.depth import DepthSample
from pixelword.jigsaw.image import ImageSample
from pixelword.jigsaw.pictures import SUFFIXES, Picture
from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.video import VideoSample

FILM_SUFFIXES = frozenset(
    {".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv"}
)
DEPTH_SUFFIXES = frozenset({".png", ".npy", ".exr"})

Row = Mapping[str, Any]
T = TypeVar("T")


def files(folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, Path] | Refusal]:
    """Every file below a folder, by name: its path below the folder and itself, or a refusal of what is no media.

    Hidden files and folders are left out, links to folders are not followed.

    Raises:
        DataError: the folder is none.
    """
    if not folder.is_dir():
        raise DataError("this folder is not there", got=folder, fix="give a folder of pictures, films or depth maps")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in name.split("/")):
            continue
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        if shown != name:
            # Such a name fits into no table and no line of JSON.
            yield Refusal(shown, "bad_name")
            continue
        # A broken link is handed on, and found missing; a pipe would never end.
        usable = path.suffix.lower() in suffixes and (path.is_file() or path.is_symlink())
        yield (name, path) if usable else Refusal(name, "not_media", path.suffix)


def image_folder(folder: str | Path) -> Iterator[ImageSample | Refusal]:
    """Pictures of a folder and all below it. Ids are paths below the folder."""
    for found in files(Path(folder), SUFFIXES):
        yield found if isinstance(found, Refusal) else ImageSample(*found)


def video_folder(folder: str | Path) -> Iterator[VideoSample | Refusal]:
    """Films of a folder and all below it."""
    for found in files(Path(folder), FILM_SUFFIXES):
        yield found if isinstance(found, Refusal) else VideoSample(*found)


def depth_folder(
    images: str | Path, depths: str | Path, *, depth_scale: float | None = None
) -> Iterator[DepthSample | Refusal]:
    """Pictures with the depth map of the same name, but for its suffix, in another folder (which may be the same)."""
    maps: dict[str, Path] = {}
    for depth in files(Path(depths), DEPTH_SUFFIXES):
        if not isinstance(depth, Refusal):
            maps.setdefault(without_suffix(depth[0]), depth[1])
    for found in files(Path(images), SUFFIXES):
        if isinstance(found, Refusal):
            if Path(found.sample).suffix.lower() not in DEPTH_SUFFIXES:
                yield found
        elif (known := maps.get(without_suffix(found[0]))) is None:
            yield Refusal(found[0], "missing", "no depth map of this name")
        elif known != found[1]:
            yield DepthSample(found[0], found[1], known, depth_scale=depth_scale)


def below(root: Path, name: str) -> Path | None:
    """The file that data name by its path below a folder; None where the path leads out of it."""
    top = os.path.join(os.path.abspath(root), "")
    return root / name if os.path.abspath(os.path.join(top, name)).startswith(top) else None


def without_suffix(name: str) -> str:
    return name.rpartition(".")[0] or name


def json_lines(path: str | Path) -> Iterator[Row | Refusal]:
    """One object per line. A bad line is a refusal that names it.

    Raises:
        DataError: the file cannot be read at all.
    """
    place = Path(path)
    try:
        with place.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield Refusal(f"{place.name}:{number}", "unreadable", str(error)[:200])
                    continue
                known = isinstance(row, dict)
                yield row if known else Refusal(f"{place.name}:{number}", "unreadable", "a line that is no object")
    except OSError as error:
        raise DataError("this file cannot be read", got=f"{place}: {error.strerror}", fix="check its path") from error


def parquet_rows(path: str | Path, columns: list[str] | None = None) -> Iterator[Row]:
    """Rows of a parquet file, a batch at a time.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: no parquet file, or it lacks a column.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    try:
        with parquet.ParquetFile(str(path)) as file:
            names = set(file.schema_arrow.names)
            for wanted in columns or []:
                if wanted not in names:
                    raise DataError(f"{path} has no column {wanted!r}", got=sorted(names), fix=nearest(wanted, names))
            for batch in file.iter_batches(batch_size=64, columns=columns):
                yield from batch.to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise DataError("this is no parquet file", got=f"{path}: {error}", fix="check the path") from error


def image_rows(
    rows: Iterable[Row | Refusal], *, root: str | Path = ".", image: str = "image", id: str = "id"
) -> Iterator[ImageSample | Refusal]:
    """Samples of rows: JSON lines, parquet, or a dataset of Hugging Face, which iterates over such rows.

    Args:
        rows: mappings; what is already refused passes through.
        root: folder of the paths in the rows. Links in it are followed; a path that leads out of it is refused.
        image: column of a path, of bytes, of a decoded picture, or of Hugging Face's `{"bytes", "path"}`.
        id: column of the id; rows without one are named by their path, else by their number.
    """
    return read_rows(rows, id, image, lambda name, row: with_picture(name, row, image, Path(root), ImageSample))


def video_rows(
    rows: Iterable[Row | Refusal], *, root: str | Path = ".", video: str = "video", id: str = "id"
) -> Iterator[VideoSample | Refusal]:
    """As `image_rows`, for a column of paths to films."""

    def sample(name: str, row: Row) -> VideoSample | Refusal:
        value = row.get(video)
        if not isinstance(value, str) or not value:
            return Refusal(name, "missing", f"no {video!r}")
        film = below(Path(root), value)
        return Refusal(name, "outside", value[:200]) if film is None else VideoSample(name, film)

    return read_rows(rows, id, video, sample)


def depth_rows(
    rows: Iterable[Row | Refusal],
    *,
    root: str | Path = ".",
    image: str = "image",
    depth: str = "depth",
    points: str = "points",
    depth_scale: float | None = None,
    id: str = "id",
) -> Iterator[DepthSample | Refusal]:
    """As `image_rows`, with a column of paths to depth maps, or of points (row, column), nearest first."""

    def sample(name: str, row: Row) -> DepthSample | Refusal:
        where, given = row.get(depth), row.get(points)
        try:
            places = tuple((int(row), int(column)) for row, column in given) if given is not None else None
        except (TypeError, ValueError):
            return Refusal(name, "missing", f"points that are no pairs: {given}"[:200])
        source = below(Path(root), where) if isinstance(where, str) else None
        if isinstance(where, str) and source is None:
            return Refusal(name, "outside", where[:200])
        return with_picture(
            name,
            row,
            image,
            Path(root),
            lambda name, picture: DepthSample(name, picture, source, places, depth_scale),
        )

    return read_rows(rows, id, image, sample)


def read_rows(
    rows: Iterable[Row | Refusal], id: str, media: str, sample: Callable[[str, Row], T | Refusal]
) -> Iterator[T | Refusal]:
    for number, row in enumerate(rows):
        if isinstance(row, Refusal):
            yield row
        elif not isinstance(row, Mapping):
            raise InputError("a row is a mapping", got=type(row).__name__, fix="give rows with named columns")
        else:
            named = row.get(id, row.get(media))
            yield sample(str(named) if isinstance(named, str | int) and named != "" else f"row {number}", row)


def with_picture(name: str, row: Row, column: str, root: Path, make: Callable[[str, Picture], T]) -> T | Refusal:
    """The sample of a row's picture, or a refusal of a row without one."""
    value: Any = row.get(column)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value:
        path = below(root, value)
        return Refusal(name, "outside", value[:200]) if path is None else make(name, path)
    if isinstance(value, bytes | bytearray) and value:
        return make(name, bytes(value))
    if hasattr(value, "convert") and hasattr(value, "size"):
        return make(name, value)
    return Refusal(name, "missing", f"no picture in {column!r}")
