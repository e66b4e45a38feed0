"""The modular design beside the native one: a vision encoder of transformers, a projector, and a language model.

    pixels -> tiles -> CLIP, SigLIP or InternViT -> merge x merge features side by side -> LayerNorm, MLP -> words

Everything around it is NEO's: prompts, image grids, packed rows, losses. So the same data, stages and numbers of image
tokens train both, and what differs is where vision is learnt. The language model is plain (Qwen3 itself: causal, 1-D
positions, no height and width weights: the talk's "encoder-based" rows) or native (Qwen3 with NEO's height and width
weights and mask: the encoders of NEO, figure 6).

Legend: I images · P patches of all images · M merged tokens (P / merge²) · C encoder width · D decoder width.

Source: NEO, sections 4.2 and 4.4; the projector is InternVL's (arXiv 2404.16821). A picture larger than the encoder was
made for is cut into tiles, as InternVL does; here tiles follow the picture's own grid and there is no thumbnail.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoModelForImageTextToText
from transformers.configuration_utils import PreTrainedConfig

from pixelword.errors import CheckpointError, ConfigError, ShapeError
from pixelword.model.checkpoint import StrictCheckpoint, compare, stored_shapes
from pixelword.model.configuration import NeoConfig, NeoTextConfig
from pixelword.model.layers import NeoAttention
from pixelword.model.modeling import NeoForConditionalGeneration
from pixelword.model.patches import merged_order
from pixelword.model.processing import register_processors
from pixelword.model.rope import rotate

MODEL_TYPE = "pixelword_modular"
CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0, "internvl_vision": 1}
"""Kinds of encoders, and how many tokens that are no patch they put first."""
SPATIAL_NORMS = ("q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w")


class ModularConfig(NeoConfig):
    """What decides a modular model; `vision_config` says how pictures are cut, `llm_config` what the decoder is.

    Attributes:
        encoder_config: configuration of the encoder as transformers writes it, with its `model_type`.
        language: "plain" (Qwen3's own attention) or "native" (with NEO's height and width weights).
    """

    model_type = MODEL_TYPE

    encoder_config: Any = None
    language: str = "plain"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.language not in ("plain", "native"):
            raise ConfigError("a modular language model is plain or native", got=self.language, fix='use "plain"')
        text = self.llm_config
        if self.language == "plain" and (text.rope_scheme, text.attention_pattern) != ("1d", "causal"):
            raise ConfigError(
                "a plain language model is causal and has 1-D positions",
                got=f"rope_scheme {text.rope_scheme}, attention_pattern {text.attention_pattern}",
                fix='leave both out, or set language to "native"',
            )
        encoder, pixels = self.encoder(), self.vision_config
        if side_of(encoder.patch_size) != pixels.patch_size or pixels.num_channels != encoder.num_channels:
            raise ConfigError(
                "vision_config must cut pictures as the encoder reads them",
                got=f"patches of {pixels.patch_size}, the encoder's have {side_of(encoder.patch_size)} pixels a side",
                fix="set vision_config.patch_size to the encoder's",
            )

    def encoder(self) -> PreTrainedConfig:
        """The encoder's configuration.

        Raises:
            CheckpointError: no kind of encoder that is known here, or values that are none of its.
        """
        content = self.encoder_config if isinstance(self.encoder_config, dict) else {}
        kind = content.get("model_type")
        if kind not in CLASS_TOKENS:
            raise CheckpointError(
                "the encoder must be a CLIP, a SigLIP or an InternViT of transformers",
                got=f"model_type {kind!r}",
                fix=f"use one of {', '.join(CLASS_TOKENS)}",
            )
        try:
            return CONFIG_MAPPING[kind](**{key: value for key, value in content.items() if key != "model_type"})
        except (StrictDataclassError, TypeError, ValueError) as error:
            raise CheckpointError(
                "the encoder's configuration is broken", got=error, fix="download it again"
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The dictionary of `config.json`. No reader but ours knows it."""
        return super().to_dict() | {"architectures": ["ModularForConditionalGeneration"]}


