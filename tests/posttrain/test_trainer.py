"""GRPO on puzzles with several pictures per prompt, on every family that the trainer is promised for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl")

from pixelword.errors import BackendError, CheckpointError, ConfigError
from pixelword.jigsaw import Puzzle, StoredFrames, VideoJigsaw, VideoSample
from pixelword.posttrain import PosttrainRecipe
from pixelword.posttrain import once_per_prompt as once
from pixelword.posttrain.arguments import grpo_arguments
from pixelword.posttrain.drawn import DrawnPictures
from pixelword.posttrain.flat_groups import flat_groups, mask_rows, overwrite_rows
from pixelword.posttrain.gate import check_pictures
from pixelword.posttrain.models import check_engine
from pixelword.posttrain.prompts import Prompts, read_prompt
from pixelword.posttrain.run import claim, make_trainer, posttrain
from pixelword.posttrain.shared_prefix import packed_logps
from pixelword.posttrain.stream import open_stream

from .tiny_models import ours, qwen

# TRL 1.16 still says the old names, in its configuration and to the model.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]

MAKERS = {"qwen2_vl": lambda: qwen("qwen2_vl"), "qwen2_5_vl": lambda: qwen("qwen2_5_vl"), "ours": ours}


def recipe(wording: str = "paper", **changes: Any) -> PosttrainRecipe:
    """Four pictures per prompt, two prompts and two responses a step, rewards that vary without any skill."""
    given: dict[str, Any] = {
        "model": {"checkpoint": "given", "dtype": "float32", "autocast": False},
        "samples": {"layout": "drawn", "drawn": 50, "held_out": 8},
        "image": {"rows": 2, "columns": 2, "min_side": 64, "rule": {"think": False}},
        "wording": wording,
        "grpo": {"group": 2, "prompts": 2, "rows_per_batch": 2, "rollout_rows": 2, "max_tokens": 4},
        "held_out": {"puzzles": 0},
        "optimizer": {"rate": 0.01, "schedule": "constant"},
        "steps": 10,
        "checkpointing": False,
        "save_every": 1000,
        **changes,
    }
    return PosttrainRecipe.model_validate(given)


def by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pays by the first letter of a response, so that groups vary although nobody can solve anything yet."""
    from pixelword.posttrain import trainer

    plain = trainer.judge

    def judge(puzzles, texts, lengths, cut):
        table = plain(puzzles, texts, lengths, cut)
        table.values[:, 0] = torch.tensor([float(sum(map(ord, text)) % 7) for text in texts])
        return table

    monkeypatch.setattr(trainer, "judge", judge)


@pytest.mark.parametrize("family", MAKERS)
def test_ten_steps_with_four_pictures_per_prompt(tmp_path, monkeypatch, family):
    by_length(monkeypatch)
    model, processor = MAKERS[family]()
    before = {name: value.clone() for name, value in model.named_parameters()}
    wanted = recipe("short" if family == "ours" else "paper")
    done = posttrain(wanted, tmp_path / "run", model=model, processor=processor, cpu=True)
    log = [row for row in json.loads((tmp_path / "run" / "log.json").read_text()) if "reward" in row]
    assert len(log) == 10 and all(row["grad_norm"] > 0 for row in log[-2:] if row["flat_groups/share"] < 1)
    assert done["gate"]["pictures"] == 8 and done["gate"]["mean"] < 1e-4
    moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert any("visual" in name or "vision" in name for name in moved), "gradients reach the pictures"
    assert (tmp_path / "run" / "model" / "config.json").exists()
    assert (tmp_path / "run" / "fingerprint.txt").read_text().strip() == done["fingerprint"]


@pytest.mark.parametrize("family", MAKERS)
def test_pixels_put_together_per_batch_are_those_of_repeated_rows(tmp_path, family):
    model, processor = MAKERS[family]()
    wanted = recipe("short" if family == "ours" else "paper")
    trainer = make_trainer(wanted, model, processor, open_stream(wanted)[0], tmp_path, cpu=True)
    trainer.rolled_out([0, 0, 1, 1])
    rows = [0, 1, 0, 1]
    longest = max(map(len, trainer.prompts.ids(rows)))
    fields = trainer.prompts.fields(rows, longest, 0, torch.device("cpu"))
    slow = [trainer.prompts.known[row] for row in rows]
    assert torch.equal(fields["pixel_values"], torch.cat([one.media["pixel_values"] for one in slow]))
    assert fields["num_images"] == [4, 4, 4, 4] and len(fields["image_grid_thw"]) == 16
    calls = []
    plain = processor.apply_chat_template
    processor.apply_chat_template = lambda *a, **k: calls.append(1) or plain(*a, **k)
    trainer.prompts = Prompts()
    trainer.rolled_out([5, 5, 6, 6])
    assert len(calls) == 2, "each prompt is processed once, not once per response"


