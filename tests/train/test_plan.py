"""Claims of `pixelword plan`: lengths are those of the data, bytes those on the disk, hours an honest sum."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pixelword.cli.main import run
from pixelword.data import build_loader
from pixelword.errors import ConfigError, DataError
from pixelword.model.loss import IGNORED
from pixelword.train.lengths import early_end, histogram_edges, steps_of_data
from pixelword.train.plan import PeakMemory, Plan, Probe, estimate, plan_recipe, read_lengths
from pixelword.train.plan.probe import shortened
from pixelword.train.run import run_recipe
from tests.model.processors import small_processor
from tests.train.small_run import small_recipe, write_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("plan"))


def test_lengths_are_those_that_reading_the_batches_gives(folder):
    """Witness: the batches themselves, decoded and packed, counted token by token."""
    recipe = small_recipe(folder, source={"epochs": 1})
    lengths = read_lengths(build_loader(recipe, small_processor()), samples=10**6, seconds=60)
    loader = build_loader(recipe, small_processor())
    seen: list[int] = []
    pictures = learned = places = images = 0
    for batch in loader:
        for row in batch.inputs["sample_ids"]:
            seen += torch.bincount(row[row >= 0]).tolist()
        ids, labels = batch.inputs["input_ids"], batch.inputs["labels"]
        pictures += int((ids == 261).sum())
        learned += int((labels != IGNORED).sum())
        places += ids.numel()
        images += len(batch.inputs.get("image_grid_thw", ()))
    assert (lengths.samples, lengths.longest, lengths.ended) == (len(seen), max(seen), True)
    assert lengths.mean == pytest.approx(np.mean(seen))
    assert lengths.pictures * sum(seen) == pytest.approx(pictures)
    assert lengths.learned * sum(seen) == pytest.approx(learned)
    assert lengths.images_per_sample * len(seen) == pytest.approx(images)
    assert lengths.packed == pytest.approx(sum(seen) / places)
    assert sum(lengths.sources.values()) == sum(lengths.counts) == len(seen)
    for (low, high), count in zip(pairwise(lengths.edges), lengths.counts, strict=True):
        assert count == sum(low < length <= high for length in seen)


def test_short_samples_that_still_wait_are_counted(folder):
    """Rows hold the long samples first; witness: the mean of all texts, encoded one by one."""
    texts = ["a " * (40 if number % 10 == 0 else 4) for number in range(800)]
    (folder / "mixed.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = small_recipe(
        folder,
        source={"path": str(folder / "mixed.jsonl"), "epochs": 1},
        packing={"look_ahead": 64},
        data={"lanes": 1, "shuffle": False},
    )
    true = read_lengths(build_loader(recipe, small_processor()), samples=10**6, seconds=60)
    assert (true.samples, true.ended) == (1600, True), "two sources of one file"
    some = read_lengths(build_loader(recipe, small_processor()), samples=600, seconds=60)
    assert 600 <= some.samples < 800
    assert not some.ended
    assert some.mean == pytest.approx(true.mean, rel=0.03)
    assert some.samples_per_row == pytest.approx(true.samples_per_row, rel=0.1)


def test_a_run_is_planned_no_further_than_its_data(folder):
    recipe = small_recipe(folder, source={"epochs": 1}, steps=1000)
    lengths = read_lengths(build_loader(recipe, small_processor()), samples=10**6, seconds=60)
    plan = estimate(recipe, lengths, MEASURED, ranks=1, free=10**12)
    run = run_recipe(recipe, folder / "until-the-end")
    assert (plan.steps, plan.wanted_steps) == (run.ended, 1000)
    assert plan.samples == pytest.approx(plan.steps * 4 * 90 / lengths.mean)


def test_data_ends_with_the_first_rank_that_has_no_more(folder):
    """Witness: the loaders of both ranks, read to their ends; the lanes have unequal rows."""
    (folder / "odd.jsonl").write_text("\n".join(json.dumps({"text": f"{n} " + "z" * (5 * (n % 4))}) for n in range(90)))
    recipe = small_recipe(folder, source={"path": str(folder / "odd.jsonl"), "epochs": 1}, steps=1000)
    lengths = read_lengths(build_loader(recipe, small_processor()), samples=10**6, seconds=60)
    ends = []
    for rank in range(2):
        loader = build_loader(recipe, small_processor(), rank=rank, ranks=2)
        ends.append(sum(1 for _ in loader) // 2)
    assert steps_of_data(lengths, recipe, ranks=2) == min(ends) < 1000
    assert f"after about {min(ends)} of" in early_end(recipe, small_processor(), ranks=2)
    assert early_end(small_recipe(folder), small_processor(), ranks=1) == "", "sources that are read for ever"
    few = small_recipe(folder, source={"epochs": 1}, steps=2, optimizer={"warmup_steps": 0})
    assert early_end(few, small_processor(), ranks=1) == "", "the rows suffice"


def test_reading_stops_at_the_wanted_number_and_refuses_no_data(folder):
    lengths = read_lengths(build_loader(small_recipe(folder), small_processor()), samples=20, seconds=60)
    assert 20 <= lengths.samples < 60
    assert not lengths.ended
    (folder / "none.jsonl").write_text("")
    empty = small_recipe(folder, source={"path": str(folder / "none.jsonl"), "epochs": 1})
    with pytest.raises(DataError, match="no sample"):
        read_lengths(build_loader(empty, small_processor()), samples=20, seconds=60)


@pytest.mark.parametrize("longest", [1, 32, 33, 48, 49, 8192, 8193])
def test_the_histogram_has_a_bin_for_every_length(longest):
    edges = histogram_edges(longest)
    assert list(edges) == sorted(set(edges))
    assert edges[-1] >= longest
    assert all(later <= 2 * earlier for earlier, later in pairwise(edges[1:]))


MEASURED = Probe(
    steps=10,
    micro_batches=4,
    micro_seconds=2.0,
    other_seconds=1.0,
    processor_seconds=9.0,
    tokens=90.0,
    images=3.0,
    use=0.5,
    memory=10**9,
    gpu_memory=0,
    weights=4000,
    optimizer=8000,
    model=2000,
    save_seconds=3.0,
    device="CPU, 1 thread",
)


def planned(folder: Path, measured: Probe = MEASURED, ranks: int = 1, **changes: Any) -> Plan:
    recipe = small_recipe(folder, **changes)
    lengths = read_lengths(build_loader(recipe, small_processor()), samples=20, seconds=60)
    return estimate(recipe, lengths, measured, ranks=ranks, free=10**12)


def test_hours_are_steps_and_checkpoints_written_out(folder):
    plan = planned(folder, steps=1000, save_every=300, keep=2)
    assert plan.step_seconds == 4 * 2.0 + 1.0
    assert plan.hours * 3600 == pytest.approx(1000 * 9.0 + 3 * 3.0)
    assert plan.tokens_per_second == pytest.approx(4 * 90 / 9)
    assert plan.images_per_second == pytest.approx(4 * 3 / 9)
    assert plan.tokens == 1000 * 4 * 90
    assert plan.use == pytest.approx(0.5)
    assert (plan.checkpoint_bytes, plan.disk_bytes) == (12_000, 36_000)


def test_more_micro_batches_than_measured_and_more_processes_are_extrapolated(folder):
    large = planned(folder, rows_per_step=40)
    assert large.step_seconds == 40 * 2.0 + 1.0
    assert large.use == pytest.approx(0.5 * (9 / 4) / (81 / 40)), "less waiting per micro-batch"
    shared = planned(folder, ranks=4, rows_per_step=40)
    assert shared.step_seconds == 10 * 2.0 + 1.0
    assert shared.tokens_per_second == pytest.approx(40 * 90 / 21)
    unsaved = planned(folder, replace(MEASURED, save_seconds=None), steps=1000, save_every=300)
    assert unsaved.hours * 3600 == pytest.approx(1000 * 9.0)


def test_a_long_step_is_tried_with_fewer_micro_batches_of_the_same_rows(folder):
    whole = small_recipe(folder, rows_per_step=40, data={"lanes": 20}, rows_per_batch=2, steps=1000)
    short = shortened(whole)
    assert (short.rows_per_step, short.rows_per_batch, short.steps) == (16, 2, 1000)
    assert short.rows_per_step % short.data.lanes == 0
    assert (short.packing, short.optimizer) == (whole.packing, whole.optimizer)
    assert shortened(small_recipe(folder)).rows_per_step == 4


def test_the_command_measures_writes_json_and_its_bytes_are_those_of_a_run(folder, tmp_path, capsys):
    recipe = small_recipe(folder, data={"lanes": 1}, rows_per_step=1, steps=3, save_every=2)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    with pytest.raises(SystemExit) as leaving:
        run(["plan", str(file), "--steps", "2", "--samples", "30", "--out", str(tmp_path / "deep" / "plan.json")])
    assert leaving.value.code == 0
    said = capsys.readouterr().out
    for words in ("tokens of a sample", "MFU", "peak memory", "whole run", "3 steps"):
        assert words in said
    plan = json.loads((tmp_path / "deep" / "plan.json").read_text())
    assert plan["probe"]["steps"] == 1, "the recipe has three steps, and two are for warming up"
    assert plan["step_seconds"] > 0
    assert plan["memory"] > plan["checkpoint_bytes"]
    run_recipe(recipe, tmp_path / "run")
    checkpoint = sum(f.stat().st_size for f in (tmp_path / "run" / "checkpoint-3").rglob("*.safetensors"))
    model = sum(f.stat().st_size for f in (tmp_path / "run" / "model").glob("*.safetensors"))
    assert plan["checkpoint_bytes"] == pytest.approx(checkpoint, rel=0.01)
    assert plan["probe"]["model"] == pytest.approx(model, rel=0.01)


def test_the_command_says_that_the_data_ends_and_refuses_a_folder_before_it_works(folder, tmp_path, capsys):
    recipe = small_recipe(folder, source={"epochs": 1}, steps=1000)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    with pytest.raises(SystemExit):
        run(["plan", str(file), "--steps", "1", "--out", str(tmp_path / "plan.json")])
    assert "the data ends after about" in capsys.readouterr().out
    with pytest.raises(SystemExit) as leaving:
        run(["plan", str(file), "--out", str(tmp_path)])
    assert leaving.value.code == 2
    assert "is a folder" in capsys.readouterr().err


def test_data_that_ends_too_early_and_processes_that_do_not_divide_a_step_are_refused(folder):
    (folder / "one.jsonl").write_text('{"text": "only this"}')
    with pytest.raises(DataError, match="before the first step"):
        plan_recipe(small_recipe(folder, source={"path": str(folder / "one.jsonl"), "epochs": 1}, data={"lanes": 1}))
    with pytest.raises(ConfigError, match="share the micro-batches"):
        plan_recipe(small_recipe(folder), ranks=3)


def test_the_peak_of_memory_is_seen_although_it_was_given_back():
    with PeakMemory(torch.device("cpu")) as small:
        pass
    with PeakMemory(torch.device("cpu")) as large:
        held = np.ones(2**26, np.uint8)
        del held
    assert large.process >= small.process
    if not large.since_start:
        assert large.process - small.process >= 0.9 * 2**26
