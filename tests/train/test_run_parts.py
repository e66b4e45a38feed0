"""Claims of the parts of a run: rates, operations, losses by source, retention, the journal, attention, set-up."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, get_scheduler

from pixelword.errors import BackendError, ConfigError, DataError
from pixelword.recipe import RetentionSettings
from pixelword.train import prepare
from pixelword.train.attention_choice import without_idle_samples
from pixelword.train.flops import needed_flops, pairs
from pixelword.train.journal import Journal, read_journal
from pixelword.train.measures import Measures, kinds_of
from pixelword.train.packed import INNER, PackedTrainer, check_inner
from pixelword.train.placement import Placement
from pixelword.train.rates import build_optimizer, build_schedule
from pixelword.train.retention import Retention, held_out
from tests.train.small_run import small_recipe, write_data

CPU = Placement(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("small") / "data")


@pytest.fixture(scope="module")
def prepared(data):
    return prepare(small_recipe(data))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rate_is_that_of_transformers_schedulers(data, schedule):
    """Witness: the schedulers that the released scripts name."""
    settings = {"rate": 0.5, "warmup_steps": 3, "schedule": schedule, "min_rate_share": 0.1}
    recipe = small_recipe(data, steps=11, optimizer=settings)
    ours = build_schedule(recipe, torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    name = "cosine_with_min_lr" if schedule == "cosine" else "constant_with_warmup"
    options = {"scheduler_specific_kwargs": {"min_lr_rate": 0.1}} if schedule == "cosine" else {}
    theirs = get_scheduler(name, optimizer, num_warmup_steps=3, num_training_steps=11, **options)
    for _ in range(11):
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr())
        for each in (ours, theirs):
            each.optimizer.step()
            each.step()


def test_norms_and_biases_are_not_decayed(prepared):
    decays = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(prepared.recipe, prepared.model).param_groups
        for parameter in group["params"]
    }
    for name, parameter in prepared.model.named_parameters():
        assert decays[id(parameter)] == (0.0 if "norm" in name or name.endswith("bias") else 0.01), name


@pytest.mark.parametrize("learns", [[".*"], [r".*embed_tokens.*", r".*vision_model\..*", r".*layers\.0\..*"]])
def test_needed_operations_of_matrices_are_those_that_torch_counts(data, learns):
    """Witness: torch's own counter of matrix products, forward and backward; attention is counted by hand."""
    prepared = prepare(small_recipe(data, learns=learns))
    batch = prepared.loader.next()
    while "pixel_values" not in batch.inputs:
        batch = prepared.loader.next()
    text = prepared.model.config.llm_config
    with FlopCounterMode(display=False) as counter:
        prepared.model(**batch.inputs).loss.backward()
    counted = {str(name): number for name, number in counter.get_flop_counts()["Global"].items()}
    allowed, read = pairs(batch, prepared.model.config), torch.roll(batch.inputs["labels"] != -100, -1, 1)
    each_layer = [allowed.sum()] * (text.num_hidden_layers - 1) + [allowed[read].sum()]
    attention = 18 * text.head_dim * text.num_attention_heads * float(sum(each_layer))
    ours = needed_flops(prepared.model, batch) - attention
    padding = batch.inputs["input_ids"].numel() / batch.tokens
    products = counted["aten.mm"] + counted.get("aten.addmm", 0)
    assert ours < products < ours * padding * 1.001


def test_pairs_are_those_that_the_mask_allows(prepared):
    """Witness: the dense mask of the model, counted."""
    from pixelword.model.layout import token_layout
    from pixelword.model.masks import dense_mask

    for _ in range(4):
        batch = prepared.loader.next()
        layout = token_layout(
            prepared.model.config,
            batch.inputs["input_ids"],
            batch.inputs.get("image_grid_thw"),
            sample_ids=batch.inputs["sample_ids"],
        )
        mask = dense_mask(layout, batch.inputs["input_ids"].shape[1])[:, 0]
        wanted = mask.sum(-1) * (batch.inputs["sample_ids"] >= 0)
        assert torch.equal(pairs(batch, prepared.model.config), wanted.double())


def test_losses_by_source_and_modality_are_weighted_means_of_their_own_tokens(prepared):
    measures, batch = Measures(prepared, CPU), prepared.loader.next()
    torch.manual_seed(0)
    losses = torch.rand(batch.inputs["labels"].shape)
    measures.count(batch, losses)
    measures.exchange(False)
    told = measures.report()
    sums = {"pictures": [0.0, 0.0], "texts": [0.0, 0.0]}
    for row, names in enumerate(batch.sources):
        for at, sample in enumerate(batch.inputs["sample_ids"][row].tolist()):
            weight = float(batch.inputs["loss_weights"][row, at])
            if sample >= 0:
                sums[names[sample]][0] += weight * float(losses[row, at])
                sums[names[sample]][1] += weight
    for name, modality in (("pictures", "image"), ("texts", "text")):
        above, below = sums[name]
        if below:
            assert told[f"loss/source/{name}"] == told[f"loss/{modality}"] == pytest.approx(above / below, rel=1e-6)
    whole = [sum(column) for column in zip(*sums.values(), strict=True)]
    assert told["loss"] == pytest.approx(whole[0] / whole[1], rel=1e-6)
    assert told["packed"] == batch.used and told["tokens"] == batch.tokens
    assert "not counted" not in told and not measures.stop_agreed
    shares = {name: told[f"share/source/{name}"] for name in ("pictures", "texts")}
    drawn = [name for names in batch.sources for name in names]
    assert shares == {name: drawn.count(name) / len(drawn) for name in shares}


