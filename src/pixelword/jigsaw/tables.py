"""Puzzles as parquet tables: for TRL, and for verl with cut pictures. Reading needs nothing of this package.

Pictures are stored as PNG, so what a trainer decodes is what was drawn, bit for bit.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from pixelword.errors import InputError, MissingExtra
from pixelword.jigsaw.puzzle import Clip, Puzzle

if TYPE_CHECKING:
    import pyarrow

BATCH = 32
"""Rows of a row group: what is held in memory at once, by us and by a reader that streams."""

Row = dict[str, Any]


def trl_row(puzzle: Puzzle) -> Row:
    """The columns of TRL's GRPOTrainer: `prompt`, `images`, and what `trl_reward` reads.

    The prompt is structured content with a part for each picture in its place; with plain strings the trainer would put
    all pictures before the text, and labels would name nothing. Parts have no key `image`, which would count as filled.

    Raises:
        InputError: it shows films, which TRL 1.16 does not hand to a model.
    """
    return {
        "prompt": puzzle.messages(),
        "images": pictures(puzzle, "TRL"),
        "ground_truth": list(puzzle.target),
        "alike": [list(group) for group in puzzle.alike],
        "task": f"{puzzle.task}_jigsaw",
        "k": puzzle.pieces,
        "sample": puzzle.key.name,
    }


def verl_cut_row(puzzle: Puzzle, number: int) -> Row:
    """A row of verl's own dataset class, with the pictures of this very puzzle and its answer.

    Raises:
        InputError: it shows films.
    """
    return {
        "data_source": data_source(puzzle.task, puzzle.rule.think),
        "prompt": [{"role": "user", "content": puzzle.text()}],
        "images": pictures(puzzle, "a table of pictures"),
        "reward_model": {"style": "rule", "ground_truth": list(puzzle.target)},
        "extra_info": extra_info(puzzle, number),
    }


def data_source(task: str, think: bool) -> str:
    """The name that chooses reward and loader in the released code: it looks for parts of it."""
    return f"{task}_jigsaw" + ("" if think else "_nothink")


def extra_info(puzzle: Puzzle, number: int) -> Row:
    """What the puzzle was drawn from. verl reads `index`; the order is what `released_puzzles` rebuilds it with."""
    key = puzzle.key
    return {
        "index": number,
        "sample": key.sample,
        "seed": key.seed,
        "epoch": key.epoch,
        "difficulty": key.difficulty,
        "order": list(puzzle.order),
        "alike": [list(group) for group in puzzle.alike],
    }


def pictures(puzzle: Puzzle, reader: str) -> list[Image]:
    if any(isinstance(media, Clip) for media in puzzle.media) and any(slot.kind == "video" for slot in puzzle.slots):
        raise InputError(
            f"{reader} holds no films", got=f"{puzzle.key.sample}: {puzzle.task}", fix="use --set as_frames=true"
        )
    return puzzle.images


def png(picture: Image) -> bytes:
    """The picture in PNG, quickly: a file is written once and read every epoch."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def write_parquet(rows: Iterable[Row], path: Path, columns: Mapping[str, Any]) -> int:
    """Write rows, some at a time. The file appears whole or not at all.

    Args:
        columns: name -> a pyarrow type, or `"images"` for a list of pictures, which Hugging Face's readers decode.

    Returns:
        How many rows.

    Raises:
        MissingExtra: pyarrow is not installed.
        InputError: the file cannot be written.
    """
    arrow, parquet = arrow_modules()
    schema = described(columns, arrow)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(str(part), schema, compression="snappy") as writer:
            waiting = iter(rows)
            while stored := [stored_row(row, columns) for row in islice(waiting, BATCH)]:
                writer.write_table(arrow.Table.from_pylist(stored, schema=schema))
                count += len(stored)
        part.replace(path)
    except OSError as error:
        raise InputError(
            "the table cannot be written here", got=f"{path}: {error}", fix="choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return count


def arrow_modules() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error


def stored_row(row: Row, columns: Mapping[str, Any]) -> Row:
    stored = {}
    for name, kind in columns.items():
        value = row[name]
        stored[name] = [{"bytes": png(one), "path": None} for one in value] if kind == "images" else value
    return stored


def described(columns: Mapping[str, Any], arrow: Any) -> pyarrow.Schema:
    """The schema; lists of pictures also by the name that Hugging Face's readers know them by."""
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields = [(name, arrow.list_(picture) if kind == "images" else kind) for name, kind in columns.items()]
    schema = arrow.schema(fields)
    if "images" not in columns.values():
        return schema
    features = {
        name: {"feature": {"_type": "Image"}, "_type": "List"} if kind == "images" else feature(kind, arrow)
        for name, kind in columns.items()
    }
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def feature(kind: Any, arrow: Any) -> Any:
    """An arrow type as Hugging Face's description of a column."""
    if arrow.types.is_struct(kind):
        return {field.name: feature(field.type, arrow) for field in kind}
    if arrow.types.is_list(kind):
        return {"feature": feature(kind.value_type, arrow), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}


def trl_columns() -> dict[str, Any]:
    """Types of `trl_row`."""
    arrow, _ = arrow_modules()
    text, number = arrow.string(), arrow.int64()
    part = arrow.struct([("type", text), ("text", text)])
    return {
        "prompt": arrow.list_(arrow.struct([("role", text), ("content", arrow.list_(part))])),
        "images": "images",
        "ground_truth": arrow.list_(number),
        "alike": arrow.list_(arrow.list_(number)),
        "task": text,
        "k": number,
        "sample": text,
    }


def verl_cut_columns() -> dict[str, Any]:
    """Types of `verl_cut_row`."""
    return verl_columns("images")


def verl_columns(images: Any, videos: Any = None) -> dict[str, Any]:
    """The columns that all verl rows share, with those of their media."""
    arrow, _ = arrow_modules()
    text, number = arrow.string(), arrow.int64()
    told = [("index", number), ("sample", text), ("seed", number), ("epoch", number), ("difficulty", text)]
    media = {"images": images} if videos is None else {"videos": videos}
    return {
        "data_source": text,
        "prompt": arrow.list_(arrow.struct([("role", text), ("content", text)])),
        **media,
        "reward_model": arrow.struct([("style", text), ("ground_truth", arrow.list_(number))]),
        "extra_info": arrow.struct(
            [*told, ("order", arrow.list_(number)), ("alike", arrow.list_(arrow.list_(number)))]
        ),
    }
