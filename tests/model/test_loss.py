"""The loss against the sum written out, its shift, its weights, and its chunks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelword import ShapeError
from pixelword.model import loss as loss_module
from pixelword.model.loss import next_token_loss, next_token_losses

from .conftest import batch, prompt, small_model


def slow(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> float:
    total = normalizer = 0.0
    for row in range(labels.shape[0]):
        for place in range(labels.shape[1] - 1):
            target = int(labels[row, place + 1])
            if target == -100:
                continue
            weight = 1.0 if weights is None else float(weights[row, place + 1])
            total -= weight * float(logits[row, place].double().log_softmax(-1)[target])
            normalizer += weight
    return total / normalizer


def case(weighted: bool):
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 7, 8, requires_grad=True), nn.Linear(8, 11, bias=False)
    labels = torch.randint(0, 11, (2, 7))
    labels[0, :3] = labels[1, 5] = -100
    return hidden, head, labels, torch.rand(2, 7) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chunk", [2**25, 22])
def test_loss_is_the_sum_written_out_whole_or_in_chunks(monkeypatch, weighted, chunk):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", chunk)
    hidden, head, labels, weights = case(weighted)
    loss = next_token_loss(hidden, head, labels, weights)
    assert float(loss.detach()) == pytest.approx(slow(head(hidden).detach(), labels, weights), rel=1e-5)
    loss.backward()
    gradients = hidden.grad.clone(), head.weight.grad.clone()
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 2**25)
    hidden.grad = head.weight.grad = None
    next_token_loss(hidden, head, labels, weights).backward()
    torch.testing.assert_close(gradients, (hidden.grad, head.weight.grad))


def test_a_label_is_predicted_from_the_token_before_it():
    """Exactly one hidden state gets a gradient: the one before the only supervised label."""
    hidden, head, _, _ = case(False)
    labels = torch.full((2, 7), -100)
    labels[1, 4] = 3
    next_token_loss(hidden, head, labels).backward()
    touched = hidden.grad.abs().sum(-1).nonzero().tolist()
    assert touched == [[1, 3]]


def test_nothing_supervised_is_zero_with_a_gradient_path():
    hidden, head, labels, _ = case(False)
    loss = next_token_loss(hidden, head, torch.full_like(labels, -100))
    loss.backward()
    assert loss.item() == 0 and not hidden.grad.any()

    assert head.weight.grad is not None and not head.weight.grad.any()


@pytest.mark.parametrize("chunk", [2**25, 22])
def test_the_losses_of_labels_stand_at_the_labels(monkeypatch, chunk):
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", chunk)
    hidden, head, labels, weights = case(True)
    loss, losses = next_token_losses(hidden, head, labels, weights)
    chances = head(hidden).detach().double().log_softmax(-1)
    for row in range(2):
        for place in range(7):
            learned = place > 0 and labels[row, place] != -100
            wanted = -float(chances[row, place - 1, labels[row, place]]) if learned else 0.0
            assert float(losses[row, place]) == pytest.approx(wanted, abs=1e-5)
    counted = weights * (labels != -100)
    counted[:, 0] = 0
    torch.testing.assert_close((losses * counted).sum() / counted.sum(), loss.detach())
    assert not losses.requires_grad


def test_shapes_that_cannot_meet_are_named():
    hidden, head, labels, weights = case(True)
    with pytest.raises(ShapeError, match="labels"):
        next_token_loss(hidden, head, labels[:, 1:])
    with pytest.raises(ShapeError, match="loss_weights"):
        next_token_loss(hidden, head, labels, weights[:, 1:])


def test_two_accumulated_halves_equal_the_whole_batch():
    """With the Trainer's count of labels as the divisor, losses of micro-batches add up to the whole."""
    model = small_model().train()
    inputs = batch(prompt("abcd"), prompt("efgh"))
    labels = inputs["input_ids"].clone()
    labels[0, :3] = -100
    count = torch.tensor(4)
    whole = model(**inputs, labels=labels, num_items_in_batch=count).loss
    halves = [
        model(inputs["input_ids"][row : row + 1], labels=labels[row : row + 1], num_items_in_batch=count).loss
        for row in range(2)
    ]
    torch.testing.assert_close(sum(halves), whole)


def test_logits_are_not_kept_while_training_with_labels():
    model, inputs = small_model(), batch(prompt("abcd"))
    assert model.train()(**inputs, labels=inputs["input_ids"]).logits is None
    assert model.eval()(**inputs, labels=inputs["input_ids"]).logits.shape == (1, 4, 384)
