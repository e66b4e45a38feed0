"""Spread over two processes, a model trains as in one; checkpoints go from any number of processes to any other."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.torch_version import TorchVersion

from pixelword.errors import CheckpointError, ConfigError
from pixelword.model import NeoForConditionalGeneration
from pixelword.train.parallel import refuse_other_sharding
from pixelword.train.parallel_checkpoint import load_tensors, save_tensors
from pixelword.train.parallel_model import check_torch, every_batch_looks, mesh_of, parts_of, shard
from tests.train import sharded_jobs as jobs
from tests.train.two_processes import in_processes


def many(*calls):
    """Several runs in the same processes."""
    return [jobs.losses(*given, **named) for given, named in calls]


RUNS = {
    "sgd": ((20, "sgd"), {}),
    "sgd, tied": ((20, "sgd"), {"tied": True}),
    "adamw": ((20, "foreach"), {}),
    "adamw, tied": ((20, "foreach"), {"tied": True}),
    "fused": ((4, "fused"), {}),
    "clipped": ((4, "sgd"), {"clip": 0.5}),
    "checkpointing": ((4, "sgd"), {"checkpointing": True}),
    "frozen": ((4, "foreach"), {"frozen": True}),
    "words only": ((4, "foreach"), {"pictures": False}),
    "muon": ((5, "muon"), {}),
}
TOLERANCE = {"sgd": 1e-5, "sgd, tied": 1e-5, "muon": 1e-3}


@pytest.fixture(scope="module")
def both() -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Losses of one process, and of the two."""
    alone = many(*[(given, named | {"spread": False}) for given, named in RUNS.values()])
    first, second = in_processes(2, many, *RUNS.values())
    return dict(zip(RUNS, zip(alone, first, second, strict=True), strict=True))


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(both, name):
    alone, first, second = both[name]
    assert first == second
    assert alone[-1] < alone[0] - 0.01, "something is learned"
    assert first == pytest.approx(alone, rel=TOLERANCE.get(name, 1e-4))


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_is_spread_and_the_parts_make_the_whole(tied):
    first, second = in_processes(2, jobs.kinds_of_parameters, tied)
    whole = {name: parameter.numel() for name, parameter in jobs.model(tied=tied).named_parameters()}
    assert [name for name, _, is_spread, _ in first + second if not is_spread] == []
    sizes = {
        name: torch.Size(shape).numel() + torch.Size(other).numel()
        for (name, _, _, shape), (_, _, _, other) in zip(first, second, strict=True)
    }
    assert sizes == whole


def test_another_way_of_sharding_is_refused_and_not_ignored(monkeypatch):
    refuse_other_sharding()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="torchrun"):
        refuse_other_sharding()


def test_adapters_that_come_too_late_are_refused():
    assert "not spread" in in_processes(2, jobs.late_parameter)[0]


def test_weights_that_learn_must_have_one_precision():
    model = jobs.model()
    model.lm_head.to(torch.bfloat16)
    with pytest.raises(ConfigError, match="one precision"):
        shard(model, None)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ConfigError, match="no blocks"):
        shard(torch.nn.Linear(2, 2), None)


def test_an_old_torch_is_refused_before_it_fails():
    model = jobs.model()
    parts = parts_of(model)
    assert parts[-1] is model
    with pytest.raises(ConfigError, match=r"2\.7 on"):
        check_torch(parts, "cpu", TorchVersion("2.6.0+cu124"))
    check_torch(parts, "cuda", TorchVersion("2.6.0+cu124"))
    # A part of one precision is no hindrance beside one of another.
    model.model.vision_model.to(torch.bfloat16).requires_grad_(False)
    check_torch(parts, "cpu", TorchVersion("2.7.0"))
    model.model.language_model.layers[0].self_attn.to(torch.bfloat16).requires_grad_(False)
    with pytest.raises(ConfigError, match=r"2\.8 on"):
        check_torch(parts, "cpu", TorchVersion("2.7.1"))
    check_torch(parts, "cpu", TorchVersion("2.10.0"))


