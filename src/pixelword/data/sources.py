"""From the settings of a source to the source itself."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pixelword.data.files import files_of, is_elsewhere
from pixelword.data.json_rows import JsonRows
from pixelword.data.records import Source
from pixelword.data.shards import COMPRESSED, TarRows
from pixelword.data.tables import DatasetRows, ParquetRows
from pixelword.errors import DataError
from pixelword.recipe import SourceSettings

ENDINGS = {"json": (".json", ".jsonl"), "parquet": (".parquet",), "webdataset": (".tar", *COMPRESSED)}


def open_source(settings: SourceSettings) -> Source:
    """A source that can be read; no row is.

    Raises:
        ConfigError: a pattern that is not understood.
        DataError: its files or its root do not exist, or those elsewhere cannot be listed.
        MissingExtra: a library is needed for its format.
    """
    if settings.root is not None and not settings.root.is_dir():
        raise DataError(
            f"the root of source {settings.name!r} is no folder",
            got=settings.root,
            fix="give the folder that the pictures' paths start from",
        )
    if settings.kind == "huggingface":
        return DatasetRows.load(settings.name, settings.path, split=settings.split, root=settings.root)
    files = files_of(settings.path, ENDINGS[settings.kind])
    if not files:
        raise DataError(
            f"source {settings.name!r} has no files",
            got=settings.path,
            fix=f"give a file, a folder of {' or '.join(ENDINGS[settings.kind])}, or a pattern with * or {{0..9}}",
        )
    if settings.kind == "webdataset":
        return TarRows(settings.name, files)
    if settings.kind == "json":
        return JsonRows(settings.name, files, root=settings.root)
    if is_elsewhere(settings.path):
        return DatasetRows.of_parquet(settings.name, [str(url) for url in files], root=settings.root)
    return ParquetRows(settings.name, cast(list[Path], files), root=settings.root)
