"""The native model as ordinary transformers classes.

Legend: B rows · N new tokens · K keys · D width · V vocabulary.

`NeoModel` is the backbone: pixels and words in, final hidden states out. `NeoForConditionalGeneration` adds the word
head; a second head would read the same final hidden states. There is no module boundary between pre-Buffer and LLM:
the backbone is one list of layers (NEO, section 3.1).

Source: NEO; the released inference code for what its weights compute. Where we differ: positions are passed, never
kept on the module, and rows of a batch may have different images or none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from pixelword.errors import ShapeError
from pixelword.model.attention import flex_kernel, render
from pixelword.model.configuration import NeoConfig, NeoTextConfig
from pixelword.model.decoding import fast_logits
from pixelword.model.decoding_cache import DecodingCache
from pixelword.model.generation import NeoGeneration
from pixelword.model.layers import NeoDecoderLayer, NeoRMSNorm
from pixelword.model.layout import (
    TokenLayout,
    continuation_layout,
    hides_nothing,
    require_no_placeholders,
    three_indices,
    token_layout,
)
from pixelword.model.loss import next_token_losses, rows_of_loss
from pixelword.model.patches import NeoVisionModel
from pixelword.model.pretrained import NeoPreTrainedModel
from pixelword.model.rope import NeoRotaryEmbedding


class NeoTextModel(nn.Module):
    """Word embedding, the list of blocks, final norm; `layers[:extra_num_layers]` is the pre-Buffer."""

    def __init__(self, config: NeoTextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(NeoDecoderLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = NeoRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = NeoRotaryEmbedding(config)


class NeoModel(NeoPreTrainedModel):
    """The backbone: pixels and words in, final hidden states out. It is read from a whole folder, without the head."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]  # noqa: RUF012

    def __init__(self, config: NeoConfig) -> None:
        super().__init__(config)
        self.vision_model = NeoVisionModel(config.vision_config)
        self.language_model = NeoTextModel(config.llm_config)
        self.gradient_checkpointing = False
        self.every_batch_looks = False  # batches without pictures give the patch embedding zero gradients, not none
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:  # type: ignore[override]
        self.language_model.embed_tokens = value

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        """(merged tokens of all images, D): what stands in the place of the image placeholders."""
        return self.vision_model(pixel_values, image_grid_thw)

    def get_rope_index(
        self,
        input_ids: Tensor,
        image_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """(3, B, N): the indices T, H, W of whole sequences, images and all."""
        return token_layout(self.config, input_ids, image_grid_thw, attention_mask).position_ids

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        sample_ids: Tensor | None = None,
        branch_ids: Tensor | None = None,
        rows: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPast:
        """Run the backbone.

        Args:
            input_ids: (B, N) int64. With a cache, the new tokens only.
            attention_mask: (B, K), 0 at padding; K counts cached tokens too.
            pixel_values: (patches, channels * patch²) of the images whose placeholders are in `input_ids`.
            image_grid_thw: (images, 3), (1, rows, columns) of patches.
            position_ids: (3, B, N); derived when nothing is cached. With a cache they must be given (`get_rope_index`
                of the whole sequence), since they depend on images that are no longer in sight.
            past_key_values: cache of any transformers kind.
            inputs_embeds: (B, N, D) instead of word embeddings; `input_ids` is then only needed to place images.
            sample_ids: (B, N), packed sample of each token, -1 for padding; samples never meet.
            branch_ids: (B, N), 0 trunk, k > 0 parallel continuations that see the trunk and themselves.
            rows: (R,) int64; the last layer computes these tokens only, and the output holds only them.

        Returns:
            `last_hidden_state` (B, N or R, D) after the final norm, and the cache.

        Raises:
            ShapeError, PromptError: inputs that cannot meet; each says which.
        """
        embeds = self._embed(input_ids, inputs_embeds, pixel_values, image_grid_thw)
        if use_cache is None:
            use_cache = self.config.llm_config.use_cache and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        layout, keys = self._layout(
            embeds, input_ids, attention_mask, image_grid_thw, position_ids, past_key_values, sample_ids, branch_ids
        )
        implementation = self._usable_implementation(embeds)
        text = self.config.llm_config
        keeps = torch.is_grad_enabled() and not (self.training and text.attention_dropout)
        mask = render(layout, keys, implementation, embeds.dtype, training=keeps)
        cos_sin = self.language_model.rotary_emb(layout.position_ids, embeds.dtype)
        shared = {"cos_sin": cos_sin, "past_key_values": past_key_values}
        hidden_states, last = embeds, len(self.language_model.layers) - 1
        for number, layer in enumerate(self.language_model.layers):
            kept = rows if number == last else None
            if kept is not None:
                layout = layout.select(kept)
                mask = render(layout, keys, implementation, embeds.dtype, training=keeps)
            hidden_states = layer(hidden_states, kept, attention_mask=mask, layout=layout, **shared)
        return BaseModelOutputWithPast(
            last_hidden_state=self.language_model.norm(hidden_states),
            past_key_values=past_key_values if use_cache else None,
        )

    def _embed(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        pixel_values: Tensor | None,
        image_grid_thw: Tensor | None,
    ) -> Tensor:
        if inputs_embeds is None:
            if input_ids is None:
                raise ShapeError("the model needs input_ids or inputs_embeds", got="neither", fix="pass one of them")
            inputs_embeds = self.language_model.embed_tokens(input_ids)
            if pixel_values is None and input_ids.shape[1] > 1:  # one token: a step of decoding, worth no look
                require_no_placeholders(self.config, input_ids)
        if pixel_values is None:
            return inputs_embeds + self._nothing_seen(inputs_embeds) if self.every_batch_looks else inputs_embeds
        if input_ids is None or image_grid_thw is None:
            raise ShapeError(
                "pixel_values need input_ids (to find the placeholders) and image_grid_thw",
                got=f"input_ids given: {input_ids is not None}, image_grid_thw given: {image_grid_thw is not None}",
                fix="pass everything that the processor returned",
            )
        features = self.get_image_features(pixel_values, image_grid_thw).to(inputs_embeds)
        is_image = (input_ids == self.config.image_token_id).unsqueeze(-1)
        places = int(is_image.sum())
        if places != len(features):
            raise ShapeError(
                "placeholders and patches differ",
                got=f"{places} image placeholders in input_ids, {len(features)} merged tokens in pixel_values",
                fix="use the input_ids and pixel_values of one processor call",
            )
        return inputs_embeds.masked_scatter(is_image.expand_as(inputs_embeds), features)

    def _nothing_seen(self, like: Tensor) -> Tensor:
        """Zero, by way of pictures of no patches: processes that train one model meet at every module."""
        vision = self.config.vision_config
        pixels = like.new_zeros(0, vision.num_channels * vision.patch_size**2)
        nothing = self.get_image_features(pixels, torch.zeros(0, 3, dtype=torch.long, device=like.device))
        return nothing.sum().to(like.dtype)

    def _layout(
        self,
        embeds: Tensor,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        image_grid_thw: Tensor | None,
        position_ids: Tensor | None,
        past_key_values: Cache | None,
        sample_ids: Tensor | None,
        branch_ids: Tensor | None,
    ) -> tuple[TokenLayout, int]:
        """Where the tokens stand, and how many keys there will be."""
        new = embeds.shape[1]
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        keys = new if past_key_values is None else past_key_values.get_mask_sizes(new, 0)[0]
        if input_ids is None:
            input_ids = torch.full(embeds.shape[:2], -1, dtype=torch.long, device=embeds.device)
        if attention_mask is not None and attention_mask.ndim != 2:
            raise ShapeError(
                "attention_mask must be (rows, tokens)",
                got=tuple(attention_mask.shape),
                fix="the model makes 4-D masks itself; pass 0 at padding and 1 elsewhere",
            )
        if hides_nothing(attention_mask, (embeds.shape[0], past + new)):
            attention_mask = None
        if past:
            if position_ids is None:
                raise ShapeError(
                    "with a filled cache the model needs position_ids",
                    got=f"{past} cached tokens, no position_ids",
                    fix="pass get_rope_index(whole input_ids, all image_grid_thw)[..., cached:], or use generate()",
                )
            if sample_ids is not None or branch_ids is not None:
                raise ShapeError(
                    "packed samples and branches cannot continue a cache",
                    got=f"{past} cached tokens",
                    fix="pass past_key_values=None, or continue one sample per row",
                )
            layout = continuation_layout(self.config, input_ids, three_indices(position_ids), past, attention_mask)
        else:
            layout = token_layout(self.config, input_ids, image_grid_thw, attention_mask, sample_ids, branch_ids)
            if position_ids is not None:
                layout = layout.at(three_indices(position_ids))
        if keys != past + new:  # the empty places of a static cache must be masked
            layout = replace(layout, plain=False)
        return layout, keys

    def _usable_implementation(self, embeds: Tensor) -> str:
        wanted = self.config.llm_config._attn_implementation or "eager"
        needs_gradient = torch.is_grad_enabled() and any(weight.requires_grad for weight in self.parameters())
        if wanted == "flex_attention" and not flex_kernel.usable(embeds.device, needs_gradient):
            return "sdpa"
        return wanted


@dataclass
class NeoOutput(CausalLMOutputWithPast):
    """What the model gives back; `token_losses` (B, N) is the cross-entropy of every label, where it was asked for."""

    token_losses: Tensor | None = None


class NeoForConditionalGeneration(NeoGeneration, NeoPreTrainedModel, GenerationMixin):  # type: ignore[misc]  # ditto
    """The backbone and its word head: `AutoModelForImageTextToText` for `model_type: neo_chat`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012
    accepts_loss_kwargs = True

    def __init__(self, config: NeoConfig) -> None:
        super().__init__(config)
        self.model = NeoModel(config)
        self.lm_head = nn.Linear(config.llm_config.hidden_size, config.llm_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:  # type: ignore[override]
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        """(merged tokens of all images, D): what stands in the place of the image placeholders."""
        return self.model.get_image_features(pixel_values, image_grid_thw)

    def get_rope_index(
        self, input_ids: Tensor, image_grid_thw: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """(3, B, N): the indices T, H, W of whole sequences, images and all."""
        return self.model.get_rope_index(input_ids, image_grid_thw, attention_mask)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        loss_weights: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        sample_ids: Tensor | None = None,
        branch_ids: Tensor | None = None,
        num_items_in_batch: Tensor | float | None = None,
        token_losses: bool = False,
        **kwargs: Any,
    ) -> NeoOutput:
        """Run the model; see `NeoModel.forward` for the inputs that are not listed here.

        Args:
            labels: (B, N) int64, unshifted, -100 where a token is not supervised. The loss shifts them, once.
            loss_weights: (B, N) float, unshifted weight of each label.
            logits_to_keep: keep the last so many positions, or these positions; 0 keeps all.
            num_items_in_batch: what the sum of weighted losses is divided by instead of this batch's sum of weights
                (the Trainer passes the count of labels over all accumulation steps).
            token_losses: also return the loss of every label, without weights and gradient, for logs.

        Returns:
            `loss` where labels were given; `logits` (B, N or kept, V), None in training with labels, where the table
            would only cost memory; the cache.
        """
        tokens = input_ids if input_ids is not None else inputs_embeds
        rows = self._kept_rows(logits_to_keep, tokens, labels, branch_ids, kwargs)
        nothing_else = labels is None and sample_ids is None and branch_ids is None and use_cache is not False
        if isinstance(past_key_values, DecodingCache) and nothing_else and not _asks(kwargs):
            seen = (input_ids, attention_mask, pixel_values, image_grid_thw, position_ids, inputs_embeds)
            fast = fast_logits(self, past_key_values, *seen, rows)
            if fast is not None:
                fast = fast if rows is not None else _kept(fast, logits_to_keep)
                return NeoOutput(logits=fast, past_key_values=past_key_values)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            sample_ids=sample_ids,
            branch_ids=branch_ids,
            rows=rows,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state
        loss = losses = None
        if labels is not None:
            normalizer = num_items_in_batch if loss_weights is None else None
            loss, losses = next_token_losses(hidden_states, self.lm_head, labels, loss_weights, normalizer, rows)
        logits = None
        if labels is None or not self.training:
            logits = self.lm_head(hidden_states if rows is not None else _kept(hidden_states, logits_to_keep))
        return NeoOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            token_losses=losses if token_losses else None,
        )

    def _kept_rows(
        self,
        logits_to_keep: int | Tensor,
        tokens: Tensor | None,
        labels: Tensor | None,
        branch_ids: Tensor | None,
        kwargs: dict[str, Any],
    ) -> Tensor | None:
        """The tokens whose last layer must be computed; None for all."""
        wanted = ("output_hidden_states", "output_attentions")
        recorded = any(kwargs.get(name, getattr(self.config, name, False)) for name in wanted)
        if tokens is None or recorded:
            return None
        if labels is not None:
            only_loss = self.training and branch_ids is None and labels.shape == tokens.shape[:2]
            return rows_of_loss(labels) if only_loss else None
        new = tokens.shape[1]
        if isinstance(logits_to_keep, Tensor):
            return logits_to_keep if logits_to_keep.ndim == 1 else None
        if not 0 < logits_to_keep < new:
            return None
        return torch.arange(new - logits_to_keep, new, device=tokens.device)


def _asks(kwargs: dict[str, Any]) -> bool:
    return any(value is not None and value is not False for value in kwargs.values())


def _kept(hidden_states: Tensor, logits_to_keep: int | Tensor) -> Tensor:
    if isinstance(logits_to_keep, Tensor):
        return hidden_states[:, logits_to_keep]
    return hidden_states[:, -logits_to_keep:] if logits_to_keep else hidden_states
