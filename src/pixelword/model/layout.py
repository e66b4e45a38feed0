"""Where every token stands and what it may look at: the single source of positions and masks.

Legend: B rows of a batch · N new tokens of a row · K keys (cached tokens, then the new ones).

A token's place is four integers: its sample, its branch, its image and its position in the row. From them follow
  * the three indices T, H, W that the rotary embedding turns into angles (NEO, section 3.1 and figure 3), and
  * two spans of keys that the token may attend to: the trunk of its sample, and its own branch up to a limit.
The limit of a text token is itself; the limit of an image token is the last token of its image. This one number per
token is the whole of NEO's frame-wise mixed attention: bidirectional inside an image, causal everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelword.errors import PromptError, ShapeError
from pixelword.model.configuration import NeoConfig


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """Index vectors of one batch.

    Attributes:
        position_ids: (3, B, N) int64, the indices T, H and W.
        image_ids: (B, N) int64, number of the image a token belongs to, counted over the batch; -1 for text.
        trunk_first, trunk_last: (B, N) int64, first and last key of the trunk a branch token sees; empty (0, -1)
            for the trunk itself.
        own_first, own_last: (B, N) int64, first and last key of the token's own branch that it sees.
        plain: True where the rule is ordinary causal attention over all keys, so that no mask is needed.
        places: (B, N) int64, the key that each token itself becomes.
        key_mask: (B, K) bool, False where a cached key is padding; None when no key is.
    """

    position_ids: Tensor
    image_ids: Tensor
    trunk_first: Tensor
    trunk_last: Tensor
    own_first: Tensor
    own_last: Tensor
    plain: bool
    places: Tensor
    key_mask: Tensor | None = None

    def allows(self, query: int, key: int, row: int = 0) -> bool:
        """The predicate itself, for one pair: may `query` attend to `key`? Every rendering is tested against it."""
        in_trunk = self.trunk_first[row, query] <= key <= self.trunk_last[row, query]
        in_own = self.own_first[row, query] <= key <= self.own_last[row, query]
        if self.key_mask is None:
            return bool(in_trunk or in_own)
        return bool((in_trunk or in_own) and self.key_mask[row, key]) or key == int(self.places[row, query])

    def at(self, position_ids: Tensor) -> TokenLayout:
        """The same rule with indices of the caller's own."""
        return replace(self, position_ids=position_ids)

    def select(self, rows: Tensor) -> TokenLayout:
        """The same rule for some of the queries only, e.g. the last one; the keys stay as they are."""
        own = ("image_ids", "trunk_first", "trunk_last", "own_first", "own_last", "places")
        chosen = {name: getattr(self, name)[:, rows] for name in own}
        return replace(self, position_ids=self.position_ids[:, :, rows], plain=False, **chosen)


@dataclass(frozen=True)
class _Segments:
    """Maximal runs of tokens with one row, sample and branch, over the flattened batch."""

    of_token: Tensor
    first: Tensor
    last: Tensor
    trunk: Tensor
    is_trunk: Tensor


