"""For our models: one pass over a prompt serves all responses to it, in the rollout and in the update.

rollout: prompts --prefill once--> cache --repeat for each response--> generate()
update:  [prompt | response 1 | response 2 | ...] as one row of parallel branches, which see the prompt and themselves

Legend: U prompts · R responses · T tokens of the longest response · L tokens of the longest packed row · D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixelword.model import NeoForConditionalGeneration
from pixelword.model.decoding import decoder_for
from pixelword.model.decoding_cache import DecodingCache
from pixelword.posttrain.prompts import Prompts

ROUND = 16
"""Packed rows have a multiple of so many tokens, so that compiled layers meet few lengths."""


@torch.no_grad()
def generate_shared(
    model: NeoForConditionalGeneration, prompts: Prompts, rows: Sequence[int], pad_id: int, config: Any
) -> tuple[Any, int]:
    """`generate()` for these rows; prompts that several rows share are prefilled once.

    Args:
        rows: number of the prompt of each response.
        config: of generation, with a cache.

    Returns:
        What `generate()` returns, and how many tokens the padded prompts have.
    """
    unique = sorted(set(rows))
    inputs = prompts.padded(unique, pad_id, model.device)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    owner = torch.tensor([unique.index(row) for row in rows], device=ids.device)
    cache = DecodingCache(decoder_for(model), model.config.llm_config.num_hidden_layers)
    media = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
    training = model.training
    model.train(False)
    with torch.compiler.set_stance("force_eager"):
        model(
            input_ids=ids[:, :-1],
            attention_mask=mask[:, :-1],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **media,
        )
        cache.batch_select_indices(owner)
        grids = prompts.fields(rows, ids.shape[1], 0, ids.device)["image_grid_thw"]
        made = model.generate(
            input_ids=ids[owner],
            attention_mask=mask[owner],
            image_grid_thw=grids,
            past_key_values=cache,
            generation_config=config,
        )
    model.train(training)
    return made, ids.shape[1]


def packed_logps(
    model: NeoForConditionalGeneration,
    prompts: Prompts,
    rows: Sequence[int],
    response_RT: Tensor,
    mask_RT: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of responses, (R, T) each, zero where the mask is; with gradient.

    Args:
        rows: number of the prompt of each response.
        mask_RT: 1 at the tokens of a response, from its first.
    """
    device = response_RT.device
    unique = sorted(set(rows))
    lengths = mask_RT.sum(1).tolist()
    packed: list[list[int]] = []
    branches: list[list[int]] = []
    sources = torch.zeros_like(response_RT)  # flat index of the token that each token of a response follows
    for row, number in enumerate(unique):
        ids = list(prompts.known[number].ids)
        trunk, branch = len(ids), [0] * len(ids)
        for response in (place for place, owner in enumerate(rows) if owner == number):
            tokens = response_RT[response, : lengths[response]].tolist()
            start = len(ids)
            follows = [trunk - 1, *range(start, start + len(tokens) - 1)] if tokens else []
            sources[response, : len(tokens)] = torch.tensor(follows, device=device, dtype=sources.dtype)
            ids += tokens
            branch += [max(branch) + 1] * len(tokens)
        packed.append(ids)
        branches.append(branch)
        sources[[place for place, owner in enumerate(rows) if owner == number]] += row << 32
    longest = -(-max(map(len, packed)) // ROUND) * ROUND
    ids_UL = filled(packed, longest, 0, device)
    branch_UL = filled(branches, longest, 0, device)
    sample_UL = filled([[0] * len(one) for one in packed], longest, -1, device)
    media = prompts.fields(unique, longest, 0, device)
    hidden_ULD = model.model(
        input_ids=ids_UL,
        pixel_values=media["pixel_values"],
        image_grid_thw=media["image_grid_thw"],
        sample_ids=sample_UL,
        branch_ids=branch_UL,
        use_cache=False,
    ).last_hidden_state
    real = mask_RT.bool()
    flat = (sources[real] >> 32) * longest + (sources[real] & 0xFFFFFFFF)
    logps, entropies = token_logps(hidden_ULD.flatten(0, 1)[flat], model.lm_head, response_RT[real], temperature)
    zeros = torch.zeros(response_RT.shape, dtype=logps.dtype, device=device)
    return zeros.masked_scatter(real, logps), zeros.masked_scatter(real, entropies)


def filled(rows: Sequence[Sequence[int]], longest: int, fill: int, device: torch.device) -> Tensor:
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], device=device)


def token_logps(hidden_ND: Tensor, head: nn.Module, ids_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(N,) log-probabilities of ids, and entropies of their distributions."""
    logits = head(hidden_ND).float() / temperature
    logps = torch.log_softmax(logits, dim=-1)
    chosen = logps.gather(-1, ids_N[:, None])[:, 0]
    return chosen, -(logps.exp() * logps).sum(-1)
