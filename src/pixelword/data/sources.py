"""From the settings of a source to the source itself."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from pixelword.data.json_rows import JsonRows
from pixelword.data.records import Source
from pixelword.data.shards import TarRows
from pixelword.data.tables import DatasetRows, ParquetRows
from pixelword.errors import DataError
from pixelword.recipe import SourceSettings

ENDINGS = {"json": (".json", ".jsonl"), "parquet": (".parquet",), "webdataset": (".tar",)}


def open_source(settings: SourceSettings) -> Source:
    """A source that can be read; no row is.

    Raises:
        DataError: its files do not exist.
        MissingExtra: a library is needed for its format.
    """
    if settings.kind == "huggingface":
        return DatasetRows.load(settings.name, settings.path, split=settings.split, root=settings.root)
    files = files_of(settings.path, ENDINGS[settings.kind])
    if not files:
        raise DataError(
            f"source {settings.name!r} has no files",
            got=settings.path,
            fix=f"give a file, a folder with {' or '.join(ENDINGS[settings.kind])} files, or a pattern with *",
        )
    if settings.kind == "json":
        return JsonRows(settings.name, files, root=settings.root)
    if settings.kind == "parquet":
        return ParquetRows(settings.name, files, root=settings.root)
    return TarRows(settings.name, files)


def files_of(path: str, endings: tuple[str, ...]) -> list[Path]:
    """The files that a path, a folder or a pattern means, in order of their names."""
    if Path(path).is_dir():
        return sorted(file for file in Path(path).iterdir() if file.suffix in endings)
    if Path(path).is_file():
        return [Path(path)]
    return sorted(Path(file) for file in glob(path, recursive=True) if Path(file).is_file())
