"""Scenes out of rows: JSON lines, parquet or a dataset of Hugging Face, with a list of views in each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pixelword.jigsaw.refusals import Refusal
from pixelword.jigsaw.sources import Row, below, read_rows, with_picture
from pixelword.jigsaw.views import SceneSample, View


def scene_rows(
    rows: Iterable[Row | Refusal], *, root: str | Path = ".", views: str = "views", id: str = "id"
) -> Iterator[SceneSample | Refusal]:
    """Samples of rows with a list of views, each with `image`, `pose`, and maybe `depth`, `camera` and `depth_scale`.

    A pose is 4 x 4, camera to world; see `pixelword.jigsaw.poses`. A view without a pose makes its scene a refusal,
    which names it; it is not left out in silence.

    Args:
        rows: mappings; what is already refused passes through.
        root: folder of the paths in the rows; a path that leads out of it is refused.
    """
    return read_rows(rows, id, id, lambda name, row: scene(name, row.get(views), Path(root)))


def scene(name: str, given: Any, root: Path) -> SceneSample | Refusal:
    """The scene of one row."""
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        return Refusal(name, "bad_row", "no list of views")
    found: list[View] = []
    for number, one in enumerate(given):
        made = view(f"{name} view {number}", one, root)
        if isinstance(made, Refusal):
            return Refusal(name, made.reason, f"view {number}: {made.detail}")
        found.append(made)
    return SceneSample(name, tuple(found))


def view(name: str, given: Row, root: Path) -> View | Refusal:
    """One view, with what the row says of it."""
    where, scale = given.get("depth"), given.get("depth_scale")
    depth = below(root, where) if isinstance(where, str) else None
    if isinstance(where, str) and depth is None:
        return Refusal(name, "outside", where[:200])
    if not isinstance(scale, int | float | None):
        return Refusal(name, "bad_row", f"depth_scale {scale!r}"[:200])
    pose, camera = given.get("pose"), given.get("camera")
    return with_picture(name, given, "image", root, lambda _, picture: View(picture, pose, depth, camera, scale))