def test_the_packed_pass_equals_the_plain_one_with_its_gradient(tmp_path):
    model, processor = ours()
    wanted = recipe("short", grpo={"group": 3, "prompts": 2, "rows_per_batch": 6, "max_tokens": 5})
    trainer = make_trainer(wanted, model, processor, open_stream(wanted)[0], tmp_path, cpu=True)
    batch = trainer.rolled_out([0, 0, 0, 1, 1, 1])
    rows, ids, mask = trainer.rows, batch["completion_ids"], batch["completion_mask"]
    order = torch.tensor([4, 0, 3, 1, 5, 2])
    logps, entropies = packed_logps(model, trainer.prompts, [rows[n] for n in order], ids[order], mask[order], 1.0)
    inputs = trainer.prompts.padded(rows, 0, model.device)
    logits = model(
        input_ids=torch.cat((inputs["input_ids"], ids), 1),
        attention_mask=torch.cat((inputs["attention_mask"], mask), 1),
        pixel_values=inputs["pixel_values"],
        image_grid_thw=inputs["image_grid_thw"],
    ).logits[:, inputs["input_ids"].shape[1] - 1 : -1]
    spread = torch.log_softmax(logits, -1)
    plain = spread.gather(-1, ids[..., None])[..., 0] * mask
    torch.testing.assert_close(logps, plain[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(entropies, (-(spread.exp() * spread).sum(-1) * mask)[order], atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(plain)
    first = torch.autograd.grad((logps * weights[order]).sum(), list(model.parameters()))
    second = torch.autograd.grad((plain * weights).sum(), list(model.parameters()))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_the_gate_finds_pictures_in_the_wrong_rows(tmp_path, monkeypatch):
    model, processor = qwen("qwen2_5_vl")
    with torch.no_grad():  # so that pictures matter
        for parameter in model.model.visual.parameters():
            parameter.mul_(8)
    wanted = recipe(grpo={"group": 2, "prompts": 2, "rows_per_batch": 2, "max_tokens": 4, "gate_tolerance": 1e-4})
    trainer = make_trainer(wanted, model, processor, open_stream(wanted)[0], tmp_path, cpu=True)
    plain = once.OncePerPromptTrainer.logps_of
    monkeypatch.setattr(
        once.OncePerPromptTrainer,
        "logps_of",
        lambda self, model, rows, *a, **k: plain(self, model, rows[::-1], *a, **k),
    )
    with pytest.raises(BackendError, match="disagree about the same tokens"):
        trainer.rolled_out([0, 0, 1, 1])


def test_the_gate_counts_pictures(tmp_path, monkeypatch):
    model, processor = ours()
    wanted = recipe("short")
    trainer = make_trainer(wanted, model, processor, open_stream(wanted)[0], tmp_path, cpu=True)
    trainer.rolled_out([0, 0, 1, 1])
    prompt = trainer.prompts.known[0]
    prompt.ids.remove(processor.image_token_id)
    with pytest.raises(BackendError, match="does not hold the pictures"):
        trainer.gate([0])


@pytest.mark.parametrize("family", ["qwen2_5_vl", "ours"])
def test_clips_are_read_as_frames_in_their_places(family):
    _, processor = MAKERS[family]()
    task = VideoJigsaw(clips=2, as_frames=True, min_seconds=0, max_frames=3, min_frames=2, screen=False)
    frames = tuple(DrawnPictures(99)[number].image for number in range(48))
    puzzle = task.puzzle(VideoSample("film", StoredFrames(frames, 2.0)), seed=0)
    assert isinstance(puzzle, Puzzle), puzzle
    prompt = read_prompt(processor, puzzle)
    assert check_pictures([prompt], processor) == len(puzzle.images) >= 4


def test_vllm_is_refused_for_ours_in_a_sentence():
    model, _ = ours()
    wanted = recipe("short", grpo={"group": 2, "prompts": 2, "rows_per_batch": 2, "vllm": "colocate"})
    with pytest.raises(BackendError, match="vLLM does not know our model"):
        check_engine(wanted, model)


def test_a_folder_belongs_to_one_recipe(tmp_path):
    model, processor = ours()
    short = recipe("short", steps=1)
    posttrain(short, tmp_path, model=model, processor=processor, cpu=True)
    again = posttrain(short, tmp_path, cpu=True)  # finished: nothing is loaded
    assert again["steps"] == 1
    with pytest.raises(CheckpointError, match="another recipe"):
        posttrain(recipe("short", steps=2), tmp_path, cpu=True)


def test_a_folder_is_free_until_something_was_learnt(tmp_path):
    claim(recipe("short", steps=1), tmp_path)
    claim(recipe("short", steps=2), tmp_path)  # as after a checkpoint that could not be loaded
    (tmp_path / "checkpoint-2").mkdir()
    claim(recipe("short", steps=2), tmp_path)
    with pytest.raises(CheckpointError, match="another recipe"):
        claim(recipe("short", steps=1), tmp_path)


def test_adapters_learn_and_nothing_else_does(tmp_path, monkeypatch):
    by_length(monkeypatch)
    model, processor = qwen("qwen2_5_vl")
    before = {name: value.clone() for name, value in model.named_parameters()}
    wanted = recipe(
        lora={"rank": 2, "alpha": 4, "targets": [r"model\.language_model.*q_proj", r".*visual.*qkv"]}, steps=3
    )
    posttrain(wanted, tmp_path, model=model, processor=processor, cpu=True)
    now = {name.replace(".base_layer", ""): value for name, value in model.named_parameters()}
    assert all(torch.equal(now[name], value) for name, value in before.items())
    adapters = [name for name in now if "lora_B" in name and now[name].abs().max() > 0]
    assert any("q_proj" in name for name in adapters) and any("visual" in name for name in adapters)
    assert (tmp_path / "model" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("grpo", "expected"),
    [
        ({}, ("grpo", 0.2, 0.2, "group", "token", False)),
        ({"algorithm": "dapo"}, ("dapo", 0.2, 0.28, "group", "token", True)),
        ({"algorithm": "dr_grpo"}, ("dr_grpo", 0.2, 0.2, "none", "token", False)),
        ({"algorithm": "gspo"}, ("grpo", 3e-4, 4e-4, "group", "sequence", False)),
        ({"loss": "bnpo", "clip": 0.1}, ("bnpo", 0.1, 0.1, "group", "token", False)),
        ({"clip_high": 0.28}, ("grpo", 0.2, 0.28, "group", "token", False)),
    ],
)
def test_one_key_is_one_algorithm(tmp_path, grpo, expected):
    wanted = recipe(grpo={"group": 4, "prompts": 4, "rows_per_batch": 2, "updates": 2, **grpo})
    made = grpo_arguments(wanted, tmp_path, cpu=True, ranks=2)
    names = ("loss_type", "epsilon", "epsilon_high", "scale_rewards", "importance_sampling_level")
    assert (*(getattr(made, name) for name in names), made.mask_truncated_completions) == expected
    assert (made.steps_per_generation, made.gradient_accumulation_steps) == (4, 2)
    with pytest.raises(ConfigError, match="shared out evenly"):
        grpo_arguments(wanted, tmp_path, cpu=True, ranks=3)


# Flat groups: by hand.


def test_flat_groups_are_those_without_variance():
    rewards = torch.tensor([0.2, 0.2, 0.2, 1.2, 0.0, 0.0], dtype=torch.float64)
    assert flat_groups(rewards, 2).tolist() == [True, False, True]


def batch_of(lengths: list[int], offset: int) -> dict[str, Any]:
    longest = max(lengths)
    mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    ids = (torch.arange(len(lengths) * longest).view(-1, longest) + offset) * mask
    return {
        "prompt_ids": ids.flip(1),
        "prompt_mask": mask.flip(1),
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.arange(len(lengths)).float() + offset,
        "num_items_in_batch": mask.sum(),
    }


@pytest.mark.parametrize("longer", [2, 5])
def test_overwritten_rows_keep_their_tokens_on_their_side(longer):
    ours_, theirs = batch_of([3, 1, 2, 3], 10), batch_of([longer, 1], 100)
    made = overwrite_rows(ours_, [1, 2], theirs, [0, 1], pad_id=0)
    assert [len(made[name]) for name in ("prompt_ids", "advantages")] == [4, 4]
    for row, (source, place) in enumerate([(ours_, 0), (theirs, 0), (theirs, 1), (ours_, 3)]):
        for ids, mask in (("prompt_ids", "prompt_mask"), ("completion_ids", "completion_mask")):
            kept, wanted = made[mask][row].bool(), source[mask][place].bool()
            assert made[ids][row][kept].tolist() == source[ids][place][wanted].tolist()
        assert made["prompt_mask"][row].tolist() == sorted(made["prompt_mask"][row].tolist())
        assert made["advantages"][row] == source["advantages"][place]


def test_masked_rows_count_for_nothing_and_the_rest_is_their_mean():
    batch = batch_of([2, 2, 2, 2], 1)
    masked = torch.tensor([True, True, False, False])
    made = mask_rows(batch, masked, per_response_mean=True, share=0.5)
    per_row = (made["advantages"][:, None] * made["completion_mask"] * made["tool_mask"]).sum(1) / 2
    assert per_row.mean() == pytest.approx(float(batch["advantages"][2:].mean()))
    assert len(made["completion_ids"]) == 4, "TRL splits as many rows as before"


def test_refilled_groups_vary_and_are_counted(tmp_path, monkeypatch):
    """Half of the prompts pay the same for everything; those of the refill do not."""
    from pixelword.posttrain import trainer as module

    plain = module.judge

    def judge(puzzles, texts, lengths, cut):
        table = plain(puzzles, texts, lengths, cut)
        flat = float(len(puzzles) > 4)
        table.values[:, 0] = torch.tensor([0.0 if flat and row < 4 else float(row % 2) for row in range(len(puzzles))])
        return table

    monkeypatch.setattr(module, "judge", judge)
    model, processor = ours()
    grpo = {"group": 2, "prompts": 4, "rows_per_batch": 4, "max_tokens": 4, "flat_groups": "refill"}
    wanted = recipe("short", grpo=grpo, steps=2)
    trainer = make_trainer(wanted, model, processor, open_stream(wanted)[0], tmp_path, cpu=True)
    batch = trainer._generate_and_score_completions([{"number": number} for number in (0, 0, 1, 1, 2, 2, 3, 3)])
    assert batch["prompt_number"].tolist() == [4, 4, 5, 5, 2, 2, 3, 3], "prompts behind the run's own"
    assert trainer.next_refill == 2 * 4 + 2 and bool(batch["tool_mask"].all())
    assert trainer._metrics["train"]["flat_groups/refilled"] == [2.0]
    assert len(trainer.table.values) == 12, "monitor and curriculum see every response"
    trainer.train()
    assert trainer.state.global_step == 2


def test_sft_learns_the_right_answers_of_a_few_puzzles(tmp_path):
    model, processor = ours()
    wanted = recipe(
        "short",
        kind="sft",
        sft={"puzzles": 8, "rows_per_batch": 8},
        optimizer={"name": "muon", "rate": 0.01, "schedule": "constant", "clip": None},
        steps=12,
        held_out={"puzzles": 4, "every": 100},
        grpo={"group": 2, "prompts": 2, "rows_per_batch": 2, "max_tokens": 8},
    )
    done = posttrain(wanted, tmp_path, model=model, processor=processor, cpu=True)
    losses = [row["loss"] for row in json.loads((tmp_path / "log.json").read_text()) if "loss" in row]
    assert losses[-1] < 0.6 * losses[0]
    assert done["after"]["step"] == 12 and done["after"]["groups"][0]["answered"] == 4


def test_recipes_of_the_repository_load():
    from pixelword.posttrain import read_posttrain_recipe

    folder = Path(__file__).parents[2] / "recipes" / "jigsaw"
    found = {
        path.stem: read_posttrain_recipe(path, [] if path.stem.startswith("tiny") else ["samples.path=x"])
        for path in folder.glob("*.yaml")
    }
    assert set(PAPER) <= set(found)
    for name, (prompts, steps, pieces) in PAPER.items():
        read = found[name]
        assert (read.grpo.prompts, read.grpo.group, read.steps, read.puzzle.pieces) == (prompts, 16, steps, pieces)
        assert read.optimizer.rate == 1e-6 and read.grpo.kl == 0 and read.grpo.max_tokens == 2048


PAPER = {"image": (256, 1000, 9), "video": (128, 1000, 6), "depth": (128, 800, 6)}
"""Visual Jigsaw, section 4.1 and its scripts: prompts of a step, steps, pieces."""
