"""Indices T, H, W and image numbers: worked examples by hand, and the rule spelled out token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelword import PromptError, ShapeError
from pixelword.model.layout import next_position, token_layout
from pixelword.model.masks import dense_mask

from .conftest import END, IMAGE, START, batch, prompt, small_config

PARTS = st.lists(
    st.one_of(st.text("abc", min_size=1, max_size=4), st.tuples(st.integers(1, 3), st.integers(1, 4))),
    min_size=1,
    max_size=5,
)


def rows_of(config, *parts):
    ids, grids = prompt(*parts)
    grid = torch.tensor([(1, *g) for g in grids]) if grids else None
    return token_layout(config, torch.tensor([ids]), grid)


def test_worked_example_of_two_images():
    layout = rows_of(small_config(), "A", (2, 3), "BC", (2, 2), "DE")
    t, h, w = layout.position_ids[:, 0].tolist()
    assert t == [0, 1, 2, 2, 2, 2, 2, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 9, 10]
    assert h == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert w == [0, 0, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0]
    assert layout.image_ids[0].tolist() == [-1, -1, *[0] * 6, -1, -1, -1, -1, *[1] * 4, -1, -1, -1]
    assert next_position(small_config(), layout.position_ids).flatten().tolist() == [11, 0, 0]


def test_figure_3_of_the_paper():
    """<SS> red <img> 4 patches </img> and blue <img> 4 patches </img> pills . <ES>, one token per word."""
    ids = [1, 2, START, *[IMAGE] * 4, END, 3, 4, START, *[IMAGE] * 4, END, 5, 6, 7]
    layout = token_layout(small_config(), torch.tensor([ids]), torch.tensor([(1, 4, 4), (1, 4, 4)]))
    t, h, w = layout.position_ids[:, 0].tolist()
    assert t == [0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 8, 8, 8, 9, 10, 11, 12]
    assert [pair for pair, token in zip(zip(h, w, strict=True), ids, strict=True) if token == IMAGE] == [
        (0, 0), (0, 1), (1, 0), (1, 1)
    ] * 2  # fmt: skip


def test_figure_1_of_the_paper_shifted_rows():
    """`red` [2x2] `and blue` [2x2] `pills` with markers left out of the comparison, as the figure draws it."""
    ids = [1, START, *[IMAGE] * 4, END, 2, 3, START, *[IMAGE] * 4, END, 4]
    layout = token_layout(small_config(rope_scheme="m"), torch.tensor([ids]), torch.tensor([(1, 4, 4), (1, 4, 4)]))
    rows = list(zip(*layout.position_ids[:, 0].tolist(), strict=True))
    assert rows[2:6] == [(2, 2, 2), (2, 2, 3), (2, 3, 2), (2, 3, 3)]
    assert rows[7] == (4, 4, 4)  # text resumes one after the image's T, not after its largest index
    assert next_position(small_config(rope_scheme="m"), layout.position_ids).flatten().tolist() == [rows[-1][0] + 1] * 3


def test_twelve_by_twelve_mask_of_the_specification():
    ids = [1, START, IMAGE, IMAGE, IMAGE, IMAGE, END, 2, START, IMAGE, IMAGE, 3]
    layout = token_layout(small_config(), torch.tensor([ids]), torch.tensor([(1, 4, 4), (1, 2, 4)]))
    rows = ["100000000000", "110000000000", *["111111000000"] * 4, "111111100000", "111111110000"]
    rows += ["111111111000", *["111111111110"] * 2, "111111111111"]
    assert ["".join("01"[int(x)] for x in row) for row in dense_mask(layout, 12)[0, 0]] == rows
    assert layout.position_ids[0, 0].tolist() == [0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 6, 7]


def slow_native(ids: list[int], grids: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The rule of the paper, one token at a time."""
    t, image, rows = -1, -1, []
    k = 0
    for place, token in enumerate(ids):
        opened = place > 0 and ids[place - 1] == START
        if token == IMAGE:
            if opened:
                t, image, k = t + 1, image + 1, 0
            row, column = divmod(k, grids[image][1] // 2)
            k += 1
            rows.append((t, row, column))
        else:
            t += 1 + opened
            rows.append((t, 0, 0))
    return rows


@given(PARTS)
def test_native_indices_follow_the_rule_token_by_token(parts):
    ids, grids = prompt(*parts)
    layout = rows_of(small_config(), *parts)
    assert list(zip(*layout.position_ids[:, 0].tolist(), strict=True)) == slow_native(ids, grids)


@given(st.lists(PARTS, min_size=1, max_size=3))
def test_rows_of_a_padded_batch_are_laid_out_as_alone(prompts):
    inputs = batch(*[prompt(*parts) for parts in prompts])
    layout = token_layout(
        small_config(), inputs["input_ids"], inputs.get("image_grid_thw"), attention_mask=inputs["attention_mask"]
    )
    for row, parts in enumerate(prompts):
        alone = rows_of(small_config(), *parts)
        length = alone.places.shape[1]
        assert torch.equal(layout.position_ids[:, row, -length:], alone.position_ids[:, 0])


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_packed_samples_are_laid_out_as_alone_and_never_meet(prompts):
    built = [prompt(*parts) for parts in prompts]
    ids = torch.tensor([[token for ids, _ in built for token in ids]])
    samples = torch.tensor([[number for number, (ids, _) in enumerate(built) for _ in ids]])
    grids = [(1, *grid) for _, row in built for grid in row]
    layout = token_layout(small_config(), ids, torch.tensor(grids) if grids else None, sample_ids=samples)
    mask, start = dense_mask(layout, ids.shape[1])[0, 0], 0
    assert not mask[samples[0][:, None] != samples[0][None, :]].any()
    for parts in prompts:
        alone = rows_of(small_config(), *parts)
        end = start + alone.places.shape[1]
        assert torch.equal(layout.position_ids[:, 0, start:end], alone.position_ids[:, 0])
        assert torch.equal(mask[start:end, start:end], dense_mask(alone, end - start)[0, 0])
        start = end


@given(PARTS, st.lists(PARTS, min_size=1, max_size=3))
def test_branches_are_laid_out_as_if_each_stood_alone_behind_the_trunk(trunk, branches):
    trunk_ids, trunk_grids = prompt(*trunk)
    built = [prompt(*parts) for parts in branches]
    ids = torch.tensor([trunk_ids + [token for ids, _ in built for token in ids]])
    numbers = [0] * len(trunk_ids) + [n + 1 for n, (branch, _) in enumerate(built) for _ in branch]
    grids = [(1, *grid) for grid in [*trunk_grids, *[grid for _, row in built for grid in row]]]
    layout = token_layout(
        small_config(), ids, torch.tensor(grids) if grids else None, branch_ids=torch.tensor([numbers])
    )
    mask, start = dense_mask(layout, ids.shape[1])[0, 0], len(trunk_ids)
    for parts in branches:
        alone = rows_of(small_config(), *trunk, *parts)
        length = alone.places.shape[1] - len(trunk_ids)
        seen = [*range(len(trunk_ids)), *range(start, start + length)]
        assert torch.equal(
            layout.position_ids[:, 0, start : start + length], alone.position_ids[:, 0, len(trunk_ids) :]
        )
        assert torch.equal(mask[start : start + length][:, seen], dense_mask(alone, len(seen))[0, 0, len(trunk_ids) :])
        assert mask[start : start + length].sum() == mask[start : start + length][:, seen].sum()
        start += length


def test_sequential_indices_of_the_one_dimensional_scheme():
    layout = rows_of(small_config(rope_scheme="1d"), "ab", (2, 2), "c")
    assert all(axis.tolist() == list(range(9)) for axis in layout.position_ids[:, 0])


def test_video_diagonal_centres_an_image_on_its_time():
    layout = rows_of(small_config(rope_scheme="video", video_diagonal=True), "a", (2, 4))
    t, h, w = layout.position_ids[:, 0, 2:10].tolist()
    assert t == [2] * 8
    assert h == [1] * 4 + [2] * 4
    assert w == [0, 1, 2, 3] * 2


def test_causal_pattern_has_the_causal_mask():
    layout = rows_of(small_config(attention_pattern="causal"), "ab", (2, 2), "c")
    assert torch.equal(dense_mask(layout, 9)[0, 0], torch.ones(9, 9, dtype=torch.bool).tril())


@pytest.mark.parametrize(
    ("ids", "grids", "error", "said"),
    [
        ([1, START, IMAGE, IMAGE, END], None, PromptError, "without pictures"),
        ([1, START, IMAGE, IMAGE, END], [(1, 2, 2)], PromptError, "image 0"),
        ([1, START, IMAGE, END, START, IMAGE, END], [(1, 2, 2), (1, 2, 4)], PromptError, "image 1"),
        ([1, START, IMAGE, END], [(1, 2, 2), (1, 2, 2)], PromptError, "image 1"),
        ([1, IMAGE, END], [(1, 2, 2)], PromptError, "must follow <img>"),
        ([1, START, IMAGE, END], [(1, 3, 2)], ShapeError, "multiples of 2"),
        ([1, START, IMAGE, END], [(2, 2, 2)], ShapeError, "(1, rows, columns)"),
    ],
)
def test_placeholders_that_do_not_fit_are_named(ids, grids, error, said):
    with pytest.raises(error) as raised:
        token_layout(small_config(), torch.tensor([ids]), None if grids is None else torch.tensor(grids))
    assert said in str(raised.value)


def test_a_branch_without_its_trunk_is_refused():
    with pytest.raises(ShapeError, match="trunk"):
        token_layout(small_config(), torch.tensor([[1, 2, 3]]), branch_ids=torch.tensor([[1, 1, 0]]))
    with pytest.raises(ShapeError, match="trunk"):
        token_layout(
            small_config(),
            torch.tensor([[1, 2, 3]]),
            sample_ids=torch.tensor([[0, 0, 1]]),
            branch_ids=torch.tensor([[0, 1, 1]]),
        )


@pytest.mark.parametrize("ids", [torch.ones(1, 0, dtype=torch.long), torch.ones(3, dtype=torch.long)])
def test_empty_rows_and_missing_batch_dimensions_are_named(ids):
    with pytest.raises(ShapeError, match="at least one token"):
        token_layout(small_config(), ids)
