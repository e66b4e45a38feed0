"""What all of NEO's model classes share: names, initialisation, and loading that tolerates nothing silently."""

from __future__ import annotations

from torch import nn
from transformers.modeling_utils import PreTrainedModel

from pixelword.model.checkpoint import StrictCheckpoint
from pixelword.model.configuration import NeoConfig
from pixelword.model.layers import NeoAttention, NeoDecoderLayer, NeoRMSNorm
from pixelword.model.rope import NeoRotaryEmbedding, pair_table


class NeoPreTrainedModel(StrictCheckpoint, PreTrainedModel):
    """What both classes share: initialisation, attention names, and loading that tolerates nothing silently."""

    config: NeoConfig
    config_class = NeoConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _no_split_modules = ["NeoDecoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": NeoDecoderLayer, "attentions": NeoAttention}  # noqa: RUF012

    def set_attn_implementation(
        self, attn_implementation: str | dict[str, str], allow_all_kernels: bool = False
    ) -> None:
        """Choose an attention kernel by its name in the registry, for the model and both of its sub-configurations."""
        if isinstance(attn_implementation, dict):
            super().set_attn_implementation(attn_implementation, allow_all_kernels)
            return
        name = self._check_and_adjust_attn_implementation(attn_implementation, allow_all_kernels=allow_all_kernels)
        self.config._attn_implementation = name

    def _init_weights(self, module: nn.Module) -> None:
        """N(0, initializer_range) for linear and word embedding, ones for norms, PyTorch's own for the convolutions.

        Source: what the released training code arrives at (its scaled variant is overwritten before use).
        """
        std = self.config.llm_config.initializer_range
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.Conv2d):
            module.reset_parameters()
        elif isinstance(module, NeoRMSNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, NeoRotaryEmbedding):
            axis, frequency = pair_table(self.config.llm_config)
            module.axis.copy_(axis)
            module.frequency.copy_(frequency)
