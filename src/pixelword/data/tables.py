"""Rows from parquet files and from Hugging Face datasets, such as TRL's `messages` and `images` columns.

Pictures inside a table stay the bytes of their files until they are needed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pixelword.data.records import Record, RowError
from pixelword.errors import DataError, MissingExtra

ROWS_AT_ONCE = 32
OF_FILES = "load the dataset again; if it is made of JSON files, kind json reads on behind a broken row"


class ParquetRows:
    """Parquet files; a block is a row group, a place a row in it.

    Args:
        name: of the source.
        files: in the order in which they are counted.
        root: folder that paths in the rows must lie in; none may be named when not given.

    Raises:
        DataError: no files.
        MissingExtra: pyarrow is not installed.
    """

    parts = "row groups"

    def __init__(self, name: str, files: Sequence[Path], *, root: Path | None = None) -> None:
        self.name, self.files, self.root = name, tuple(files), root
        if not self.files:
            raise DataError(f"source {name!r} has no files", got=list(files), fix="check its path or pattern")

    @cached_property
    def _first_blocks(self) -> list[int]:
        """Number of each file's first block, and behind them the number of all blocks."""
        first = [0]
        for path in self.files:
            first.append(first[-1] + int(self._open(path).num_row_groups))
        return first

    def _open(self, path: Path) -> Any:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtra("pyarrow", "train") from error
        try:
            return pyarrow.parquet.ParquetFile(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{path} cannot be read as parquet", got=error, fix="write or download it again") from error

    def blocks(self) -> int:
        return self._first_blocks[-1]

    def fingerprint(self) -> str:
        return " ".join(f"{path.name}:{path.stat().st_size}" for path in self.files)

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`."""
        number = bisect_right(self._first_blocks, block) - 1
        path, group = self.files[number], block - self._first_blocks[number]
        from pyarrow import ArrowException

        place = 0
        try:
            for batch in self._open(path).iter_batches(ROWS_AT_ONCE, row_groups=[group]):
                rows = batch.slice(max(0, start - place)).to_pylist()
                place += batch.num_rows - len(rows)
                for row in rows:
                    yield Record(
                        self.name, block, place, f"{path.name}, row group {group}, row {place}", row, self.root
                    )
                    place += 1
        except (OSError, ArrowException) as error:
            name = f"{path.name}, row group {group}"
            broken = RowError(f"{name} is broken", reason="broken file", got=error, fix="write or download it again")
            yield Record(self.name, block, place, name, broken)


class DatasetRows:
    """A Hugging Face dataset; one with numbered rows is read in ranges, a streamed one shard by shard.

    Args:
        name: of the source.
        dataset: `datasets.Dataset` or `datasets.IterableDataset`.
        root: folder that paths in the rows must lie in; none may be named when not given.
        block: rows of a range.
    """

    def __init__(self, name: str, dataset: Any, *, root: Path | None = None, block: int = 1000) -> None:
        self.name, self.dataset, self.root, self.block = name, _undecoded(dataset), root, block
        self._numbered = hasattr(dataset, "__len__")

    @property
    def parts(self) -> str:
        return "" if self._numbered else "shards"

    @classmethod
    def load(cls, name: str, path: str, *, split: str = "train", root: Path | None = None) -> DatasetRows:
        """A dataset saved with `save_to_disk`, or one that `datasets.load_dataset` knows, streamed.

        Raises:
            DataError: it cannot be loaded.
            MissingExtra: `datasets` is not installed.
        """
        try:
            import datasets
        except ImportError as error:
            raise MissingExtra("datasets", "train") from error
        with _loading(name, path):
            if (Path(path) / "state.json").exists():
                return cls(name, datasets.load_from_disk(path), root=root)
            return cls(name, datasets.load_dataset(path, split=split, streaming=True), root=root)

    @classmethod
    def of_parquet(cls, name: str, urls: Sequence[str], *, root: Path | None = None) -> DatasetRows:
        """Parquet files that are elsewhere, streamed; a shard is a file.

        Raises:
            DataError: they cannot be reached or read.
            MissingExtra: `datasets` is not installed.
        """
        try:
            import datasets
        except ImportError as error:
            raise MissingExtra("datasets", "train") from error
        with _loading(name, urls[0]):
            streamed = datasets.load_dataset("parquet", data_files=list(urls), split="train", streaming=True)
            return cls(name, streamed, root=root)

    def blocks(self) -> int:
        if self._numbered:
            return -(-len(self.dataset) // self.block)
        return int(self.dataset.num_shards)

    def fingerprint(self) -> str:
        if self._numbered:
            return f"{len(self.dataset)} rows, {sorted(self.dataset.column_names)}"
        return f"{self.dataset.num_shards} shards, {self.dataset.info.dataset_name}"

    def read(self, block: int, start: int = 0) -> Iterator[Record]:
        """See `Source`; a place is a row of the range or shard. A shard that is streamed is read up to it again."""
        place = start
        try:
            for row in self._range(block, start) if self._numbered else self._shard(block, start):
                yield Record(self.name, block, place, self._name(block, place), row, self.root)
                place += 1
        except ConnectionError as error:
            raise DataError(
                f"{self._name(block, place)} cannot be read: the connection is lost",
                got=error,
                fix="check the network, then give the same command again: it goes on where it stopped",
            ) from error
        except (OSError, ValueError, RuntimeError) as error:  # ValueError and RuntimeError: what Arrow raises
            name = self._name(block, place)
            what = f"{name} cannot be read, nor what follows it in its {'range' if self._numbered else 'shard'}"
            broken = RowError(what, reason="broken file", got=error, fix=OF_FILES)
            yield Record(self.name, block, place, name, broken)

    def _name(self, block: int, place: int) -> str:
        if self._numbered:
            return f"{self.name}, row {block * self.block + place}"
        return f"{self.name}, shard {block}, row {place}"

    def _range(self, block: int, start: int) -> Iterator[dict[str, Any]]:
        first, end = block * self.block + start, min((block + 1) * self.block, len(self.dataset))
        for low in range(first, end, ROWS_AT_ONCE):
            columns = self.dataset[low : min(low + ROWS_AT_ONCE, end)]
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))

    def _shard(self, block: int, start: int) -> Iterator[dict[str, Any]]:
        shard = self.dataset.shard(self.dataset.num_shards, block, contiguous=True)
        yield from shard.skip(start)


@contextmanager
def _loading(name: str, path: str) -> Iterator[None]:
    import datasets

    try:
        yield
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"source {name!r}: no dataset can be loaded from {path}",
            got=f"{type(error).__name__}: {error}",
            fix="give a folder of Dataset.save_to_disk, or a name on the hub with a split that it has; "
            "files of JSON, parquet or tar have their own kind",
        ) from error


def _undecoded(dataset: Any) -> Any:
    """The same dataset with pictures as bytes or paths: it would decode every picture that passes by."""
    import datasets

    for column, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image | datasets.Video):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
        elif isinstance(feature, datasets.List) and isinstance(feature.feature, datasets.Image | datasets.Video):
            dataset = dataset.cast_column(column, datasets.List(type(feature.feature)(decode=False)))
    return dataset
