"""Rows with parallel branches: what the collator lays out, and that a branch computes as if it were alone."""

import numpy as np
import pytest
import torch

from pixelword.errors import DataError
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.train import Branch, BranchCollator, Row

CONTEXT, IMAGE, IMAGE_END = 3, 4, 5


def branch(*ids, answer=0):
    return Branch(ids, tuple(place >= len(ids) - answer for place in range(len(ids))))


def no_pictures(pictures):
    raise AssertionError("rows without pictures need no reading")


def test_layout_of_a_batch_written_out():
    rows = [
        Row(branch(1, 2), (branch(10, 11, 12, answer=1), branch(13, 14, answer=1))),
        Row(branch(1), (branch(20, 21, answer=2),)),
    ]
    batch = BranchCollator(8, pad_token_id=0, read_pictures=no_pictures)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 10, 11, 12, 13, 14, 0], [1, 20, 21, 0, 0, 0, 0, 0]]
    assert batch["labels"].tolist() == [
        [-100, -100, -100, -100, 12, -100, 14, -100],
        [-100, 20, 21, -100, -100, -100, -100, -100],
    ]
    assert batch["branch_ids"].tolist() == [[0, 0, 1, 1, 1, 2, 2, 0], [0, 1, 1, 0, 0, 0, 0, 0]]
    assert batch["sample_ids"].tolist() == [[0] * 7 + [-1], [0] * 3 + [-1] * 5]
    assert set(batch) == {"input_ids", "labels", "branch_ids", "sample_ids"}


def test_a_branch_that_no_longer_fits_is_left_out_and_a_shorter_one_after_it_is_not():
    row = Row(branch(1, 2), (branch(3, 4, 5, answer=1), branch(6, 7, 8, 9, answer=1), branch(10, answer=1)))
    batch = BranchCollator(6, pad_token_id=0)([row])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 10]]
    assert batch["branch_ids"].tolist() == [[0, 0, 1, 1, 1, 3]]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_row_of_which_nothing_can_be_learnt_is_refused(length):
    with pytest.raises(DataError, match="row 0"):
        BranchCollator(length, pad_token_id=0)([Row(branch(1, 2), (branch(3, 4, answer=1),))])


def test_each_branch_computes_as_if_it_alone_followed_the_picture():
    torch.manual_seed(0)
    config = neo_tiny(
        img_context_token_id=CONTEXT,
        img_start_token_id=IMAGE,
        image_end_token_id=IMAGE_END,
        hidden_size=32,
        num_hidden_layers=3,
        intermediate_size=48,
        head_dim=16,
    )
    model = NeoForConditionalGeneration(config).eval()
    patches = np.random.default_rng(0).normal(size=(16, 48)).astype(np.float32)

    def read(pictures):
        grids = np.array([[1, 4, 4]] * len(pictures))
        return {"pixel_values": np.concatenate([patches] * len(pictures)), "image_grid_thw": grids}

    trunk = branch(1, IMAGE, *[CONTEXT] * 4, IMAGE_END)
    branches = (branch(10, 11, 12, answer=1), branch(13, 14, answer=1), branch(15, 16, 17, 18, answer=1))
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    collate = BranchCollator(20, pad_token_id=0, read_pictures=read)
    together = collate([Row(trunk, branches, picture)])
    together.pop("labels")
    logits = model(**together).logits[0]
    for number, alone in enumerate(branches, start=1):
        ids = torch.tensor([[*trunk.ids, *alone.ids]])
        inputs = {"pixel_values": torch.from_numpy(patches), "image_grid_thw": torch.tensor([[1, 4, 4]])}
        wanted = model(input_ids=ids, **inputs).logits[0, len(trunk.ids) :]
        torch.testing.assert_close(logits[together["branch_ids"][0] == number], wanted, atol=1e-5, rtol=1e-4)