class PlainAttention(NeoAttention):
    """Qwen3's own attention: time channels alone, d wide. What NEO adds is not there."""

    def __init__(self, config: NeoTextConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.q_proj_hw = self.k_proj_hw = nn.Identity()  # type: ignore[assignment]
        for name in SPATIAL_NORMS:
            delattr(self, name)

    def _queries(self, x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        """(B, N, D) -> (B, h, N, d)."""
        return self._turned(self.q_proj(x), self.q_norm, cos_sin)

    def _keys(self, x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        """(B, N, D) -> (B, g, N, d)."""
        return self._turned(self.k_proj(x), self.k_norm, cos_sin)

    def _turned(self, time: Tensor, norm: nn.Module, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        cos, sin = (table[..., : self.head_dim // 2] for table in cos_sin)
        return rotate(norm(time.unflatten(-1, (-1, self.head_dim))).transpose(1, 2), cos, sin)


class EncoderAndProjector(nn.Module):
    """Takes the place of the patch embedding: the same patches in, as many vectors of the decoder's width out.

    Shapes:
        pixel_values (P, channels * patch²), image_grid_thw (I, 3) of (1, rows, columns) -> (M, D).

    Raises:
        ShapeError: pixels and grids do not describe the same number of patches.
    """

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        encoder = config.encoder()
        self.patch, self.merge = config.vision_config.patch_size, config.vision_config.merge_size
        self.channels = config.vision_config.num_channels
        self.side = max(self.merge, side_of(encoder.image_size) // self.patch // self.merge * self.merge)
        self.class_tokens = CLASS_TOKENS[encoder.model_type]
        self.resizes = {} if encoder.model_type == "internvl_vision" else {"interpolate_pos_encoding": True}
        self.encoder = AutoModel.from_config(encoder, attn_implementation="sdpa")
        if encoder.model_type == "clip_vision_model":
            self.encoder.post_layernorm = nn.Identity()  # of the pooled output, which nobody reads
        wide, width = encoder.hidden_size * self.merge**2, config.llm_config.hidden_size
        self.projector = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, width), nn.GELU(), nn.Linear(width, width))

    @property
    def embeddings(self) -> Any:
        """The two parts under the names by which a patch embedding's operations are counted."""
        return nn.ModuleDict({"patch_embedding": self.encoder, "dense_embedding": self.projector})

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        patches, width = int(image_grid_thw.prod(-1).sum()), self.channels * self.patch**2
        if pixel_values.shape != (patches, width):
            raise ShapeError(
                f"pixel_values must be ({patches} patches, {width} values) for these grids",
                got=tuple(pixel_values.shape),
                fix="pass pixel_values and image_grid_thw as one call of the image processor returns them",
            )
        if patches == 0:  # processes that train one model must all pass through it
            blank = pixel_values.new_zeros(self.merge**2, width)
            return self(blank, image_grid_thw.new_tensor([[1, self.merge, self.merge]]))[:0]
        order, _, _ = merged_order(image_grid_thw, self.merge)
        features_PC = self.features(pixel_values, image_grid_thw)
        window_MK = features_PC[order.to(features_PC.device)].unflatten(0, (-1, self.merge**2)).flatten(1)
        projected: Tensor = self.projector(window_MK)
        return projected

    def features(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        """(P, C): what the encoder makes of every patch, in the order of the patches. Tiles of one size go together."""
        alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for tile in tiles(image_grid_thw, self.side, self.merge):
            alike[tile.shape[0], tile.shape[1]].append(tile)
        places, made = [], []
        for (rows, columns), of_size in alike.items():
            place = torch.stack(of_size).flatten(1).to(pixel_values.device)  # (tiles, rows * columns)
            pixels = pixel_values[place].unflatten(2, (self.channels, self.patch, self.patch))
            pixels = pixels.unflatten(1, (rows, columns)).permute(0, 3, 1, 4, 2, 5)
            pixels = pixels.reshape(len(place), self.channels, rows * self.patch, columns * self.patch)
            hidden = self.encoder(pixel_values=pixels, **self.resizes).last_hidden_state
            places.append(place.flatten())
            made.append(hidden[:, self.class_tokens :].flatten(0, 1))
        return torch.cat(made)[torch.cat(places).argsort()]


def tiles(image_grid_thw: Tensor, side: int, merge: int) -> Iterator[Tensor]:
    """Numbers of the patches of each tile, (rows, columns): pictures cut into as few tiles of at most `side` as fit.

    Tiles of a picture differ by no more than `merge` patches a side, and no token is cut.
    """
    before = 0
    for _, height, width in image_grid_thw.tolist():
        number = before + torch.arange(height * width).view(height, width)
        for rows in number.split(evenly(height, side, merge), dim=0):
            yield from rows.split(evenly(width, side, merge), dim=1)
        before += height * width


def evenly(length: int, side: int, merge: int) -> list[int]:
    """Lengths of the pieces of one side of a picture, each a multiple of `merge` and at most `side`."""
    tokens, pieces = length // merge, -(-length // side)
    ends = [tokens * number // pieces * merge for number in range(pieces + 1)]
    return [end - start for start, end in pairwise(ends)]


def side_of(size: Any) -> int:
    """One side in pixels of a patch or picture that a configuration gives as a number or as a pair."""
    return int(size[0]) if isinstance(size, (list, tuple)) else int(size)


class ModularForConditionalGeneration(NeoForConditionalGeneration):
    """An encoder, a projector and a language model, for the prompts, batches and training of NEO.

    Spread over processes, the encoder is gathered once for a step, not layer by layer: how often its layers compute
    depends on the tiles of a process, and processes must meet equally often.
    """

    config: ModularConfig
    config_class = ModularConfig

    def __init__(self, config: ModularConfig) -> None:
        super().__init__(config)
        self.model.vision_model = EncoderAndProjector(config)
        if config.language == "plain":
            for number, layer in enumerate(self.model.language_model.layers):
                layer.self_attn = PlainAttention(config.llm_config, number)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Load a folder that `save_pretrained` wrote; arguments as in transformers.

        Raises:
            CheckpointError: no such folder, or weights that are not exactly those of its configuration.
        """
        folder = Path(pretrained_model_name_or_path or "")
        if not (folder / "config.json").is_file():
            raise CheckpointError("no folder of a modular model", got=folder, fix="make one: pixelword convert modular")
        config = kwargs.pop("config", None) or ModularConfig.from_pretrained(folder)
        compare(expected_shapes(config), stored_shapes(folder))
        for refused in ("trust_remote_code", "use_safetensors"):
            kwargs.pop(refused, None)
        # Past NEO's own check, which expects NEO's tensors.
        return super(StrictCheckpoint, cls).from_pretrained(
            folder, *args, config=config, use_safetensors=True, **kwargs
        )


def expected_shapes(config: ModularConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a folder."""
    with torch.device("meta"):
        model = ModularForConditionalGeneration(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    return shapes


AutoConfig.register(MODEL_TYPE, ModularConfig, exist_ok=True)
register_processors(ModularConfig)
AutoModelForImageTextToText.register(ModularConfig, ModularForConditionalGeneration, exist_ok=True)