def token_layout(
    config: NeoConfig,
    input_ids: Tensor,
    image_grid_thw: Tensor | None = None,
    attention_mask: Tensor | None = None,
    sample_ids: Tensor | None = None,
    branch_ids: Tensor | None = None,
) -> TokenLayout:
    """Lay out whole sequences (nothing cached yet).

    Args:
        config: decides the image token, the position scheme and whether images are bidirectional.
        input_ids: (B, N) int64.
        image_grid_thw: (images, 3) int64, (1, rows, columns) of patches per image, in the order of their tokens.
        attention_mask: (B, N), 0 where a token is padding.
        sample_ids: (B, N) int64, number of the packed sample a token belongs to, -1 for padding. Samples never meet.
        branch_ids: (B, N) int64; 0 is the trunk of a sample, k > 0 one of several continuations that see the trunk and
            themselves but not each other. The trunk comes first; T continues from its end in every branch.

    Raises:
        PromptError: placeholders and grids do not match.
        ShapeError: index vectors of another shape, or a branch without a trunk.
    """
    if input_ids.ndim != 2 or input_ids.shape[1] == 0:
        raise ShapeError(
            "input_ids must be (rows, tokens) with at least one token",
            got=tuple(input_ids.shape),
            fix="add the batch dimension, or leave empty rows out",
        )
    for name, vector in {"attention_mask": attention_mask, "sample_ids": sample_ids, "branch_ids": branch_ids}.items():
        if vector is not None and vector.shape != input_ids.shape:
            raise ShapeError(
                f"{name} must have the shape of input_ids",
                got=f"{tuple(vector.shape)} and {tuple(input_ids.shape)}",
                fix="give one number per token",
            )
    real = attention_mask.bool() if attention_mask is not None else torch.ones_like(input_ids, dtype=torch.bool)
    samples = torch.zeros_like(input_ids) if sample_ids is None else sample_ids
    samples = torch.where(real, samples, -1)
    branches = torch.zeros_like(input_ids) if branch_ids is None else branch_ids
    image_ids, row_of, column_of, image_last = _images(config, input_ids, image_grid_thw)
    segments = _segments(samples, branches)
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    first, last = _in_row(segments.first, input_ids), _in_row(segments.last, input_ids)

    def of_token(per_segment: Tensor) -> Tensor:
        return per_segment[segments.of_token].view_as(input_ids)

    limit = (
        places if config.llm_config.attention_pattern == "causal" else torch.where(image_ids >= 0, image_last, places)
    )
    in_branch = ~of_token(segments.is_trunk)
    padding = samples < 0
    position_ids = _positions(config, input_ids, image_ids, row_of, column_of, segments)
    return TokenLayout(
        position_ids=torch.where(padding, 0, position_ids),
        image_ids=image_ids,
        trunk_first=torch.where(in_branch & ~padding, of_token(first[segments.trunk]), 0),
        trunk_last=torch.where(in_branch & ~padding, of_token(last[segments.trunk]), -1),
        own_first=torch.where(padding, places, of_token(first)),
        own_last=torch.where(padding, places, limit),
        plain=_is_plain(config, image_grid_thw, attention_mask, sample_ids, branch_ids),
        places=places,
    )


def continuation_layout(
    config: NeoConfig, input_ids: Tensor, position_ids: Tensor, past: int, attention_mask: Tensor | None
) -> TokenLayout:
    """Lay out new tokens behind `past` cached ones.

    Args:
        input_ids: (B, N) int64, the new tokens only. A chunk may not begin or end inside an image.
        position_ids: (3, B, N), the indices of the new tokens; they depend on the cached images, so the caller knows.
        past: tokens in the cache.
        attention_mask: (B, past + N), 0 where a cached or new token is padding.
    """
    rows, new = input_ids.shape
    places = torch.arange(new, device=input_ids.device).expand_as(input_ids)
    first, key_mask = torch.zeros_like(input_ids), None
    if attention_mask is not None:
        if attention_mask.shape != (rows, past + new):
            raise ShapeError(
                "attention_mask must cover the cached and the new tokens",
                got=f"{tuple(attention_mask.shape)} for {past} cached and {new} new tokens",
                fix="keep the mask of the cached tokens and append the new ones",
            )
        key_mask = attention_mask.bool()
        # A padded query must see one key, or its softmax is undefined and its NaN reaches every later layer.
        first = torch.minimum(key_mask.int().argmax(dim=1, keepdim=True), places + past)
    limit, image_ids = places, torch.full_like(input_ids, -1)
    if new > 1:
        is_image = input_ids == config.image_token_id
        image_ids, image_last = _runs(is_image)
        if config.llm_config.attention_pattern == "mixed":
            limit = torch.where(is_image, image_last, places)
    empty = torch.zeros_like(input_ids)
    return TokenLayout(
        position_ids=position_ids,
        image_ids=image_ids,
        trunk_first=empty,
        trunk_last=empty - 1,
        own_first=first,
        own_last=limit + past,
        plain=new == 1 and attention_mask is None,
        places=places + past,
        key_mask=key_mask,
    )


def next_position(config: NeoConfig, position_ids: Tensor, steps: int = 1) -> Tensor:
    """(3, B, steps): indices of the text tokens that follow `position_ids` (3, B, N).

    Text after an image takes up at the next T, whatever the image's height and width (NEO, section 3.1).
    """
    ahead = torch.arange(1, steps + 1, device=position_ids.device)
    temporal = position_ids[0].amax(dim=-1, keepdim=True) + ahead
    spatial = torch.zeros_like(temporal) if config.llm_config.rope_scheme == "native" else temporal
    return torch.stack((temporal, spatial, spatial))