def test_the_loss_of_several_steps_is_the_mean_of_its_parts(prepared):
    """Witness: every token of both steps, weighted; the steps weigh differently."""
    measures = Measures(prepared, CPU)
    above = below = 0.0
    for _ in range(2):
        batch = prepared.loader.next()
        losses = torch.rand(batch.inputs["labels"].shape)
        measures.count(batch, losses)
        measures.exchange(False)
        above += float((losses * batch.inputs["loss_weights"]).sum())
        below += float(batch.inputs["loss_weights"].sum())
    assert measures.report()["loss"] == pytest.approx(above / below, rel=1e-6)


def test_padding_belongs_to_no_sample(prepared):
    batch = prepared.loader.next()
    _, modality = kinds_of(batch, ["pictures", "texts"], prepared.model.config.image_token_id)
    assert modality.shape == batch.inputs["input_ids"].shape


def test_exactly_what_the_recipe_names_trains_in_float32(data):
    changes = {"model": {"preset": "neo-tiny", "tokenizer": str(data / "tokenizer"), "dtype": "bfloat16"}}
    prepared = prepare(small_recipe(data, learns=[r"model\.vision_model\..*"], **changes))
    for name, parameter in prepared.model.named_parameters():
        assert parameter.requires_grad == ("vision_model" in name) == (name in prepared.learning)
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16), name
    trains = sum(part.trains for part in prepared.parts)
    assert trains == sum(parameter.numel() for parameter in prepared.model.model.vision_model.parameters())
    assert prepared.model.model.every_batch_looks


def test_adapter_patterns_must_match(data):
    lora = {"rank": 2, "alpha": 2, "targets": [r".*\.q_prj"]}
    with pytest.raises(ConfigError, match=r"lora.targets matches no linear layer") as caught:
        prepare(small_recipe(data, lora=lora))
    assert "q_proj" in caught.value.fix
    with pytest.raises(ConfigError, match=r"lora.targets is no regular expression"):
        prepare(small_recipe(data, lora=lora | {"targets": ["("]}))
    with pytest.raises(ConfigError, match=r"lora\.targets"):
        small_recipe(data, lora=lora | {"targets": []})


@pytest.fixture(scope="module")
def parent(data, tmp_path_factory) -> Path:
    """A language model with the same tokenizer."""
    folder = tmp_path_factory.mktemp("parent") / "model"
    config = Qwen3Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=False,
    )
    torch.manual_seed(3)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def test_retention_is_the_perplexity_of_every_text_by_itself(data, parent, tmp_path):
    """Witness: each text through each model alone, every token's chance looked up."""
    settings = RetentionSettings(text=str(data / "texts.jsonl"), parent=str(parent), every=3, tokens=200)
    prepared = prepare(small_recipe(data, retention=settings.model_dump()))
    retention = Retention(prepared, CPU, tmp_path)
    assert 150 < retention.tokens < 200
    told = retention.measure(prepared.model, 0)
    samples = held_out(prepared, str(data / "texts.jsonl"), 200)
    models = {
        "retention/perplexity": prepared.model,
        "retention/parent": Qwen3ForCausalLM.from_pretrained(parent, dtype=torch.float32),
    }
    for key, model in models.items():
        model.eval()
        total = 0.0
        for sample in samples:
            chances = model(input_ids=torch.tensor([sample.input_ids])).logits[0].detach().double().log_softmax(-1)
            total -= sum(float(chances[at, token]) for at, token in enumerate(sample.input_ids[1:]))
        assert told[key] == pytest.approx(math.exp(total / retention.tokens), rel=1e-5)
    assert told["retention/ratio"] == told["retention/perplexity"] / told["retention/parent"]
    assert [step for step in range(1, 9) if retention.due(step)] == [3, 6, 8]
    assert not retention.due(0)
    prepared.model.train()
    assert json.loads((tmp_path / "parent-perplexity.json").read_text())["perplexity"] == told["retention/parent"]


def test_retention_without_a_parent_or_text_is_refused(data, tmp_path):
    text = str(data / "texts.jsonl")
    with pytest.raises(ConfigError, match="parent language model"):
        Retention(prepare(small_recipe(data, retention={"text": text})), CPU, tmp_path)
    with pytest.raises(DataError, match="no held-out text"):
        held_out(prepare(small_recipe(data)), str(data / "pictures.jsonl"), 100)


def test_the_journal_keeps_the_later_of_two_equal_steps_and_forgives_a_cut_line(tmp_path, caplog):
    journal = Journal(tmp_path / "log.jsonl")
    with caplog.at_level(logging.INFO):
        for step in (1, 2, 3):
            journal.numbers(step, 5, {"loss": float(step)})
    assert "step 3 of 5: loss 3" in caplog.text
    journal.event("went on", step=1)
    journal.numbers(2, 5, {"loss": 20.0, "other": math.nan})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    numbers, events = read_journal(tmp_path / "log.jsonl")
    assert [(line["step"], line["loss"]) for line in numbers] == [(1, 1.0), (2, 20.0)]
    assert numbers[1]["other"] is None and [event["event"] for event in events] == ["went on"]


def test_a_trainer_that_would_not_call_what_we_replace_is_refused():
    replaced = {name for name in vars(PackedTrainer) if name[0] == "_" != name[1] and hasattr(Trainer, name)}
    assert replaced <= set(INNER)
    with pytest.raises(BackendError, match="in another way") as caught:
        check_inner(type("Later", (), dict.fromkeys(set(INNER) - {"_get_grad_norm"})))
    assert str(caught.value.got).endswith("no _get_grad_norm")


def test_one_whole_sample_per_row_needs_no_mask(prepared):
    inputs = {"input_ids": torch.ones(2, 4), "sample_ids": torch.zeros(2, 4)}
    assert set(without_idle_samples(inputs)) == {"input_ids"}
    for other in (torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 0, 0, -1]])):
        assert "sample_ids" in without_idle_samples({"sample_ids": other})
