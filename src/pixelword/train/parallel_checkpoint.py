"""The tensors of a checkpoint, written by any number of processes and read by any other: torch's DCP, without pickles.

    weights/shard-00001-model-00001-of-00001.safetensors     each process writes what it holds
    optimizer/shard-....safetensors
    optimizer.json                                           what is no tensor: settings of groups, step counts

torch.distributed.checkpoint keeps its own index as a pickle (`.metadata`), and what is no tensor as pickles too.
Neither is written or read here: `parallel_parts` carries the place of every part in the header of the file, and what is
no tensor is JSON. So a checkpoint from anywhere can be opened; one that was tampered with is refused or holds
other numbers, but runs nothing. Whether a checkpoint is whole is for `checkpoints` to say: its marker lists all files.

The folder must lie on a disk that all processes see.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from pixelword.errors import CheckpointError
from pixelword.train.parallel import all_or_none, is_first, number_of_processes
from pixelword.train.parallel_optimizer import optimizer_plain, optimizer_tensors, prepare_optimizer
from pixelword.train.parallel_parts import PartsReader, PartsWriter

WEIGHTS, OPTIMIZER, PLAIN = "weights", "optimizer", "optimizer.json"
FILE_BYTES = 2 * 2**30
"""One process serialises this much at a time, so that saving needs little memory beside the tensors."""
FULL = "free some disk space, or save elsewhere; the last good checkpoint is still there"


def save_tensors(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Write weights and the optimiser's state into an empty folder that is there; called by all processes.

    Raises:
        CheckpointError: on all processes, when one could not write: the disk is full, say.
    """
    save_parts(folder, model_tensors(model), optimizer, names_of(model))


def save_parts(
    folder: Path, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None, names: Mapping[Tensor, str]
) -> None:
    """`save_tensors` of tensors that lie elsewhere than in a model.

    Args:
        weights: everything of the model that has to be kept, by its names.
        optimizer: its groups hold the keys of `names`.
        names: of the parameters.
    """
    _write(weights, folder / WEIGHTS)
    if optimizer is None:
        return
    tensors = optimizer_tensors(optimizer, names)
    if tensors:
        _write(tensors, folder / OPTIMIZER)
    with all_or_none(f"{PLAIN} of {folder.name} cannot be written", FULL):
        if is_first():
            text = json.dumps(optimizer_plain(optimizer, names), indent=1, allow_nan=False)
            (folder / PLAIN).write_text(text + "\n", encoding="utf-8")


def load_tensors(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Read weights and the optimiser's state; called by all processes, whose number may not be that of the writers.

    Args:
        folder: that `save_tensors` wrote.
        model: of the same parts, spread or not; its weights are replaced.
        optimizer: over the same parameters in the same groups; its state and settings are replaced.

    Raises:
        CheckpointError: parts missing, of another model, of another optimiser, or no file of the kind it should be.
    """
    load_parts(folder, model_tensors(model), optimizer, names_of(model))


def load_parts(
    folder: Path, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer | None, names: Mapping[Tensor, str]
) -> None:
    """`load_tensors` into tensors that lie elsewhere than in a model; see `save_parts`."""
    _read(weights, folder / WEIGHTS)
    if optimizer is None:
        return
    with all_or_none(f"the optimiser of {folder.name} is another one", "go on with the recipe that wrote it"):
        prepare_optimizer(optimizer, names, _read_json(folder / PLAIN))
    if tensors := optimizer_tensors(optimizer, names):
        _read(tensors, folder / OPTIMIZER)


def names_of(model: nn.Module) -> dict[Tensor, str]:
    """Each parameter and its name; a tied one has the first of its names."""
    return {parameter: name for name, parameter in model.named_parameters()}


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Everything of a model that has to be kept, under its names in memory, each tensor once."""
    saved = model.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in saved}
    tensors = {name: parameter.detach() for parameter, name in names_of(model).items()}
    return tensors | buffers