def three_indices(position_ids: Tensor) -> Tensor:
    """`position_ids` themselves, or ShapeError if they are not (3, B, N)."""
    if position_ids.ndim != 3 or position_ids.shape[0] != 3:
        raise ShapeError(
            "position_ids must be (3, rows, tokens): T, H and W",
            got=tuple(position_ids.shape),
            fix="take them from get_rope_index",
        )
    return position_ids


def require_no_placeholders(config: NeoConfig, input_ids: Tensor) -> None:
    """PromptError if a token stands for a picture: for callers that were given none."""
    found = int((input_ids == config.image_token_id).sum())
    if found:
        raise PromptError(
            "image placeholders without pictures",
            got=f"{found} placeholders, no pixel_values or no image_grid_thw",
            fix="pass pixel_values and image_grid_thw as the processor returns them",
        )


def hides_nothing(attention_mask: Tensor | None, shape: tuple[int, int]) -> bool:
    """Whether a mask is all ones, as processors pass it for prompts without padding."""
    return attention_mask is not None and attention_mask.shape == shape and bool(attention_mask.all())


def _is_plain(config: NeoConfig, grids: Tensor | None, mask: Tensor | None, *index_vectors: Tensor | None) -> bool:
    bidirectional = grids is not None and len(grids) > 0 and config.llm_config.attention_pattern == "mixed"
    return not bidirectional and all(vector is None for vector in (mask, *index_vectors))


