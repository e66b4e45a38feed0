"""Every rendering of the mask against the predicate, pair by pair."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask

from pixelword.model.layout import TokenLayout, continuation_layout, token_layout
from pixelword.model.masks import _block_relations, block_mask, dense_mask, key_limits, row_blocks

from .conftest import IMAGE, START, batch, grids_of, prompt, small_config

PARTS = st.lists(
    st.one_of(st.text("ab", min_size=1, max_size=9), st.tuples(st.integers(1, 3), st.integers(1, 5))),
    min_size=1,
    max_size=6,
)


def slow(layout: TokenLayout, keys: int) -> torch.Tensor:
    rows, new = layout.places.shape
    pairs = [[[layout.allows(q, k, row) for k in range(keys)] for q in range(new)] for row in range(rows)]
    return torch.tensor(pairs)[:, None]


@st.composite
def layouts(draw):
    """Padded batches, packed rows, rows with branches, and chunks behind a cache."""
    kind = draw(st.sampled_from(["padded", "packed", "branched", "continued"]))
    config = small_config()
    if kind in ("padded", "continued"):
        inputs = batch(*[prompt(*draw(PARTS)) for _ in range(draw(st.integers(1, 2)))])
        whole = token_layout(config, inputs["input_ids"], inputs.get("image_grid_thw"), inputs["attention_mask"])
        if kind == "padded":
            return whole, whole.places.shape[1]
        inside = ((inputs["input_ids"][:, :-1] == IMAGE) & (inputs["input_ids"][:, 1:] == IMAGE)).any(0).tolist()
        cuts = [place + 1 for place, cut in enumerate(inside) if not cut]
        past = draw(st.sampled_from(cuts)) if cuts else 0
        if past == 0:
            return whole, whole.places.shape[1]
        chunk = continuation_layout(
            config, inputs["input_ids"][:, past:], whole.position_ids[..., past:], past, inputs["attention_mask"]
        )
        return chunk, whole.places.shape[1] + draw(st.integers(0, 3))  # a static cache is longer
    built = [prompt(*draw(PARTS)) for _ in range(draw(st.integers(1, 4)))]
    ids = torch.tensor([[token for part, _ in built for token in part]])
    numbers = torch.tensor([[number for number, (part, _) in enumerate(built) for _ in part]])
    grids = [(1, *grid) for _, row in built for grid in row]
    grid = torch.tensor(grids) if grids else None
    index = {"sample_ids": numbers} if kind == "packed" else {"branch_ids": numbers}
    return token_layout(config, ids, grid, **index), ids.shape[1]


@settings(max_examples=60)
@given(layouts())
def test_dense_mask_is_the_predicate_pair_by_pair(case):
    layout, keys = case
    mask = dense_mask(layout, keys)
    assert torch.equal(mask, slow(layout, keys))
    assert mask.any(-1).all()  # softmax is defined in every row


@settings(max_examples=60)
@given(layouts(), st.sampled_from([4, 16]))
def test_block_mask_is_the_predicate_pair_by_pair(case, block):
    layout, keys = case
    rendered = block_mask(layout, keys, block=block)
    assert isinstance(rendered, BlockMask)
    assert torch.equal(opened(rendered, layout, keys, block), slow(layout, keys))


def opened(rendered: BlockMask, layout: TokenLayout, keys: int, block: int) -> torch.Tensor:
    """What a kernel computes from a BlockMask: whole blocks unseen, listed blocks by the predicate, others nothing."""
    rows, new = layout.places.shape
    mask = torch.zeros(rows, 1, new, keys, dtype=torch.bool)
    q, k = torch.arange(new)[:, None], torch.arange(keys)[None, :]
    for row in range(rows):
        pairs = rendered.mask_mod(torch.tensor(row), torch.tensor(0), q, k)
        for query_block in range(rendered.kv_num_blocks.shape[2]):
            own = slice(query_block * block, (query_block + 1) * block)
            partial = rendered.kv_indices[row, 0, query_block, : rendered.kv_num_blocks[row, 0, query_block]]
            full = rendered.full_kv_indices[row, 0, query_block, : rendered.full_kv_num_blocks[row, 0, query_block]]
            for number in partial.tolist():
                there = slice(number * block, (number + 1) * block)
                mask[row, 0, own, there] = pairs[own, there]
            for number in full.tolist():
                mask[row, 0, own, number * block : (number + 1) * block] = True
    return mask


@settings(max_examples=60)
@given(layouts())
def test_key_limits_say_the_same_where_one_span_is_enough(case):
    layout, keys = case
    limits = key_limits(layout)
    if limits is None:
        return
    first, last = limits
    key = torch.arange(keys)
    assert torch.equal(((key >= first[..., None]) & (key <= last[..., None]))[:, None], slow(layout, keys))


def test_block_mask_skips_what_no_token_needs():
    """64 samples of 128 tokens: the diagonal blocks only, 64 of 4096."""
    ids = torch.ones(1, 64 * 128, dtype=torch.long)
    samples = torch.arange(64).repeat_interleave(128)[None]
    layout = token_layout(small_config(), ids, sample_ids=samples)
    reached, whole = _block_relations(layout, ids.shape[1], 128)
    assert int(reached.sum()) == 64
    assert int(whole.sum()) == 0


def test_plain_text_needs_no_mask_and_images_do():
    text = torch.tensor([[1, 2, 3]])
    assert token_layout(small_config(), text).plain
    image = torch.tensor([[1, START, IMAGE]])
    assert not token_layout(small_config(), image, torch.tensor([(1, 2, 2)])).plain
    assert token_layout(small_config(attention_pattern="causal"), image, torch.tensor([(1, 2, 2)])).plain
    assert not token_layout(small_config(), text, sample_ids=torch.tensor([[0, 0, 1]])).plain


@settings(max_examples=60)
@given(layouts(), st.sampled_from([3, 8]), st.sampled_from([0, 9, 10_000]))
def test_row_blocks_say_the_same_with_fewer_pairs(case, block, worth):
    layout, keys = case
    blocks = row_blocks(layout, block, worth)
    if blocks is None:
        assert key_limits(layout) is None
        return
    rebuilt = torch.zeros_like(slow(layout, keys))
    for rows, columns, allowed in blocks:
        rebuilt[:, :, rows, columns] = allowed
        if rebuilt.shape[0] == 1:  # no key outside of what its queries need, at either end
            assert allowed[..., 0].any() and allowed[..., -1].any()
    assert torch.equal(rebuilt, slow(layout, keys))
    assert all(rows.stop - rows.start <= block for rows, _, _ in blocks)
    assert [rows.start for rows, _, _ in blocks] == [0, *(rows.stop for rows, _, _ in blocks[:-1])]


def test_row_blocks_are_cut_at_samples_and_pictures_if_that_spares_enough():
    parts = [("a" * 300,), ("a" * 300,), ("a" * 19, (12, 16), "a" * 50), *[("a" * 5,)] * 4]
    ids, sample, grids = [], [], []
    for number, part in enumerate(parts):
        more, grid = prompt(*part)
        ids, sample, grids = ids + more, sample + [number] * len(more), grids + grid
    layout = token_layout(
        small_config(), torch.tensor([ids]), grids_of(torch.tensor(grids)), sample_ids=torch.tensor([sample])
    )
    assert len(row_blocks(layout, worth=0)) == 14
    found = [((rows.start, rows.stop), (keys.start, keys.stop)) for rows, keys, _ in row_blocks(layout)]
    assert found == [
        *[((0, 100), (0, 100)), ((100, 200), (0, 200)), ((200, 300), (0, 300))],
        # The 20 words before the picture would spare 8,000 pairs as a block of their own: not enough.
        *[((300, 400), (300, 400)), ((400, 500), (300, 500)), ((500, 620), (300, 620))],
        # The picture, every query of which sees all of it, then the words behind it and four short samples.
        *[((620, 716), (600, 812)), ((716, 812), (600, 812)), ((812, 883), (600, 883))],
    ]
