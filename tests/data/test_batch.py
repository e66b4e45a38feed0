"""Packed is alone: logits, losses and gradients of rows equal those of their samples; the loss of a step is global."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelword.data.batch import PackedBatch, ReadySample, collate
from pixelword.data.packing import pack
from pixelword.data.weights import step_share, step_weight, token_weight, weight_sum
from pixelword.errors import ConfigError, DataError, ShapeError
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.loss import IGNORED
from tests.model.conftest import PAD, prompt, small_config

PART = st.one_of(st.text("abc", min_size=1, max_size=4), st.tuples(st.integers(1, 2), st.integers(1, 3)))
SAMPLE = st.tuples(st.lists(PART, max_size=4), st.text("xyz", min_size=2, max_size=5), st.integers(0, 2**20))
MIXTURE = st.lists(SAMPLE, min_size=1, max_size=6)
WEIGHTINGS = ("token", "sample", "square")


@pytest.fixture(scope="module")
def model() -> NeoForConditionalGeneration:
    torch.manual_seed(0)
    model = NeoForConditionalGeneration(small_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.set_attn_implementation("sdpa")
    return model


def sample(parts: list[str | tuple[int, int]], answer: str, seed: int = 0) -> ReadySample:
    """A question with pictures and a learned answer."""
    ids, grids = prompt(*parts, answer)
    labels = [IGNORED] * (len(ids) - len(answer)) + ids[len(ids) - len(answer) :]
    random = np.random.default_rng(seed)
    pixels = [random.normal(size=(rows * columns, 12)).astype(np.float32) for rows, columns in grids]
    return ReadySample(
        name=f"{parts} {answer}",
        source="drawn",
        input_ids=ids,
        labels=labels,
        pixel_values=np.concatenate(pixels) if pixels else None,
        grids=tuple((1, *grid) for grid in grids),
    )


def gradients(model: NeoForConditionalGeneration) -> list[Tensor]:
    """One per parameter, zeros where a batch without pictures reaches none."""
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def run(model: NeoForConditionalGeneration, batch: PackedBatch, share: float = 1.0) -> tuple[Tensor, float]:
    """Logits and loss; the gradient of `share` times the loss is added."""
    outputs = model(**batch.inputs)
    (outputs.loss * share).backward()
    return outputs.logits.detach(), float(outputs.loss.detach()) * share


def of_samples(batch: PackedBatch, logits: Tensor) -> dict[str, Tensor]:
    """Logits of each sample by name."""
    return {
        name: logits[row][batch.inputs["sample_ids"][row] == number]
        for row, names in enumerate(batch.names)
        for number, name in enumerate(names)
    }


def packed_rows(samples: Sequence[ReadySample]) -> list[list[ReadySample]]:
    longest = max(len(one.input_ids) for one in samples)
    return list(pack(((one, len(one.input_ids)) for one in samples), 2 * longest, 3))


@settings(max_examples=12)
@given(MIXTURE, st.sampled_from(WEIGHTINGS))
def test_packed_is_alone_for_logits_losses_and_gradients(model, mixture, weighting):
    samples = [sample(parts, f"{answer}{number}", seed) for number, (parts, answer, seed) in enumerate(mixture)]
    batch = collate(packed_rows(samples), pad_id=PAD, weighting=weighting)
    model.zero_grad()
    logits, loss = run(model, batch)
    packed = gradients(model)
    own = of_samples(batch, logits)
    model.zero_grad()
    loss_alone = 0.0
    for one in samples:
        alone = collate([[one]], pad_id=PAD, weighting=weighting)
        logits, part = run(model, alone, step_share(alone.weight, batch.weight))
        loss_alone += part
        names = [name for names in batch.names for name in names]
        if names.count(one.name) == 1:
            torch.testing.assert_close(own[one.name], logits[0], atol=1e-5, rtol=0)
    assert loss == pytest.approx(loss_alone, abs=1e-5)
    for left, right in zip(packed, gradients(model), strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=0)


@settings(max_examples=6)
@given(MIXTURE, st.randoms(use_true_random=False))
def test_the_order_of_samples_in_rows_and_of_rows_changes_nothing(model, mixture, random):
    samples = [sample(parts, f"{answer}{number}", seed) for number, (parts, answer, seed) in enumerate(mixture)]
    rows = packed_rows(samples)
    shuffled = [random.sample(row, len(row)) for row in random.sample(rows, len(rows))]
    results = []
    for order in (rows, shuffled):
        batch = collate(order, pad_id=PAD)
        model.zero_grad()
        logits, loss = run(model, batch)
        results.append((of_samples(batch, logits), loss, gradients(model)))
    (logits, loss, before), (other_logits, other_loss, after) = results
    assert loss == pytest.approx(other_loss, abs=1e-5)
    for left, right in zip(before, after, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=0)
    for name in logits:
        torch.testing.assert_close(logits[name], other_logits[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_of_a_step_is_the_weighted_mean_written_out(model, weighting):
    """Witness: every label's cross-entropy by itself, its weight by the table, two sums and one division."""
    samples = [sample(["a"], "xy"), sample([(1, 2), "b"], "zzzzz", 1), sample(["cc"], "xyz")]
    above = below = 0.0
    for one in samples:
        alone = collate([[one]], pad_id=PAD)
        logits = model(**{key: value for key, value in alone.inputs.items() if key != "labels"}).logits[0]
        chances = logits.detach().double().log_softmax(-1)
        learned = [at for at, label in enumerate(one.labels) if label != IGNORED]
        m = len(learned)
        weight = {"token": 1.0, "sample": 1 / m, "square": 1 / math.sqrt(m)}[weighting]
        above -= weight * sum(float(chances[at - 1, one.labels[at]]) for at in learned)
        below += weight * m
    for micro_batches in ([samples], [samples[:1], samples[1:]], [[one] for one in samples]):
        batches = [collate([rows], pad_id=PAD, weighting=weighting) for rows in micro_batches]
        step = step_weight(batch.weight for batch in batches)
        assert step == pytest.approx(below, rel=1e-6)
        total = sum(run(model, batch, step_share(batch.weight, step))[1] for batch in batches)
        assert total == pytest.approx(above / below, rel=1e-6)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_of_a_step_is_the_same_however_its_rows_are_dealt_out(model, weighting):
    """One rank with four micro-batches, two with two, four with one; ranks average, micro-batches add."""
    rows = [[sample(["a" * n, (1, n + 1)], "xyz" * (n + 1), n), sample([], "q" * (2 + n))] for n in range(4)]
    losses = []
    for ranks in (1, 2, 4):
        batches = [
            [collate([row], pad_id=PAD, weighting=weighting) for row in rows[rank::ranks]] for rank in range(ranks)
        ]
        step = step_weight(batch.weight for mine in batches for batch in mine)
        with torch.no_grad():
            per_rank = [
                sum(float(model(**batch.inputs).loss) * step_share(batch.weight, step, ranks) for batch in mine)
                for mine in batches
            ]
        losses.append(sum(per_rank) / ranks)
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)


