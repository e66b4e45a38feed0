"""Builds the model of an arm: surgery, a graft, or an encoder, always around the same language model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from pixelword.ablate.encoder import EncoderForConditionalGeneration, encoder_from_qwen3
from pixelword.ablate.exam import IMAGE_TOKENS
from pixelword.ablate.plan import SIZES, Arm, Budget
from pixelword.ablate.vocabulary import world_tokenizer
from pixelword.convert import extract_pre_buffer, graft_pre_buffer, neo_from_qwen3, token_settings
from pixelword.demo.vocabulary import PAD, TURN_END
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.model.processing import NeoProcessor


class Builder:
    """What all arms share, and how each is put together."""

    image_tokens = IMAGE_TOKENS

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.tokenizer: PreTrainedTokenizerBase = world_tokenizer()
        self.settings = token_settings(self.tokenizer)
        self.processor = NeoProcessor.from_config(neo_tiny(**self.settings), self.tokenizer)

    def language_model(self, seed: int) -> Qwen3ForCausalLM:
        """A Qwen3 of the sizes of the plan with random weights."""
        text, sizes = neo_tiny().llm_config, dict[str, Any](SIZES)
        config = Qwen3Config(
            **sizes,
            vocab_size=-(-len(self.tokenizer) // 64) * 64,
            rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
            max_position_embeddings=text.max_position_embeddings,
            tie_word_embeddings=False,
            eos_token_id=self.tokenizer.vocab[TURN_END],
            pad_token_id=self.tokenizer.vocab[PAD],
            bos_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config._attn_implementation = "sdpa"
            return Qwen3ForCausalLM(config)

    def model(
        self, arm: Arm, llm: Qwen3ForCausalLM, seed: int, source: Path | None, folder: Path
    ) -> NeoForConditionalGeneration:
        """The untrained model of an arm.

        Args:
            llm: the language model behind what sees; copied.
            seed: of everything random.
            source: a trained model to take the pre-Buffer or the encoder from.
            folder: of the run, for the extracted pre-Buffer.
        """
        vision = neo_tiny().vision_config
        keys = ("patch_size", "hidden_size", "min_pixels", "max_pixels")
        pixels = {key: getattr(vision, key) for key in keys}
        settings = {"rope_theta_hw": neo_tiny().llm_config.rope_theta_hw, **self.settings, **arm.config}
        if arm.role == "encoder":
            model = encoder_from_qwen3(llm, seed=seed, vision=pixels, **settings)
            if source is not None:
                take_encoder(source, model)
        elif source is not None:
            model = graft_pre_buffer(extracted(source, folder), llm, **self.settings)
        else:
            model = neo_from_qwen3(llm, pre_buffer_layers=arm.depth, vision=pixels, seed=seed, **settings)
        # Compiled, the plain formula is a third faster to train than the fused kernel at these widths.
        model.set_attn_implementation("eager")
        return model


def extracted(source: Path, folder: Path) -> Path:
    """The pre-Buffer of a trained model, as a folder inside that of the run."""
    target = folder / "pre-buffer"
    shutil.rmtree(target, ignore_errors=True)
    return extract_pre_buffer(source, target)


def take_encoder(source: Path, model: EncoderForConditionalGeneration) -> None:
    """Copy a trained encoder; the projector, which belongs to the language model behind it, stays random."""
    trained = EncoderForConditionalGeneration.from_pretrained(source).model.vision_model.state_dict()
    own = model.model.vision_model.state_dict()
    kept = {name: tensor for name, tensor in own.items() if name.startswith("projector.")}
    model.model.vision_model.load_state_dict(trained | kept)
