"""Our files of parts are those of torch's own storage, where torch has it: headers and bytes; either reads both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.metadata import MetadataIndex

from pixelword.train.parallel_parts import PartsReader, PartsWriter

if torch.__version__ < "2.9":
    pytest.skip("torch's own storage writes parts from 2.9 on", allow_module_level=True)

from torch.distributed.checkpoint import hf_storage

ALONE = pytest.mark.filterwarnings("ignore:torch.distributed is:UserWarning")
FILES = {"a": 1, "b": 2, "c": 2, "count": 1}


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    whole = torch.randn(6, 5, generator=generator)
    return {"a": whole[2:4], "b": whole.to(torch.bfloat16), "c": torch.arange(4), "count": torch.tensor(2.5)}


def opened(path: Path) -> tuple[dict[str, object], bytes]:
    """Header and content; the order of what is in the header is drawn anew for every file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


@ALONE
def test_the_files_are_torchs(tmp_path):
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    theirs = hf_storage.HuggingFaceStorageWriter(str(tmp_path / "theirs"), FILES, save_distributed=True)
    for writer in (theirs, PartsWriter(tmp_path / "ours", FILES)):
        state_dict_saver.save(tensors(), storage_writer=writer)
    written = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert written == [f"shard-00001-model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert written == sorted(path.name for path in (tmp_path / "ours").iterdir())
    for name in written:
        assert opened(tmp_path / "ours" / name) == opened(tmp_path / "theirs" / name)


@ALONE
@pytest.mark.parametrize("read", [PartsReader, lambda folder: hf_storage.HuggingFaceStorageReader(str(folder))])
def test_either_reads_them(tmp_path, read):
    state_dict_saver.save(tensors(), storage_writer=PartsWriter(tmp_path, FILES))
    found = {name: torch.zeros_like(tensor) for name, tensor in tensors().items()}
    state_dict_loader.load(found, storage_reader=read(tmp_path))
    for name, tensor in tensors().items():
        assert torch.equal(found[name], tensor), name


@ALONE
def test_the_index_is_torchs(tmp_path):
    state_dict_saver.save(tensors(), storage_writer=PartsWriter(tmp_path, FILES))
    ours = PartsReader(tmp_path).read_metadata()
    other = hf_storage.HuggingFaceStorageReader(str(tmp_path)).read_metadata()
    for name, stored in other.state_dict_metadata.items():
        assert ours.state_dict_metadata[name].size == stored.size
        assert ours.state_dict_metadata[name].chunks == stored.chunks
    assert {str(path) for path in ours.storage_data.values()} == {
        str(stored.relative_path) for stored in other.storage_data.values()
    }
    assert MetadataIndex("a", [0, 0]) in ours.storage_data
