"""Under DeepSpeed's ZeRO a model trains as in one process; skipped where DeepSpeed is not installed.

docs/scale.md says with which versions these were run.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelword.model import NeoForConditionalGeneration
from pixelword.train import checkpoints
from pixelword.train.journal import read_journal
from pixelword.train.run import run_recipe
from tests.train import deepspeed_jobs as jobs
from tests.train import two_processes
from tests.train.sharded_jobs import row
from tests.train.small_run import small_recipe, write_data
from tests.train.two_processes import in_processes

if find_spec("deepspeed") is None:
    pytest.skip("DeepSpeed is not installed", allow_module_level=True)

STAGES = (1, 2, 3)
RUNS = {
    "sgd": ("sgd", 20, {}),
    "sgd, tied": ("sgd", 20, {"tied": True}),
    "adamw": ("foreach", 20, {}),
    "adamw, tied": ("foreach", 20, {"tied": True}),
    "fused": ("fused", 4, {}),
    "clipped": ("foreach", 4, {"clip": 0.5}),
    "checkpointing": ("foreach", 4, {"checkpointing": True}),
    "frozen": ("foreach", 4, {"frozen": True}),
    "words only": ("foreach", 4, {"pictures": False}),
    "three micro-batches": ("foreach", 4, {"rows": 6}),
    "nothing supervised on one process": ("foreach", 4, {"silent": 1, "rows": 4}),
    "averages in main memory": ("foreach", 4, {"offload_optimizer": {"device": "cpu"}}),
    "bfloat16": ("foreach", 4, {"dtype": "bfloat16"}),
}
TOLERANCE = {"sgd": 1e-5, "sgd, tied": 1e-5, "bfloat16": 1e-3}


@pytest.fixture(autouse=True, scope="module")
def patience():
    """DeepSpeed takes seconds to import, and builds a part of itself when it is first used."""
    usual, two_processes.SECONDS = two_processes.SECONDS, 400
    yield
    two_processes.SECONDS = usual


@pytest.fixture(scope="module")
def alone() -> dict[str, list[float]]:
    """Losses of one process, and the norms of its last gradients."""
    ours = {
        name: {key: value for key, value in named.items() if not key.startswith("offload")}
        for name, (_, _, named) in RUNS.items()
    }
    return {name: jobs.trained(None, kind, steps, **ours[name]) for name, (kind, steps, _) in RUNS.items()}


@pytest.fixture(scope="module", params=STAGES)
def together(request) -> dict[str, tuple[list[float], list[float]]]:
    """The same of both of two processes."""
    calls = [((request.param, kind, steps), named) for kind, steps, named in RUNS.values()]
    return dict(zip(RUNS, zip(*in_processes(2, jobs.many, *calls), strict=True), strict=True))


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(alone, together, name):
    steps = RUNS[name][1]
    first, second = together[name]
    assert first == second
    assert alone[name][steps - 1] < alone[name][0] - 0.01, "something is learned"
    assert first[:steps] == pytest.approx(alone[name][:steps], rel=TOLERANCE.get(name, 1e-4))
    rough = {"rel": 0.1, "abs": 1e-3} if name == "bfloat16" else {"rel": 1e-3, "abs": 1e-6}
    assert first[steps:] == pytest.approx(alone[name][steps:], **rough), "norms of single gradients"


@pytest.mark.parametrize("stage", STAGES)
def test_evaluation_between_steps_changes_nothing(stage):
    found, other = in_processes(2, jobs.evaluated, stage, 3)
    assert found == other
    assert found[1::2] == pytest.approx(jobs.trained(None, "foreach", 3)[:3], rel=1e-5)


# Checkpoints


HALF = {"dtype": "bfloat16"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, dict[str, list[float]]]:
    """Checkpoints of one process, of FSDP2 and of all stages, and how each went on; then all of them read by others."""
    folder = tmp_path_factory.mktemp("saved")
    after = {"one": jobs.written(folder / "one", None, 3)}
    wrote = {"fsdp": (0, {})} | {f"zero{stage}": (stage, {}) for stage in STAGES}
    wrote |= {f"half{stage}": (stage, HALF) for stage in STAGES}
    reads = [(f"zero{stage}", stage, {}) for stage in STAGES] + [(f"half{stage}", stage, HALF) for stage in STAGES]
    reads += [(name, stage, {}) for name in ("one", "fsdp") for stage in STAGES]
    reads += [(f"zero{stage}", 0, {}) for stage in STAGES]
    elsewhere = {key: {"device": "cpu"} for key in ("offload_optimizer", "offload_param")}
    reads += [("zero3", 1, {}), ("zero1", 3, elsewhere)]
    calls = [("written", folder / name, stage, named) for name, (stage, named) in wrote.items()]
    calls += [("read", folder / name, stage, named) for name, stage, named in reads]
    first, second = in_processes(2, jobs.exchanged, calls, 3)
    assert first == second
    after |= dict(zip(wrote, first, strict=False))
    found = {f"{name} -> {stage}": own for (name, stage, _), own in zip(reads, first[len(wrote) :], strict=True)}
    return folder, after | found


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["zero", "half"])
def test_a_stage_goes_on_from_its_own_checkpoint_bit_for_bit(saved, kind, stage):
    after = saved[1]
    assert after[f"{kind}{stage} -> {stage}"] == after[f"{kind}{stage}"]


@pytest.mark.parametrize("way", ["one -> 1", "one -> 2", "one -> 3", "fsdp -> 1", "fsdp -> 2", "fsdp -> 3"])
def test_zero_reads_what_others_wrote(saved, way):
    assert saved[1][way] == pytest.approx(saved[1][way.split()[0]], rel=1e-5)


@pytest.mark.parametrize("way", ["zero1 -> 0", "zero2 -> 0", "zero3 -> 0", "zero3 -> 1", "zero1 -> 3"])
def test_others_read_what_zero_wrote(saved, way):
    assert saved[1][way] == pytest.approx(saved[1][way.split()[0]], rel=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_one_process_reads_what_zero_wrote(saved, stage):
    folder, after = saved
    found = jobs.read(folder / f"zero{stage}", None, 3)
    assert found == pytest.approx(after[f"zero{stage}"], rel=1e-5)
    files = {file.suffix for file in (folder / f"zero{stage}").rglob("*") if file.is_file()}
    assert files == {".safetensors", ".json"}, "nothing is pickled"


def test_a_checkpoint_of_another_model_is_refused_on_every_process(saved):
    for said in in_processes(2, jobs.refused, saved[0] / "zero3", 3):
        assert "another architecture" in said and "lm_head.weight" in said


def test_a_full_disk_on_one_process_is_told_to_all(tmp_path):
    for said in in_processes(2, jobs.half_written, tmp_path / "checkpoint-1", 3):
        assert "process 1" in said and "File too large" in said


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_the_model_becomes_an_ordinary_one_again(tmp_path, stage, tied):
    left, other = in_processes(2, jobs.made_whole, tmp_path, stage, tied)
    assert (left, other) == ([], None)
    held = load_file(tmp_path / "held.safetensors")
    loaded = NeoForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, held[name]), name
    with torch.no_grad():
        torch.testing.assert_close(loaded(**row(7, 0, True)).logits, held["logits"])


# Whole runs


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("small") / "data")


@pytest.fixture(scope="module")
def recipe(data):
    return small_recipe(data, steps=4, save_every=1, rows_per_step=4, data={"lanes": 2}, checkpointing=True)


@pytest.fixture(scope="module")
def straight(recipe, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("straight") / "run"
    run_recipe(recipe, run)
    return run


def told(run: Path, *keys: str) -> list[list[float]]:
    return [[line[key] for key in keys] for line in read_journal(run / "log.jsonl")[0] if "loss" in line]


def test_a_recipe_runs_under_every_stage_as_in_one_process(recipe, straight, tmp_path):
    calls = [(stage, recipe, tmp_path / str(stage)) for stage in STAGES]
    assert in_processes(2, jobs.ran_all, *calls, launch=False) == [["finished"] * 3] * 2
    keys = ("loss", "gradient", "gradient/pre-Buffer", "gradient/head")
    whole = load_file(straight / "model" / "model.safetensors")
    for stage in STAGES:
        for own, wanted in zip(told(tmp_path / str(stage), *keys), told(straight, *keys), strict=True):
            assert own == pytest.approx(wanted, rel=1e-4)
        model = load_file(tmp_path / str(stage) / "model" / "model.safetensors")
        assert model.keys() == whole.keys()
        for name, tensor in whole.items():
            torch.testing.assert_close(model[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(recipe, tmp_path, stage):
    rare = recipe.model_copy(update={"save_every": 100})
    calls = [(stage, rare, tmp_path / "straight"), (stage, rare, tmp_path / "stopped", 0, 3)]
    ends = in_processes(2, jobs.ran_all, *calls, (stage, rare, tmp_path / "stopped"), launch=False)
    assert ends == [["finished", "stopped", "finished"]] * 2
    left, right = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("straight", "stopped"))
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert told(tmp_path / "straight", "loss", "gradient") == told(tmp_path / "stopped", "loss", "gradient")


def test_adapters_over_frozen_weights_in_bfloat16(data, tmp_path):
    adapted = small_recipe(
        data,
        steps=3,
        rows_per_step=2,
        data={"lanes": 2},
        learns=[r"model\.vision_model\..*"],
        lora={"rank": 2, "alpha": 4, "targets": [r".*\.q_proj"]},
        model={"preset": "neo-tiny", "tokenizer": str(data / "tokenizer"), "dtype": "bfloat16"},
        optimizer={"warmup_steps": 1},
    )
    run_recipe(adapted, tmp_path / "1")
    in_processes(2, jobs.ran_all, (2, adapted, tmp_path / "z2"), (3, adapted, tmp_path / "z3"), launch=False)
    one = load_file(tmp_path / "1" / "adapters" / "adapter_model.safetensors")
    for run in ("z2", "z3"):
        assert [loss for (loss,) in told(tmp_path / run, "loss")] == pytest.approx(
            [loss for (loss,) in told(tmp_path / "1", "loss")], rel=1e-3
        )
        own = load_file(tmp_path / run / "adapters" / "adapter_model.safetensors")
        assert {name: tensor.shape for name, tensor in own.items()} == {n: t.shape for n, t in one.items()}
        assert (tmp_path / run / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("stage", [2, 3])
def test_no_step_is_taken_on_a_number_that_is_none(data, tmp_path, stage):
    wild = {"rate": 1e30, "warmup_steps": 0, "clip": None}
    recipe = small_recipe(data, steps=4, rows_per_step=4, data={"lanes": 2}, optimizer=wild, save_every=100)
    for said in in_processes(2, jobs.ran, stage, recipe, tmp_path / "run", launch=False):
        assert said.startswith("TrainingError: the loss of step 2 is no number") and "checkpoint-1" in said
    marked = checkpoints.newest(tmp_path / "run")
    assert marked is not None and marked.step == 1
    for file in (marked.folder / "weights").iterdir():
        assert all(tensor.isfinite().all() for tensor in load_file(file).values())


def test_a_process_that_dies_ends_the_run_and_one_process_goes_on_without_deepspeed(recipe, straight, tmp_path):
    said, gone = in_processes(2, jobs.ran, 3, recipe, tmp_path / "run", 4, launch=False)
    assert gone is None
    assert said.startswith("BackendError: another process of this run is gone") and "checkpoint-3" in said
    assert run_recipe(recipe, tmp_path / "run").finished
    assert [loss for (loss,) in told(tmp_path / "run", "loss")] == pytest.approx(
        [loss for (loss,) in told(straight, "loss")], rel=1e-5
    )