def _write(tensors: Mapping[str, Tensor], folder: Path) -> None:
    with all_or_none(f"{folder.parent.name} cannot be written", FULL):
        folder.mkdir(exist_ok=True)
    with _explained(folder, "cannot be written", FULL):
        save(dict(tensors), storage_writer=PartsWriter(folder, _files(tensors)))


def _read(tensors: dict[str, Tensor], folder: Path) -> None:
    """Into the given tensors; each process reads what it holds."""
    reader = PartsReader(folder)
    with all_or_none(f"{folder.parent.name}/{folder.name} does not fit", "go on with the model that wrote it"):
        _compare(tensors, _index(reader, folder), folder)
    with _explained(folder, "cannot be read", "go on from an older checkpoint"):
        load(dict(tensors), storage_reader=reader)


def _files(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of the file of each tensor, so that no process serialises more than FILE_BYTES at once."""
    limit = FILE_BYTES * number_of_processes()
    numbers, size, number = {}, 0, 1
    for name, tensor in tensors.items():
        size += tensor.numel() * tensor.element_size()
        if size > limit:
            size, number = tensor.numel() * tensor.element_size(), number + 1
        numbers[name] = number
    return numbers


def _index(reader: PartsReader, folder: Path) -> Metadata:
    """Where every part of every tensor lies, from the headers of the files."""
    try:
        return reader.read_metadata()
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{folder} holds no parts of a checkpoint",
            got=f"{type(error).__name__}: {error}",
            fix="go on from an older checkpoint",
        ) from error


def _compare(tensors: Mapping[str, Tensor], index: Metadata, folder: Path) -> None:
    """Every tensor is there with its shape, whole, and no other is."""
    stored = {name: data for name, data in index.state_dict_metadata.items() if isinstance(data, TensorStorageMetadata)}
    shapes = {name: tuple(data.size) for name, data in stored.items()}
    different = [f"no {name}" for name in tensors if name not in stored]
    different += [f"{name} is not in this model" for name in stored if name not in tensors]
    different += [
        f"{name} {shapes[name]}, here {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in shapes and shapes[name] != tuple(tensor.shape)
    ]
    if different:
        raise CheckpointError(
            f"{folder.parent} is a checkpoint of another architecture, or parts of it are missing",
            got="; ".join(different[:3]) + (f" (and {len(different) - 3} more)" if len(different) > 3 else ""),
            fix="go on with the model that it was made from, or start in another --out",
        )
    holes = [name for name, tensor in tensors.items() if not _cover(stored[name].chunks, tensor.shape)]
    if holes:
        raise CheckpointError(
            f"parts of {len(holes)} tensors are missing",
            got=f"{holes[0]} in {folder}",
            fix="go on from an older checkpoint",
        )


def _cover(chunks: Sequence[ChunkStorageMetadata], shape: torch.Size) -> bool:
    """Whether parts make up a whole: blocks of rows, one after the other. A single number has no rows and one part."""
    if not shape:
        return len(chunks) == 1
    row = 0
    for chunk in sorted(chunks, key=lambda chunk: chunk.offsets):
        if tuple(chunk.offsets) != (row, *[0] * (len(shape) - 1)) or tuple(chunk.sizes[1:]) != tuple(shape[1:]):
            return False
        row += chunk.sizes[0]
    return row == shape[0]


@contextmanager
def _explained(folder: Path, what: str, fix: str) -> Iterator[None]:
    """DCP tells every process what went wrong on each; its own exception is no `Exception`, so nothing catches it."""
    name = f"{folder.parent.name}/{folder.name}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is (disabled|unavailable)", UserWarning)
            yield
    except CheckpointException as error:
        said = "; ".join(f"process {rank}: {cause[0]}" for rank, cause in error.failures.items())
        raise CheckpointError(f"{name} {what}", got=said, fix=fix) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{name} {what}", got=error, fix=fix) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be read", got=error, fix="go on from an older checkpoint") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds no table", got=type(content), fix="go on from an older checkpoint")
    return content