def test_the_weight_of_a_step_is_summed_over_the_ranks_that_exist():
    """A group of one: the sum goes through the collective. Two processes are a test of the trainer."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert step_weight([0.5, 2.0]) == 2.5
    finally:
        torch.distributed.destroy_process_group()


def test_ranks_whose_gradients_are_averaged_get_the_same_step():
    assert sum(step_share(weight, 10.0, ranks=4) for weight in (1, 2, 3, 4)) / 4 == pytest.approx(1)


def test_the_first_token_of_a_sample_is_never_a_target_and_is_not_counted():
    """Text that is learned from its first token on: in a row, that token would be predicted across samples."""
    texts = [ReadySample(name=n, source="s", input_ids=[1, 2, 3], labels=[1, 2, 3]) for n in ("a", "b")]
    batch = collate([texts], pad_id=0, weighting="sample", length=8)
    assert batch.inputs["labels"].tolist() == [[IGNORED, 2, 3, IGNORED, 2, 3, IGNORED, IGNORED]]
    assert batch.inputs["loss_weights"].tolist() == [[0, 0.5, 0.5, 0, 0.5, 0.5, 0, 0]]
    assert batch.inputs["sample_ids"].tolist() == [[0, 0, 0, 1, 1, 1, -1, -1]]
    assert (batch.weight, batch.tokens, batch.used) == (2.0, 6, 0.75)


def test_labels_stay_where_they_are():
    """The model shifts; a collator that shifted too would teach the model to write two tokens ahead."""
    one = sample(["abc"], "xyz")
    assert collate([[one]], pad_id=PAD).inputs["labels"][0].tolist() == list(one.labels)


def test_a_weight_sum_counts_no_label_that_is_nobodys_next_token():
    labels = torch.tensor([[5, 5, IGNORED, 5]])
    assert weight_sum(labels, torch.tensor([[8.0, 1.0, 2.0, 4.0]])) == 5.0


def test_a_sample_without_labels_weighs_nothing():
    assert [token_weight(0, weighting) for weighting in WEIGHTINGS] == [0.0, 0.0, 0.0]


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'square'"):
        token_weight(3, "sqare")


def test_rows_that_make_no_batch_are_refused():
    one = sample(["abc"], "xyz")
    for rows in ([], [[]]):
        with pytest.raises(DataError, match="needs samples"):
            collate(rows, pad_id=PAD)
    with pytest.raises(ShapeError, match="longer than 5"):
        collate([[one]], pad_id=PAD, length=5)
    with pytest.raises(ShapeError, match="one label per token"):
        collate([[ReadySample(name="x", source="s", input_ids=[1, 2], labels=[1])]], pad_id=PAD)