def test_machines_with_different_numbers_of_processes_cannot_hold_a_copy_each():
    with pytest.raises(ConfigError, match="as many processes on every machine"):
        mesh_of(jobs.CPU, 5, 2, "node")


def test_products_in_bfloat16_sums_and_weights_in_float32():
    for seen in in_processes(2, jobs.precisions):
        assert seen == {
            "products": "torch.bfloat16",
            "loss": "torch.float32",
            "gradients": "torch.float32",
            "learning": "torch.float32",
            "frozen": "torch.bfloat16",
        }


def test_norms_of_single_gradients_are_those_of_one_process():
    first, second = in_processes(2, jobs.norms)
    assert first == second
    assert first == pytest.approx(jobs.norms(), rel=1e-5, abs=1e-7)


def test_a_copy_per_machine_trains_the_same():
    four = in_processes(4, jobs.losses_on_two_nodes, 3)
    assert four[0] == four[3] == pytest.approx(jobs.losses(3, rows=4, spread=False), rel=1e-5)


def test_a_batch_of_words_gives_the_patch_embedding_zero_gradients_only_when_told():
    model = jobs.model()
    vision = list(model.model.vision_model.parameters())
    quiet = model(**jobs.row(0, 1, True)).loss
    quiet.backward()
    assert all(parameter.grad is None for parameter in vision)
    every_batch_looks(model)
    told = model(**jobs.row(0, 1, True)).loss
    told.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in vision)
    assert torch.equal(quiet, told)


# Checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, tuple[Path, list[float]]]:
    """A checkpoint of one process, one of two, and how each went on; AdamW, and Muon with tied words."""
    folder = tmp_path_factory.mktemp("saved")
    found = {}
    for kind, tied in (("adamw", False), ("muon", True)):
        found[f"{kind} 1"] = (folder / f"{kind}1", jobs.written(folder / f"{kind}1", kind, 3, tied, False))
        two = in_processes(2, jobs.written, folder / f"{kind}2", kind, 3, tied, True)
        found[f"{kind} 2"] = (folder / f"{kind}2", two[0])
    return found


@pytest.mark.parametrize(("kind", "tied", "tolerance"), [("adamw", False, 1e-5), ("muon", True, 1e-3)])
def test_a_checkpoint_goes_from_one_process_to_two_and_back(saved, kind, tied, tolerance):
    (one, after_one), (two, after_two) = saved[f"{kind} 1"], saved[f"{kind} 2"]
    assert jobs.read(one, kind, 3, tied, False) == after_one, "bit for bit"
    assert jobs.read(two, kind, 3, tied, False) == pytest.approx(after_two, rel=tolerance)
    assert in_processes(2, jobs.read, two, kind, 3, tied, True) == [after_two] * 2, "bit for bit"
    assert in_processes(2, jobs.read, one, kind, 3, tied, True)[0] == pytest.approx(after_one, rel=tolerance)


def test_nothing_in_a_checkpoint_is_pickled_and_a_pickle_beside_it_is_not_opened(saved, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(saved["adamw 2"][0], folder)
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".safetensors", ".json"}
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for place in (folder, folder / "weights", folder / "optimizer"):
        (place / ".metadata").write_bytes(bomb)
        (place / "__0_0.distcp").write_bytes(bomb)
    jobs.read(folder, "adamw", 1, False, False)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "the witness: opened, it would have been noticed"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def broken(change):
    """A damaged copy of the checkpoint of two, and what loading says."""

    def load(saved, tmp_path):
        folder = tmp_path / "broken"
        shutil.copytree(saved["adamw 2"][0], folder)
        change(folder)
        model = jobs.model()
        with pytest.raises(CheckpointError) as raised:
            load_tensors(folder, model, jobs.optimizer_of("adamw", model))
        return str(raised.value)

    return load


def shards(folder, part="weights"):
    return sorted((folder / part).glob("*.safetensors"))


