"""Fast generation: the model's own formulas on rearranged copies of its weights, behind the ordinary `generate()`.

Legend: B rows · N new tokens · K keys · D width · V vocabulary.

`generate()` asks `decoder_for` whether a `Decoder` may serve the model, gives it a cache with room, and `forward` then
computes with it whenever that cache is passed. Everything else (beams, recorded hidden states, gradients, adapters,
hooks, autocast) takes the plain path, which stays the definition; in float32 both choose the same greedy tokens.

The price is memory: the copies hold the blocks and the head once more. They are made automatically on a CPU for models
of up to `AUTOMATIC_BYTES`; `prepare_for_decoding` makes them for any model, `use_plain_decoding` forbids them.
They follow the weights: whatever changed the model since, the next `generate()` makes them anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from pixelword.errors import BackendError, ConfigError
from pixelword.model import decoding_math as formulas
from pixelword.model.attention import render, sdpa_attention
from pixelword.model.decoding_cache import DecodingCache
from pixelword.model.decoding_weights import WeightCopies
from pixelword.model.masks import additive_mask

if TYPE_CHECKING:
    from pixelword.model.layout import TokenLayout
    from pixelword.model.modeling import NeoForConditionalGeneration

AUTOMATIC_BYTES = 2**30
"""Copies are made without being asked for up to this size."""

_KERNELS = {"eager", "sdpa", "flex_attention"}
_IN_EVAL = nn.Identity().eval()
_TORCH_PARTS = {nn.Linear, nn.Embedding, nn.ModuleList, nn.Conv2d}


@dataclass(frozen=True)
class DecodingSettings:
    """How a model is served.

    Attributes:
        compile: compile the step; the first tokens then take tens of seconds, and a C++ compiler is needed on a CPU.
        dtype: of the copies; the model's own when None.
    """

    compile: bool = False
    dtype: torch.dtype | None = None


class Decoder:
    """Serves one model; made by `prepare_for_decoding` or by `generate()` itself.

    Args:
        model: the model; it is not kept, only its tensors are.
        settings: how to serve it.
        rows: of the first batch; see `WeightCopies`.
    """

    def __init__(self, model: NeoForConditionalGeneration, settings: DecodingSettings, rows: int = 1) -> None:
        text = model.config.llm_config
        rotary = model.model.language_model.rotary_emb
        self.settings = settings
        self.size = formulas.Dimensions(text.num_attention_heads, text.num_key_value_heads, text.head_dim)
        frequency = rotary.frequency.to(torch.float32)
        self.constants = formulas.constants_of(rotary.axis, frequency, float(text.rms_norm_eps))
        self.copies = WeightCopies(model, settings.dtype or model.dtype, rows)
        self._whole_room = settings.compile or self.copies.dtype == torch.bfloat16
        self._step: Callable[..., Tensor] = formulas.one_token
        self._before: Callable[..., Any] = formulas.before_attention
        self._after: Callable[..., Tensor] = formulas.after_attention
        if settings.compile:
            self._step = torch.compile(formulas.one_token)
            self._before = torch.compile(formulas.before_attention)
            self._after = torch.compile(formulas.after_attention)

    def follow(self, model: NeoForConditionalGeneration, rows: int = 1) -> None:
        """Copy the weights again if they changed, or if so many rows want them arranged differently."""
        if not (self.copies.suits(model.device, rows) and self.copies.is_current(model)):
            dtype = self.settings.dtype or model.dtype
            del self.copies  # before the new ones are made: both together may not fit
            self.copies = WeightCopies(model, dtype, rows)

    def step(
        self, input_ids: Tensor, position_ids: Tensor, attention_mask: Tensor | None, cache: DecodingCache
    ) -> Tensor:
        """One more token for every row: ids (B, 1), indices (3, B, 1) -> logits (B, 1, V)."""
        place = torch.tensor([cache.get_seq_length()], device=input_ids.device)
        keys, values = [], []
        for layer in cache.layers:
            key, value = layer.extend(1, layer.keys, layer.values)
            if self._whole_room:
                assert layer.room is not None
                key, value = layer.room
            keys.append(key.flatten(0, 1))
            values.append(value.flatten(0, 1))
        bias = hidden(attention_mask, keys[0].shape[1], len(input_ids), cache.get_seq_length(), input_ids.device)
        self._any_length(*keys, *values, *([] if bias is None else [bias]), dim=1)
        logits = self._step(
            input_ids[:, 0],
            position_ids[:, :, 0],
            place,
            tuple(keys),
            tuple(values),
            bias,
            self.copies.weights,
            self.constants,
            self.size,
            self.copies.dtype,
        )
        return logits[:, None]

    def _any_length(self, *tensors: Tensor, dim: int = 0) -> None:
        """One compiled form for all lengths of an axis, instead of one for each."""
        if self.settings.compile:
            for tensor in tensors:
                torch._dynamo.maybe_mark_dynamic(tensor, dim)

    def prefill(self, embeds: Tensor, layout: TokenLayout, cache: DecodingCache, kept: Tensor | None) -> Tensor:
        """Embeddings (B, N, D) of a prompt or a part of it -> logits (B, N, V), of the tokens `kept` only if given."""
        weights, size = self.copies.weights, self.size
        rows, new, width = embeds.shape
        keys = int(cache.get_seq_length()) + new
        dtype = self.copies.dtype
        mask = render(layout, keys, "sdpa", dtype)
        blocks = [_biased(*block) for block in mask] if isinstance(mask, list) and dtype == torch.float32 else None
        cos_sin = formulas.tables(layout.position_ids.flatten(1), self.constants)
        x = embeds.to(dtype).reshape(-1, width)
        last = len(weights.layers) - 1
        for number, layer in enumerate(weights.layers):
            norm_qk = weights.norm_qk[number]
            if number == last and kept is not None:
                table = formulas.weighted_tables(cos_sin, norm_qk, self.constants.partner)
                key, value = formulas.keys_values(x, layer, table, self.constants, size)
                chosen = (torch.arange(rows, device=x.device)[:, None] * new + kept).flatten()
                x = x[chosen]
                table = table[0][chosen], table[1][chosen]
                query, _, _ = formulas.queries_keys_values(x, layer, table, self.constants, size)
                mask, blocks = render(layout.select(kept), keys, "sdpa", dtype), None
            else:
                self._any_length(x, *cos_sin)
                query, key, value = self._before(x, layer, cos_sin, norm_qk, self.constants, size)
            in_rows = (part.unflatten(0, (rows, -1)).transpose(1, 2) for part in (key, value))
            all_keys, all_values = cache.layers[number].update(*in_rows)
            query = query.unflatten(0, (rows, -1)).transpose(1, 2)
            assert not isinstance(mask, BlockMask)
            if blocks is not None:
                attended = formulas.attend_blocks(query, all_keys, all_values, blocks)
            else:
                attended, _ = sdpa_attention(_IN_EVAL, query, all_keys, all_values, mask, scaling=1.0)
            mixed = attended.flatten(2).flatten(0, 1)
            self._any_length(x, mixed)
            x = self._after(x, mixed, layer, self.constants)
        return formulas.logits_of(x, weights, self.constants).unflatten(0, (rows, -1))


def _biased(rows: slice, keys: slice, allowed: Tensor) -> formulas.BiasedBlock:
    return formulas.BiasedBlock(rows, keys, None if bool(allowed.all()) else additive_mask(allowed, torch.float32))


def hidden(attention_mask: Tensor | None, room: int, rows: int, length: int, device: torch.device) -> Tensor | None:
    """(B, room) of 0 and minus infinity at padding and behind `length`, or None where nothing is hidden."""
    if attention_mask is not None and device.type == "cpu" and bool(attention_mask.all()):
        attention_mask = None
    if attention_mask is None and room == length:
        return None
    bias = torch.zeros((rows, room), device=device)
    bias[:, length:] = float("-inf")
    if attention_mask is not None:
        bias[:, : length - 1].masked_fill_(attention_mask[:, :-1] == 0, float("-inf"))
    return bias


_decoders: weakref.WeakKeyDictionary[nn.Module, Decoder | None] = weakref.WeakKeyDictionary()


def prepare_for_decoding(
    model: NeoForConditionalGeneration, compile: bool = False, dtype: torch.dtype | None = None
) -> Decoder:
    """Make `model.generate()` use rearranged copies of the weights from now on.

    Args:
        model: any NEO model whose modules are its own (no adapters, no quantised layers, no hooks).
        compile: compile the computation of a token; worth it for long or many answers.
        dtype: compute answers in this type while the model stays in its own.

    Returns:
        The decoder; there is nothing that must be done with it.

    Raises:
        ConfigError: the model is not one that can be served, with the reason.
        BackendError: compilation was asked for and there is no C++ compiler.
    """
    reason = why_plain(model)
    if reason:
        raise ConfigError("this model cannot be prepared for decoding", got=reason, fix="use generate() as it is")
    if compile and model.device.type == "cpu" and not _has_compiler():
        raise BackendError(
            "compiling for a CPU needs a C++ compiler", got="none was found", fix="install g++, or pass compile=False"
        )
    decoder = Decoder(model, DecodingSettings(compile, dtype))
    _decoders[model] = decoder
    return decoder


def use_plain_decoding(model: NeoForConditionalGeneration) -> None:
    """Free the copies and let `model.generate()` compute with the modules themselves."""
    _decoders[model] = None


def decoder_for(model: NeoForConditionalGeneration, rows: int = 1) -> Decoder | None:
    """The decoder that serves `rows` answers now, with current weights; None where the plain path must be taken."""
    if torch.is_grad_enabled() or why_plain(model):
        return None
    if model in _decoders:
        decoder = _decoders[model]
        if decoder is not None:
            decoder.follow(model, rows)
        return decoder
    if model.device.type != "cpu" or copied_bytes(model) > AUTOMATIC_BYTES:
        return None
    decoder = _decoders[model] = Decoder(model, DecodingSettings(), rows)
    return decoder


def fast_logits(
    model: NeoForConditionalGeneration,
    cache: DecodingCache,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    pixel_values: Tensor | None,
    image_grid_thw: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    kept: Tensor | None,
) -> Tensor | None:
    """The logits that `forward` is asked for, of the tokens `kept` only if given; None where the plain path must do it.

    The arguments are those of `forward`.
    """
    decoder = cache.decoder
    if decoder is None or _decoders.get(model) is not decoder or not decoder.copies.is_marked_current():
        return None
    if torch.is_grad_enabled() or torch.is_autocast_enabled(model.device.type) or torch.compiler.is_compiling():
        return None
    past = int(cache.get_seq_length())
    one_token = (
        past > 0 and input_ids is not None and input_ids.shape[1] == 1 and inputs_embeds is None and kept is None
    )
    if one_token and pixel_values is None and position_ids is not None and position_ids.ndim == 3:
        assert input_ids is not None
        if attention_mask is None or attention_mask.shape == (len(input_ids), past + 1):
            return decoder.step(input_ids, position_ids, attention_mask, cache)
    embeds = model.model._embed(input_ids, inputs_embeds, pixel_values, image_grid_thw)
    layout, _ = model.model._layout(
        embeds, input_ids, attention_mask, image_grid_thw, position_ids, cache, sample_ids=None, branch_ids=None
    )
    return decoder.prefill(embeds, layout, cache, kept)


def copied_bytes(model: NeoForConditionalGeneration) -> int:
    """How much memory the copies take: the blocks and the head."""
    parts = [*model.model.language_model.layers.parameters(), model.lm_head.weight]
    return sum(part.numel() * part.element_size() for part in parts)


def why_plain(model: NeoForConditionalGeneration) -> str:
    """Why the model's own modules must compute; empty when a decoder may."""
    kernel = model.config.llm_config._attn_implementation or "eager"
    if kernel not in _KERNELS:
        return f"the attention kernel {kernel!r} is the user's own"
    if model.training and model.config.llm_config.attention_dropout:
        return "dropout is active"
    if torch.is_autocast_enabled(model.device.type):
        return "autocast is active"
    for name, module in model.named_modules():
        kind = type(module)
        if name and kind not in _TORCH_PARTS and not kind.__module__.startswith("pixelword.model."):
            return f"{name} is a {kind.__module__}.{kind.__name__}"
        if name and ("forward" in vars(module) or _foreign_hooks(module)):
            return f"{name} has a hook"
    places = {(parameter.device, parameter.dtype) for parameter in model.parameters()}
    if len(places) > 1 or any(parameter.is_inference() for parameter in model.parameters()):
        return "the weights lie on several devices, have several types, or were made in inference mode"
    return ""


def _foreign_hooks(module: nn.Module) -> bool:
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    # transformers leaves idle hooks behind once hidden states were asked for.
    return any(hook.__module__ != "transformers.utils.output_capturing" for hook in hooks)


def _has_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
