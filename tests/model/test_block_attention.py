"""Attention by blocks, and the last layer's chosen tokens, against the formula over everything."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.model import NeoForConditionalGeneration
from pixelword.model import attention as attention_module
from pixelword.model.block_attention import SAVED_PAIRS, BlockTable, block_attention, block_table
from pixelword.model.layout import token_layout
from pixelword.model.loss import rows_of_loss
from pixelword.model.masks import RowBlock, dense_mask, row_blocks

from .conftest import batch, prompt, small_model

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def packed_layout(model: NeoForConditionalGeneration, lengths: list[int]):
    """One row of text samples of these lengths, and another of the same samples in reverse order."""
    samples = [
        torch.repeat_interleave(torch.arange(len(part)), torch.tensor(part)) for part in (lengths, lengths[::-1])
    ]
    ids = torch.full((2, sum(lengths)), 40)
    return token_layout(model.config, ids, sample_ids=torch.stack(samples))


def formula(query, key, value, allowed, scaling):
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * scaling
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2)


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, block=st.sampled_from([1, 8, 128]), groups=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_blocks_give_the_values_and_gradients_of_the_whole_table(lengths, block, groups, seed):
    layout = packed_layout(small_model(), lengths)
    blocks = row_blocks(layout, block)
    generator = torch.Generator().manual_seed(seed)
    new = sum(lengths)
    shapes = ((2, 2 * groups, new, 8), (2, 2, new, 8), (2, 2, new, 4))
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    wanted = formula(*inputs, dense_mask(layout, new), 0.3)
    found = block_attention(*inputs, block_table(blocks), 0.3)
    assert torch.allclose(found, wanted, atol=1e-12)
    above = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    # Sums over several blocks are float32 in backward.
    for mine, theirs in zip(*(torch.autograd.grad(out, inputs, above) for out in (found, wanted)), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_under_autocast_it_computes_in_its_precision_and_gradients_keep_theirs():
    table = block_table(row_blocks(packed_layout(small_model(), [3, 4]), 4))
    shapes = {(2, 4, 7, 8): torch.float32, (2, 2, 7, 8): torch.float32, (2, 2, 7, 4): torch.bfloat16}
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape, dtype in shapes.items()]
    with torch.autocast("cpu", torch.bfloat16):
        found = block_attention(*inputs, table, 0.3)
    assert torch.equal(found, block_attention(*(x.bfloat16() for x in inputs), table, 0.3))
    gradients = torch.autograd.grad(found.float().sum(), inputs)
    assert [gradient.dtype for gradient in gradients] == list(shapes.values())


def test_long_samples_do_not_keep_their_probabilities():
    side = int(SAVED_PAIRS**0.5) + 1
    blocks = [RowBlock(slice(0, side), slice(0, side), torch.ones(1, 1, side, side, dtype=torch.bool))]
    assert block_table(blocks) is None
    assert isinstance(block_table([RowBlock(slice(0, 2), slice(0, 2), blocks[0].allowed[..., :2, :2])]), BlockTable)


@pytest.fixture
def tables(monkeypatch) -> list[BlockTable]:
    """Makes short rows take the blocks too, and says which tables were made."""
    made: list[BlockTable] = []

    def listening(blocks):
        made.append(block_table(blocks))
        return made[-1]

    monkeypatch.setattr(attention_module, "BLOCKWISE_FROM", 1)
    monkeypatch.setattr(attention_module, "block_table", listening)
    return made


def packed(prompts, answered: int) -> dict[str, torch.Tensor]:
    """Prompts in one row; the last `answered` tokens of each are learned."""
    ids = [torch.tensor(part) for part, _ in prompts]
    labels = [torch.full_like(part, -100) for part in ids]
    for part, label in zip(ids, labels, strict=True):
        label[-answered:] = part[-answered:]
    pictures = batch(*prompts)
    return {
        "input_ids": torch.cat(ids)[None],
        "labels": torch.cat(labels)[None],
        "sample_ids": torch.cat([torch.full_like(part, number) for number, part in enumerate(ids)])[None],
        "pixel_values": pictures["pixel_values"],
        "image_grid_thw": pictures["image_grid_thw"],
    }


PROMPTS = (prompt("look ", (2, 3), " and ", (3, 1), "?"), prompt("only words"), prompt((4, 4), "!"))


def step(model: NeoForConditionalGeneration, inputs: dict[str, torch.Tensor], *, choose: bool, kernel: str):
    """Loss and gradients of a training step; `choose` lets the last layer leave tokens out."""
    model.train()
    model.zero_grad()
    model.set_attn_implementation(kernel)
    loss = model(**inputs, **({} if choose else {"output_hidden_states": True})).loss
    loss.backward()
    return loss.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("answered", [1, 2])
def test_a_training_step_by_blocks_and_chosen_tokens_is_the_plain_step(tables, answered):
    model, inputs = small_model(), packed(PROMPTS, answered)
    assert rows_of_loss(inputs["labels"]).tolist() == (inputs["labels"][0, 1:] != -100).nonzero().flatten().tolist()
    wanted, gradients = step(model, inputs, choose=False, kernel="eager")
    assert not tables
    found, mine = step(model, inputs, choose=True, kernel="sdpa")
    assert len(tables) == 2  # all layers but the last, and the last
    assert torch.allclose(found, wanted, atol=1e-6)
    for name, gradient in gradients.items():
        assert torch.allclose(mine[name], gradient, atol=2e-5 * float(gradient.abs().max())), name


def test_dropout_takes_the_kernel_that_knows_it(tables):
    model = small_model(attention_dropout=0.5)
    step(model, packed(PROMPTS, 2), choose=True, kernel="sdpa")
    assert not tables


def test_where_most_tokens_are_learned_none_is_left_out():
    labels = torch.tensor([[-100, 5, 6, 7, 8], [-100, -100, -100, -100, 8]])
    assert rows_of_loss(labels) is None
    assert rows_of_loss(torch.full((2, 5), -100)) is None
    assert rows_of_loss(torch.tensor([[-100, -100, -100, 4, -100], [-100, 5, -100, -100, -100]])).tolist() == [0, 2]


def test_the_operators_pass_torchs_own_checks():
    """Fake shapes, schema and gradients registered for the compiler agree with the real ones."""
    layout = packed_layout(small_model(), [3, 4])
    table = block_table(row_blocks(layout, 4))
    shapes = ((2, 4, 7, 8), (2, 2, 7, 8), (2, 2, 7, 4))
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    torch.library.opcheck(
        torch.ops.pixelword.block_attention,
        (*inputs, table.spans, table.allowed, 0.3),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