def rewrite(file, change):
    """Change the tensors of a file; its header stays."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        header = opened.metadata()
    tensors = load_file(file)
    header = change(tensors, header) or header
    save_file(tensors, file, header)


def one_part_less(folder):
    def change(tensors, header):
        tensors.pop("lm_head.weight")

    rewrite(shards(folder)[0], change)


def moved(folder):
    """A part is said to begin one row later, over the next one."""

    def change(tensors, header):
        places = json.loads(header["DCP_SHARDING_INFO"])
        places["lm_head.weight"]["saved_offsets"][0] += 1
        return header | {"DCP_SHARDING_INFO": json.dumps(places)}

    rewrite(shards(folder)[0], change)


def no_groups(folder):
    (folder / "optimizer.json").write_text("[]")


def other_groups(folder):
    plain = json.loads((folder / "optimizer.json").read_text())
    plain["groups"][0]["names"].pop()
    (folder / "optimizer.json").write_text(json.dumps(plain))


def strange_state(folder):
    plain = json.loads((folder / "optimizer.json").read_text())
    next(iter(plain["state"].values()))["exp_avg"] = {"tensor": "complex512"}
    (folder / "optimizer.json").write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: shards(folder)[0].unlink(), "parts of .* missing"),
        (lambda folder: shards(folder)[1].unlink(), "another architecture"),
        (lambda folder: shutil.rmtree(folder / "weights"), "weights"),
        (lambda folder: shards(folder)[0].write_bytes(b"half"), "holds no parts"),
        (one_part_less, "parts of 1 tensors are missing"),
        (lambda folder: rewrite(shards(folder)[0], lambda t, h: {"DCP_SHARDING_INFO": "["}), "holds no parts"),
        (lambda folder: rewrite(shards(folder)[1], lambda t, h: {"format": "pt"}), "another architecture"),
        (moved, "parts of 1 tensors are missing"),
        (lambda folder: (folder / "optimizer.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "optimizer.json").write_text("{"), "cannot be read"),
        (no_groups, "holds no table"),
        (other_groups, "other parameters"),
        (strange_state, "nobody wrote"),
        (lambda folder: shutil.rmtree(folder / "optimizer"), "optimizer"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_a_reason(saved, tmp_path, change, said):
    text = broken(change)(saved, tmp_path)
    assert re.search(said, text), text
    assert "fix:" in text


def test_a_checkpoint_of_another_model_is_refused_on_every_process(saved):
    for said in in_processes(2, jobs.other_model, saved["adamw 2"][0]):
        assert "another architecture" in said and "18), here" in said


def test_a_full_disk_on_one_process_is_told_to_all(tmp_path):
    first, second = in_processes(2, jobs.half_written, tmp_path / "checkpoint-1")
    assert "process 1" in first and "File too large" in first and "last good checkpoint" in first
    assert "File too large" in second


def test_a_state_that_is_not_as_large_as_its_parameter_cannot_be_saved(tmp_path):
    model = jobs.model()
    optimizer = jobs.optimizer_of("sgd", model)
    optimizer.state[model.lm_head.weight]["row"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="cannot be saved"):
        save_tensors(tmp_path, model, optimizer)


# The end of a run


@pytest.mark.parametrize("tied", [False, True])
def test_the_model_becomes_an_ordinary_one_again(tmp_path, tied):
    assert in_processes(2, jobs.made_whole, tmp_path, tied) == [True, False]
    held = load_file(tmp_path / "held.safetensors")
    loaded = NeoForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, held[name]), name
    with torch.no_grad():
        torch.testing.assert_close(loaded(**jobs.row(7, 0, True)).logits, held["logits"])


def test_a_process_that_dies_is_said_in_one_sentence():
    said, gone = in_processes(2, jobs.dies, 2)
    assert gone is None
    assert "another process of this run is gone; process 0 of 2 stops too" in said
    assert "goes on from checkpoint-3" in said
