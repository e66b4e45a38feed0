"""Rollouts of short answers by our models: the responses to a prompt grow side by side behind its keys, held once.

keys   [prompt | first tokens of all responses | second tokens of all responses | ...]
query  the newest token of each response; it sees the prompt and the tokens of its own response

`generate()` repeats the keys of a prompt for every response to it, and reads them all again for every token. For
answers of a few words behind pictures that is most of its time.

Legend: U prompts · R responses to each · L tokens of a padded prompt · T tokens of a response · K keys · D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixelword.model import NeoForConditionalGeneration
from pixelword.model.decoding_cache import DecodingCache
from pixelword.model.masks import additive_mask
from pixelword.posttrain.prompts import Prompts

KERNELS = ("eager", "sdpa")
"""They take a mask of this kind."""
LONGEST = 4
"""Times as many tokens in all responses to a prompt as in the prompt; beyond it, looking past the others' is waste."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Args:
        max_tokens: T, at most.
        temperature: of the distribution.
        ends: any of these ids ends a response.
        never: ids that are not drawn.
        pad: stands behind the end.
    """

    max_tokens: int
    temperature: float
    ends: Sequence[int]
    never: Sequence[int] = ()
    pad: int = 0


def is_worth_it(model: NeoForConditionalGeneration, prompts: Prompts, rows: Sequence[int], max_tokens: int) -> bool:
    """Whether the kernel takes the mask, and responses are short beside their prompts."""
    kernel = model.config.llm_config._attn_implementation or "eager"
    shortest = min(len(prompts.known[row].ids) for row in rows)
    responses = max(rows.count(row) for row in set(rows))
    return kernel in KERNELS and responses * max_tokens <= LONGEST * shortest


@torch.no_grad()
def sample_side_by_side(
    model: NeoForConditionalGeneration, prompts: Prompts, rows: Sequence[int], how: Sampling
) -> tuple[Tensor, Tensor, Tensor]:
    """One response for each of `rows`, numbers of prompts.

    Returns:
        ids (rows, T), their log-probabilities before anything was forbidden (rows, T), and a mask (rows, T), 1 up to
        and with the end of a response.
    """
    unique = sorted(set(rows))
    members = [[place for place, owner in enumerate(rows) if owner == number] for number in unique]
    R = max(map(len, members))
    inputs = prompts.padded(unique, how.pad, model.device)
    training = model.training
    model.train(False)
    with torch.compiler.set_stance("force_eager"):
        made = grown(model, inputs, R, how)
    model.train(training)
    of_row = torch.empty((len(rows), 2), dtype=torch.long, device=model.device)
    for prompt, places in enumerate(members):
        of_row[places] = torch.tensor([[prompt, response] for response in range(len(places))], device=model.device)
    ids, logps, mask = (part[of_row[:, 0], of_row[:, 1]] for part in made)
    return ids, logps, mask


def grown(
    model: NeoForConditionalGeneration, inputs: dict[str, Any], R: int, how: Sampling
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, log-probabilities and mask, (U, R, T) each, of R responses to every prompt of `inputs`."""
    text, cache = model.model.language_model, DecodingCache(None, model.config.llm_config.num_hidden_layers)
    ids_UL, real_UL = inputs["input_ids"], inputs["attention_mask"]
    U, L = ids_UL.shape
    positions_3UN = model.get_rope_index(
        torch.cat((ids_UL, ids_UL.new_full((U, how.max_tokens), how.pad)), 1),
        inputs["image_grid_thw"],
        torch.cat((real_UL, real_UL.new_ones((U, how.max_tokens))), 1),
    )
    last = torch.tensor([L - 1], device=ids_UL.device)
    hidden = model.model(**inputs, past_key_values=cache, use_cache=True, rows=last).last_hidden_state
    hidden = hidden.expand(U, R, -1)
    ended = torch.zeros((U, R), dtype=torch.bool, device=ids_UL.device)
    ids, logps, mask = [], [], []
    for step in range(how.max_tokens):
        ids_UR, logps_UR = drawn(model.lm_head(hidden).float() / how.temperature, how)
        ids.append(torch.where(ended, how.pad, ids_UR))
        logps.append(torch.where(ended, 0.0, logps_UR))
        mask.append(~ended)
        ended = ended | torch.isin(ids_UR, torch.tensor(list(how.ends), device=ids_UR.device))
        if step == how.max_tokens - 1 or bool(ended.all()):
            break
        hidden = text.embed_tokens(ids[-1])
        cos_sin = text.rotary_emb(positions_3UN[..., L + step, None].expand(3, U, R), hidden.dtype)
        bias = additive_mask(own_keys(real_UL.bool(), R, step + 1), hidden.dtype)
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=bias, layout=None, cos_sin=cos_sin, past_key_values=cache)
        hidden = text.norm(hidden)
    return torch.stack(ids, -1), torch.stack(logps, -1), torch.stack(mask, -1).int()


def drawn(logits_URV: Tensor, how: Sampling) -> tuple[Tensor, Tensor]:
    """Ids (U, R) and their log-probabilities (U, R)."""
    logps_URV = torch.log_softmax(logits_URV, -1)
    allowed = logps_URV.exp()
    allowed[..., list(how.never)] = 0
    ids_UR = torch.multinomial(allowed.flatten(0, 1), 1).view(logits_URV.shape[:2])
    return ids_UR, logps_URV.gather(-1, ids_UR[..., None])[..., 0]


def own_keys(real_UL: Tensor, R: int, tokens: int) -> Tensor:
    """(U, 1, R, K) bool for the newest of `tokens` tokens: the prompt without padding, and each response's own."""
    U = len(real_UL)
    own_RK = torch.eye(R, dtype=torch.bool, device=real_UL.device).repeat(1, tokens)
    return torch.cat((real_UL[:, None].expand(U, R, -1), own_RK.expand(U, R, -1)), -1)[:, None]