def _runs(is_image: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the run each image token belongs to (-1 for text), and the place of that run's last token."""
    before = torch.nn.functional.pad(is_image[:, :-1], (1, 0))
    starts = (is_image & ~before).flatten()
    number = (starts.cumsum(0) - 1).view_as(is_image)
    number = torch.where(is_image, number, -1)
    places = torch.arange(is_image.shape[1], device=is_image.device).expand_as(is_image)
    after = torch.nn.functional.pad(is_image[:, 1:], (0, 1))
    ends = places[is_image & ~after]
    last = ends[number.clamp(min=0)] if len(ends) else places
    return number, last


def _images(
    config: NeoConfig, input_ids: Tensor, image_grid_thw: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per token: number of its image or -1, its row and column in the merged grid, place of its image's last token."""
    is_image = input_ids == config.image_token_id
    number, last = _runs(is_image)
    zero = torch.zeros_like(input_ids)
    if image_grid_thw is None or len(image_grid_thw) == 0:
        require_no_placeholders(config, input_ids)
        return number, zero, zero, last
    _check_images(config, input_ids, is_image, number, image_grid_thw)
    merge = config.vision_config.merge_size
    columns = (image_grid_thw[:, 2] // merge).to(input_ids.device)
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    length = (image_grid_thw[:, 1] * image_grid_thw[:, 2] // merge**2).to(input_ids.device)
    which = number.clamp(min=0)
    nth = places - (last - length[which] + 1)
    return (
        number,
        torch.where(is_image, nth // columns[which], zero),
        torch.where(is_image, nth % columns[which], zero),
        last,
    )


def _check_images(config: NeoConfig, input_ids: Tensor, is_image: Tensor, number: Tensor, grids: Tensor) -> None:
    if grids.ndim != 2 or grids.shape[1] != 3 or bool((grids[:, 0] != 1).any()):
        raise ShapeError(
            "image_grid_thw must hold one row (1, rows, columns) per image",
            got=grids.tolist(),
            fix="pass it as the image processor returns it; the frames of a film are images of their own",
        )
    merge = config.vision_config.merge_size
    if bool((grids[:, 1:] % merge).any()):
        raise ShapeError(
            f"rows and columns of patches must be multiples of {merge}",
            got=grids.tolist(),
            fix="resize pictures with the image processor of this model",
        )
    opened = torch.nn.functional.pad(input_ids[:, :-1] == config.image_start_token_id, (1, 0))
    before = torch.nn.functional.pad(is_image[:, :-1], (1, 0))
    if bool((is_image & ~before & ~opened).any()):
        raise PromptError(
            "image placeholders must follow <img> directly",
            got="a run of <IMG_CONTEXT> without <img> before it",
            fix="build prompts with NeoProcessor; do not type the placeholder yourself",
        )
    wanted = (grids[:, 1] * grids[:, 2] // merge**2).tolist()
    found = torch.bincount(number[is_image], minlength=0).tolist() if bool(is_image.any()) else []
    if wanted != found:
        where = _first_difference(wanted, found)
        raise PromptError(
            f"placeholders and patches differ at image {where}",
            got=f"tokens wanted per image {wanted[:8]}, placeholders found {found[:8]}",
            fix="use the input_ids and image_grid_thw of one processor call, in one order",
        )


def _first_difference(wanted: list[int], found: list[int]) -> int:
    for place, (left, right) in enumerate(zip(wanted, found, strict=False)):
        if left != right:
            return place
    return min(len(wanted), len(found))


def _segments(samples: Tensor, branches: Tensor) -> _Segments:
    rows, length = samples.shape
    flat_sample, flat_branch = samples.flatten(), branches.flatten()
    starts = torch.ones_like(flat_sample, dtype=torch.bool)
    starts[1:] = (flat_sample[1:] != flat_sample[:-1]) | (flat_branch[1:] != flat_branch[:-1])
    starts[::length] = True
    of_token = starts.cumsum(0) - 1
    first = starts.nonzero().squeeze(1)
    last = torch.cat((first[1:], first.new_tensor([rows * length]))) - 1
    is_trunk = (flat_branch[first] == 0) | (flat_sample[first] < 0)
    numbers = torch.arange(len(first), device=first.device)
    trunk = torch.where(is_trunk, numbers, -1).cummax(0).values
    same = (trunk >= 0) & (flat_sample[first[trunk.clamp(min=0)]] == flat_sample[first])
    same &= first[trunk.clamp(min=0)] // length == first // length
    if not bool(same.all()):
        bad = int(first[(~same).nonzero()[0, 0]])
        raise ShapeError(
            "a branch must follow the trunk of its own sample",
            got=f"branch {int(flat_branch[bad])} at row {bad // length}, token {bad % length}",
            fix="put the tokens with branch_ids 0 first in every sample",
        )
    return _Segments(of_token, first, last, trunk, is_trunk)


def _in_row(flat_places: Tensor, input_ids: Tensor) -> Tensor:
    return flat_places % input_ids.shape[1]


def _positions(
    config: NeoConfig, input_ids: Tensor, image_ids: Tensor, row_of: Tensor, column_of: Tensor, segments: _Segments
) -> Tensor:
    """(3, B, N): T, H, W by the configured scheme (NEO, section 3.1, figure 1 and table 3)."""
    text = config.llm_config
    is_image = image_ids >= 0
    if text.rope_scheme == "1d":
        step = torch.ones_like(input_ids)
    else:
        opened = torch.nn.functional.pad(input_ids[:, :-1] == config.image_start_token_id, (1, 0))
        # The released rule steps after every <img>, image or not; a new segment never sees the token before it.
        segment_start = torch.zeros_like(input_ids, dtype=torch.bool).flatten()
        segment_start[segments.first] = True
        step = (~is_image).long() + (opened & ~segment_start.view_as(opened)).long()
    running = step.flatten().cumsum(0)
    before_segment = (running - step.flatten())[segments.first]
    within = running - before_segment[segments.of_token] - 1
    trunk_end = within[segments.last[segments.trunk]] + 1
    continued = torch.where(segments.is_trunk, 0, trunk_end)
    temporal = (within + continued[segments.of_token]).view_as(input_ids)
    if text.rope_scheme == "native":
        return torch.stack((temporal, row_of, column_of))
    if text.rope_scheme == "1d":
        return torch.stack((temporal, temporal, temporal))
    if text.rope_scheme == "video" and text.video_diagonal:
        row_of, column_of = _centred(image_ids, row_of), _centred(image_ids, column_of)
    height, width = temporal + row_of, temporal + column_of
    return torch.stack((temporal, height, width))


def _centred(image_ids: Tensor, index: Tensor) -> Tensor:
    """Indices of each image minus half of its extent, so that its centre lies at the image's T."""
    if not bool((image_ids >= 0).any()):
        return index
    extent = torch.zeros(int(image_ids.max()) + 1, dtype=index.dtype, device=index.device)
    inside = image_ids >= 0
    extent.scatter_reduce_(0, image_ids[inside], index[inside] + 1, "amax")
    return torch.where(inside, index - extent[image_ids.clamp(min=0)] // 2, index)
