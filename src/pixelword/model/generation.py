"""What transformers' `generate()` needs to know about a model whose positions depend on its images.

Legend: B rows · N tokens · P patches.

`generate()` keeps the loop, sampling, beams and stopping. Here are only the four places where NEO is not a text model:
positions of the next token, which pixels belong to which tokens, prompts prefilled in chunks that never cut an image,
and image placeholders that must never be sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

from pixelword.errors import BackendError, InputError, PromptError, ShapeError, is_out_of_memory
from pixelword.model.configuration import NeoConfig
from pixelword.model.decoding import decoder_for
from pixelword.model.decoding_cache import DecodingCache
from pixelword.model.layout import next_position, token_layout

if TYPE_CHECKING:
    from transformers.generation.configuration_utils import GenerationConfig

    GenerationMixin = Any
else:
    GenerationMixin = object  # transformers wants the model class itself to inherit from GenerationMixin, directly


@contextmanager
def out_of_memory_explained(what: str, fix: str) -> Iterator[None]:
    """Turn the out-of-memory errors of all devices into one BackendError; every other error passes.

    Args:
        what: was too large, in few words.
        fix: what to do about it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendError("the device is out of memory", got=f"{what}; {said}", fix=fix) from error


class NeverSampled(LogitsProcessor):
    """Sets some tokens to minus infinity; transformers' own processor looks at the whole vocabulary for every token.

    Args:
        ids: the tokens.
        device: of the scores.
    """

    def __init__(self, ids: list[int], device: torch.device) -> None:
        self.ids = torch.tensor(ids, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.index_fill(-1, self.ids, float("-inf"))


class NeoGeneration(GenerationMixin):  # type: ignore[misc]  # its signatures do not fit mixins
    """The hooks of `generate()`; a mixin that comes before `GenerationMixin` in `NeoForConditionalGeneration`."""

    config: NeoConfig

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; what it would answer wrongly or fail at obscurely is refused in words.

        Raises:
            PromptError: a prompt is empty, longer than the context, or padded on the right.
            InputError: a way to generate that knows nothing of images.
            BackendError: the device is out of memory.
        """
        ids = next(
            (given for given in (inputs, kwargs.get("input_ids"), kwargs.get("inputs_embeds")) if given is not None),
            None,
        )
        if ids is not None and ids.ndim > 1:
            self._check_prompts(ids.shape[1], kwargs.get("attention_mask"))
        if kwargs.get("guidance_scale") not in (None, 1, 1.0):
            raise InputError("guidance_scale is not offered: its second pass has no images", fix="leave it out")
        if kwargs.get("assistant_model") is not None and kwargs.get("image_grid_thw") is not None:
            raise InputError(
                "an assistant_model is offered for text only: it is not given the images",
                fix="use prompt_lookup_num_tokens, or leave it out",
            )
        fix = "lower the processor's max_pixels, the batch or max_new_tokens, or set prefill_chunk_size"
        with out_of_memory_explained(f"{0 if ids is None else ids.numel()} prompt tokens", fix):
            return super().generate(inputs, *args, **kwargs)

    def _check_prompts(self, tokens: int, attention_mask: Tensor | None) -> None:
        context = self.config.llm_config.max_position_embeddings
        if tokens == 0:
            raise PromptError("the prompt is empty", got="0 tokens", fix="pass at least one token")
        if tokens >= context:
            raise PromptError(
                "the prompt is longer than the context",
                got=f"{tokens} tokens, the context holds {context}",
                fix="lower the processor's max_pixels, send fewer images, or shorten the text",
            )
        if attention_mask is not None and attention_mask.ndim == 2 and not bool(attention_mask[:, -1].all()):
            row = int((attention_mask[:, -1] == 0).nonzero()[0])
            raise PromptError(
                f"row {row} of the prompts ends with padding",
                got="attention_mask 0 at the last token",
                fix="pad on the left, as NeoProcessor does, so that answers follow their prompts",
            )

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """A cache with room, and a decoder that fills it, where `decoding` can serve the model; else the usual one."""
        mine = model_kwargs.get("past_key_values")
        wanted = generation_config.use_cache and generation_config.cache_implementation in (None, "dynamic")
        if wanted and (mine is None or isinstance(mine, DecodingCache)) and generation_config.num_beams == 1:
            decoder = decoder_for(self, batch_size * (generation_config.num_return_sequences or 1))
            if isinstance(mine, DecodingCache):
                mine.decoder = decoder
            elif decoder is not None:
                layers = self.config.llm_config.num_hidden_layers
                model_kwargs["past_key_values"] = DecodingCache(decoder, layers)
                return
        super()._prepare_cache_for_generation(
            generation_config, model_kwargs, generation_mode, batch_size, max_cache_length
        )

    def _prepare_position_ids_for_generation(self, inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> Tensor:
        """(3, B, N) for the whole prompt, cached part included."""
        ids = model_kwargs.get("input_ids")
        if ids is None or ids.shape[1] == 0:
            ids = inputs_tensor
        if ids.is_floating_point():  # embeddings only: nothing says where an image would be
            ids = torch.full(ids.shape[:2], -1, dtype=torch.long, device=ids.device)
        mask = model_kwargs.get("attention_mask")
        cache = model_kwargs.get("past_key_values")
        past = 0 if cache is None else int(cache.get_seq_length())
        if (mask is not None and mask.shape[1] != ids.shape[1]) or past >= ids.shape[1]:
            raise PromptError(
                "continuing a cache needs the input_ids of the whole conversation",
                got=f"{ids.shape[1]} tokens for {past} cached ones",
                fix="pass all input_ids and all image_grid_thw so far; what is cached is not computed again",
            )
        return token_layout(self.config, ids, model_kwargs.get("image_grid_thw"), mask).position_ids

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], is_encoder_decoder: bool = False, num_new_tokens: int = 1
    ) -> dict[str, Any]:
        position_ids = model_kwargs.pop("position_ids", None)
        model_kwargs = super()._update_model_kwargs_for_generation(
            outputs, model_kwargs, is_encoder_decoder, num_new_tokens
        )
        if position_ids is not None:
            ahead = next_position(self.config, position_ids[..., -1:], num_new_tokens)
            if isinstance(model_kwargs.get("past_key_values"), DecodingCache) and num_new_tokens == 1:
                model_kwargs["position_ids"] = ahead  # nobody asks for cached tokens again
            else:
                model_kwargs["position_ids"] = torch.cat((position_ids, ahead), dim=-1)
        return model_kwargs

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        inputs_embeds: Tensor | None = None,  # named, because transformers looks for the name
        **kwargs: Any,
    ) -> dict[str, Any]:
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, next_sequence_length, inputs_embeds=inputs_embeds, **kwargs
        )
        if not kwargs.get("is_first_iteration") and kwargs.get("past_key_values") is not None:
            inputs.pop("image_grid_thw", None)
            return inputs
        new_ids = inputs.get("input_ids")
        if new_ids is None and kwargs.get("pixel_values") is not None:
            inputs["input_ids"] = input_ids
        elif new_ids is not None and new_ids.shape[1] < input_ids.shape[1]:
            self._keep_new_images(inputs, input_ids)
        return inputs

    def _keep_new_images(self, inputs: dict[str, Any], whole_ids: Tensor) -> None:
        """Drop the pixels of images that are in the cache already; the pixels of the others stay in their order."""
        grids, pixels = inputs.get("image_grid_thw"), inputs.get("pixel_values")
        if grids is None:
            return
        layout = token_layout(self.config, whole_ids, grids)
        new = inputs["input_ids"].shape[1]
        kept = layout.image_ids[:, -new:]
        kept = kept[kept >= 0].unique()
        if len(kept) == 0:
            inputs.pop("pixel_values", None)
            inputs.pop("image_grid_thw", None)
            return
        inputs["image_grid_thw"] = grids[kept]
        if pixels is None:
            raise PromptError(
                "an image that is not cached yet has no pixels",
                got=f"{len(kept)} new images, pixel_values None",
                fix="pass the pixel_values of all images, or of the new ones",
            )
        patches = grids.prod(-1)
        if len(pixels) == int(patches.sum()):
            parts = pixels.split(patches.tolist())
            inputs["pixel_values"] = torch.cat([parts[number] for number in kept.tolist()])
        elif len(pixels) != int(patches[kept].sum()):
            raise ShapeError(
                "pixel_values must hold all images or exactly the new ones",
                got=f"{len(pixels)} patches; all images have {int(patches.sum())}, new ones {int(patches[kept].sum())}",
                fix="keep pixel_values in the order of image_grid_thw",
            )

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeat every row `expand_size` times (beams, several answers), its images with it."""
        grids, pixels = model_kwargs.pop("image_grid_thw", None), model_kwargs.pop("pixel_values", None)
        if expand_size > 1 and grids is not None and input_ids is not None:
            owner = self._images_per_row(input_ids)
            if pixels is not None:
                parts = pixels.split(grids.prod(-1).tolist())
                rows = torch.tensor(list(range(len(parts)))).split(owner)
                pixels = torch.cat([parts[n] for row in rows for _ in range(expand_size) for n in row.tolist()])
            grids = torch.cat([row for row in grids.split(owner) for _ in range(expand_size)])
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size, is_encoder_decoder, input_ids, **model_kwargs
        )
        if grids is not None:
            model_kwargs["image_grid_thw"] = grids
        if pixels is not None:
            model_kwargs["pixel_values"] = pixels
        return input_ids, model_kwargs

    def _images_per_row(self, input_ids: Tensor) -> list[int]:
        is_image = input_ids == self.config.image_token_id
        before = torch.nn.functional.pad(is_image[:, :-1], (1, 0))
        counts: list[int] = (is_image & ~before).sum(1).tolist()
        return counts

    @staticmethod
    def create_masks_for_generate(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
        """Masks are made in the model from the layout; a static cache must not make `generate()` build its own."""
        return attention_mask

    def _get_static_cache_init_shape(self) -> None:
        """No shape: keys are wider than values here, so a static cache takes both from the first tokens it sees."""
        return

    def _get_logits_processor(
        self, generation_config: GenerationConfig, *args: Any, **kwargs: Any
    ) -> LogitsProcessorList:
        processors: LogitsProcessorList = super()._get_logits_processor(generation_config, *args, **kwargs)
        never = [self.config.image_token_id, self.config.image_start_token_id, self.config.image_end_token_id]
        vocabulary = self.config.llm_config.vocab_size
        processors.insert(0, NeverSampled([id for id in never if id < vocabulary], self.device))
        return processors

    def _prefill(
        self,
        input_ids: Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        """Prefill in one go, or in chunks of about `prefill_chunk_size` tokens that never cut an image."""
        size = generation_config.prefill_chunk_size
        if size is None:
            return super()._prefill(input_ids, generation_config, model_kwargs, is_first_iteration)
        cache = model_kwargs.get("past_key_values")
        if cache is None:
            raise PromptError("chunked prefill needs a cache", got="use_cache=False", fix="set use_cache=True")
        mask, position_ids = model_kwargs.get("attention_mask"), model_kwargs.get("position_ids")
        start, outputs = int(cache.get_seq_length()), None
        for end in self._chunk_ends(input_ids, start, size):
            chunk = dict(model_kwargs)
            chunk["attention_mask"] = None if mask is None else mask[:, :end]
            chunk["position_ids"] = None if position_ids is None else position_ids[..., :end]
            inputs = self._chunk_inputs(input_ids, start, end, chunk)
            outputs = self(**inputs, return_dict=True)
            start = end
        return outputs

    def _chunk_inputs(self, input_ids: Tensor, start: int, end: int, chunk: dict[str, Any]) -> dict[str, Any]:
        grids, pixels = chunk.pop("image_grid_thw", None), chunk.pop("pixel_values", None)
        inputs = self.prepare_inputs_for_generation(input_ids[:, :end], end - start, is_first_iteration=True, **chunk)
        if grids is not None:
            image_ids = token_layout(self.config, input_ids, grids).image_ids[:, start:end]
            kept = image_ids[image_ids >= 0].unique()
            if len(kept):
                inputs["image_grid_thw"] = grids[kept]
                parts = pixels.split(grids.prod(-1).tolist())
                inputs["pixel_values"] = torch.cat([parts[number] for number in kept.tolist()])
        return inputs

    def _chunk_ends(self, input_ids: Tensor, start: int, size: int) -> list[int]:
        """Where chunks end: every `size` tokens, moved on to where no row is inside an image."""
        is_image = input_ids == self.config.image_token_id
        inside = (is_image[:, :-1] & is_image[:, 1:]).any(0)  # (N - 1,): a border after token n would cut an image
        ends, length = [], input_ids.shape[1]
        while start < length:
            end = min(start + size, length)
            while end < length and bool(inside[end - 1]):
                end += 1
            ends.append(end)
            start = end
        return ends
