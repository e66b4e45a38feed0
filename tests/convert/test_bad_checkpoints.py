"""Broken folders of weights: each gives one CheckpointError that names what is wrong, and none is unpickled."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelword.convert import load_released, neo_from_qwen3, save_released
from pixelword.errors import CheckpointError
from pixelword.model import NeoForConditionalGeneration
from tests.convert.qwen3_folder import save_qwen3

SOME = "language_model.model.layers.1.self_attn.k_proj_hw.weight"


class Bomb:
    """Unpickling it would leave a mark."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def file_of(folder: Path, tensor: str) -> Path:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return folder / json.loads(index.read_text())["weight_map"][tensor]
    return folder / "model.safetensors"


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = file_of(folder, SOME)
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def truncate(folder: Path) -> None:
    file = file_of(folder, SOME)
    file.write_bytes(file.read_bytes()[:-1000])


def pickle_under_its_name(folder: Path) -> None:
    file_of(folder, SOME).write_bytes(pickle.dumps(Bomb()))


def only_a_pickle(folder: Path) -> None:
    for file in (*folder.glob("*.safetensors"), *folder.glob("*.index.json")):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


BREAKS = {
    "truncated": (truncate, "not a whole safetensors file"),
    "cut inside the header": (
        lambda folder: file_of(folder, SOME).write_bytes(b"\x10"),
        "not a whole safetensors file",
    ),
    "empty": (lambda folder: file_of(folder, SOME).write_bytes(b""), "not a whole safetensors file"),
    "a page of the web": (lambda folder: file_of(folder, SOME).write_text("<html>404</html>"), "not a whole"),
    "a pickle under its name": (pickle_under_its_name, "not a whole safetensors file"),
    "only a pickle": (only_a_pickle, "never opened"),
    "gone": (lambda folder: file_of(folder, SOME).unlink(), "missing|no model.safetensors"),
    "a tensor missing": (lambda folder: edit(folder, lambda tensors: tensors.pop(SOME)), SOME),
    "a tensor too many": (
        lambda folder: edit(folder, lambda tensors: tensors.update({"vision_model.extra": torch.zeros(2)})),
        "vision_model.extra",
    ),
    "a tensor renamed": (
        lambda folder: edit(folder, lambda tensors: tensors.update({f"model.{SOME}": tensors.pop(SOME)})),
        SOME,
    ),
    "another shape": (
        lambda folder: edit(folder, lambda tensors: tensors.update({SOME: tensors[SOME][:-1].clone()})),
        "another shape",
    ),
    "a transposed tensor": (
        lambda folder: edit(
            folder, lambda tensors: tensors.update({SOME: tensors[SOME].T.contiguous()[:, :-1].clone()})
        ),
        "another shape",
    ),
    "whole numbers": (
        lambda folder: edit(folder, lambda tensors: tensors.update({SOME: tensors[SOME].to(torch.int8)})),
        "is I8",
    ),
    "a successor's tensors": (
        lambda folder: edit(folder, lambda tensors: tensors.update({SOME + "_mot_gen": torch.zeros(1)})),
        "successor",
    ),
}


@pytest.fixture(params=["single", "sharded"])
def folder(request, released, tmp_path) -> Path:
    if request.param == "single":
        return released
    model, processor = load_released(released)
    return save_released(model, processor, tmp_path / "sharded", max_shard_size="200KB")


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_folder_is_one_clear_error(folder, fault):
    damage, named = BREAKS[fault]
    damage(folder)
    for load in (load_released, NeoForConditionalGeneration.from_pretrained):
        with pytest.raises(CheckpointError, match=named):
            load(folder)


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ("{", "not a shard index"),
        ("{}", "not a shard index"),
        ('{"weight_map": {"a": "../../etc/passwd"}}', "outside its folder"),
        ('{"weight_map": {"a": "absent.safetensors"}}', "missing"),
    ],
)
def test_a_broken_index_is_one_clear_error(released, index, named):
    (released / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=named):
        load_released(released)


def test_the_index_decides_which_shards_count(folder):
    """A stray file beside the shards, such as a copy of an older model, is not read."""
    save_file({"stray": torch.zeros(1)}, folder / "stray.safetensors")
    load_released(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"', "null", "\x00"])
def test_a_broken_config_is_one_clear_error(released, content):
    (released / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_released(released)


def test_no_config_and_no_tokenizer(released):
    (released / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_released(released)
    (released / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_released(released)


QWEN3_BREAKS = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-100]), "not a whole safetensors file"),
    "a pickle under its name": (lambda file: file.write_bytes(pickle.dumps(Bomb())), "not a whole safetensors file"),
    "gone": (lambda file: file.unlink(), "missing|no model.safetensors"),
}


@pytest.mark.parametrize("fault", QWEN3_BREAKS)
@pytest.mark.parametrize("shard", ["5GB", "100KB"])
def test_a_broken_language_model_is_one_clear_error_too(qwen3, tmp_path, fault, shard):
    folder = save_qwen3(qwen3, tmp_path / "qwen3", max_shard_size=shard)
    damage, named = QWEN3_BREAKS[fault]
    damage(sorted(folder.glob("*.safetensors"))[0])
    with pytest.raises(CheckpointError, match=named):
        neo_from_qwen3(folder, pre_buffer_layers=1)
