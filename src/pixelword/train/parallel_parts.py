"""Parts of tensors in safetensors files, as a storage of torch's DCP.

A file holds the parts of one process. Its header says where in the whole tensor each part begins, so nothing else has
to be written, and any number of processes finds what it needs:

    shard-00002-model-00001-of-00003.safetensors    process 2 of however many, its file 1 of 3
    __metadata__.DCP_SHARDING_INFO                  {"name of tensor": {"saved_offsets": [first row, first column]}}

Names and headers are those of torch's own HuggingFaceStorageWriter (torch.distributed.checkpoint.hf_storage), which
reads these files, and whose files are read here. torch has it in this form only from 2.9 on; the interface below it,
StorageWriter and StorageReader, is in 2.6 already.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save as serialised
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner, WriteItem
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

Value = TypeVar("Value")

PLACES, OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"


class PartsWriter(StorageWriter):
    """Writes what each process holds.

    Args:
        folder: is there, and empty.
        files: number of the file of each tensor, from 1 on. A process serialises one file at a time.
    """

    def __init__(self, folder: Path, files: Mapping[str, int]) -> None:
        self.folder, self.files = folder, files

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Tell every process its number, from 1 on; done on the first one."""
        return [dataclasses.replace(plan, storage_data=number) for number, plan in enumerate(plans, start=1)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        by_file: dict[int, list[WriteItem]] = {}
        for item in plan.items:
            by_file.setdefault(self.files[item.index.fqn], []).append(item)
        last = max(self.files.values())
        for number, items in by_file.items():
            name = f"shard-{plan.storage_data:05}-model-{number:05}-of-{last:05}.safetensors"
            _write_file(self.folder / name, items, planner)
        return _done([WriteResult(item.index, 0, None) for item in plan.items])

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Nothing: the headers say it all."""

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Nothing is kept between checkpoints."""

    def set_up_storage_writer(self, is_coordinator: bool, *_: Any, **__: Any) -> None:
        """Nothing: all processes do the same."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return True


class PartsReader(StorageReader):
    """Reads what a process needs, out of the files of however many."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_metadata(self) -> Metadata:
        """Shapes and parts of all tensors, from the headers of the files."""
        parts: dict[str, list[ChunkStorageMetadata]] = {}
        files: dict[MetadataIndex, Path] = {}
        for path in sorted(self.folder.iterdir()):
            if path.suffix == ".safetensors":
                for name, part in _parts_of(path):
                    parts.setdefault(name, []).append(part)
                    files[MetadataIndex(name, part.offsets)] = path
        tensors: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {
            name: TensorStorageMetadata(TensorProperties(), _whole(chunks), chunks) for name, chunks in parts.items()
        }
        return Metadata(tensors, storage_data=files)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *_: Any, **__: Any) -> None:
        self.files: dict[MetadataIndex, Path] = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        by_file: dict[Path, list[ReadItem]] = {}
        for item in plan.items:
            by_file.setdefault(self.files[item.storage_index], []).append(item)
        for path, items in by_file.items():
            with safe_open(path, framework="pt") as file:
                for item in items:
                    box = tuple(map(slice, item.storage_offsets, _ends(item.storage_offsets, item.lengths)))
                    target = planner.resolve_tensor(item).detach()
                    target.copy_(file.get_slice(item.storage_index.fqn)[box])
                    planner.commit_tensor(item, target)
        return _done(None)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Nothing is kept between checkpoints."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return True


def _write_file(path: Path, items: Sequence[WriteItem], planner: SavePlanner) -> None:
    tensors, places = {}, {}
    for item in items:
        assert item.tensor_data is not None  # what is no tensor is not saved here
        name = item.index.fqn
        tensors[name] = _own(planner.resolve_data(item))
        places[name] = {OFFSETS: item.tensor_data.chunk.offsets}
    content = serialised(tensors, {PLACES: json.dumps(places), "DCP_VERSION": "1.0", "format": "pt"})
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _own(tensor: Any) -> Tensor:
    """On the CPU, in memory of its own: a part is often a view of something larger."""
    assert isinstance(tensor, Tensor)
    there = tensor.detach().cpu()
    return there if there.untyped_storage().size() == there.nbytes else there.clone()


def _parts_of(path: Path) -> list[tuple[str, ChunkStorageMetadata]]:
    with safe_open(path, framework="pt") as file:
        places = json.loads((file.metadata() or {}).get(PLACES, "null"))
        parts = []
        for name in file.keys():  # noqa: SIM118  # a file is no mapping
            shape = file.get_slice(name).get_shape()
            offsets = [0] * len(shape) if places is None else places[name][OFFSETS]
            parts.append((name, ChunkStorageMetadata(torch.Size(offsets), torch.Size(shape))))
        return parts


def _whole(parts: Sequence[ChunkStorageMetadata]) -> torch.Size:
    """As large as the part that ends last."""
    return torch.Size(max(ends) for ends in zip(*(_ends(part.offsets, part.sizes) for part in parts), strict=True))


def _ends(offsets: Sequence[int], sizes: Sequence[int]) -> list[int]:
    return [offset + size for offset, size in zip(offsets, sizes, strict=True)]


def _done(value: Value) -> Future[Value]:
    future: Future[Value] = Future()
    future.set_result(value)
    return future
