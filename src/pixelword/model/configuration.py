"""Configuration of a NEO model, in the layout of the released `config.json`.

Three nested configurations, named as released: `NeoConfig` holds `llm_config` (`NeoTextConfig`, the decoder) and
`vision_config` (`NeoVisionConfig`, the patch embedding). `text_config` and `image_token_id` are aliases that
transformers and TRL look for.

Source: NEO, section 3.1 and the released configuration files. Our own keys are `extra_num_layers` (written by the
training code only), `rope_scheme`, `rope_extra`, `video_diagonal`, `attention_pattern`, `patch_position` and
`image_end_token_id`; each has the released behaviour as its default, so that a released file needs none of them.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from pixelword.errors import ConfigError, nearest

RopeScheme = Literal["native", "1d", "il", "m", "mm", "video"]
RopeExtra = Literal["same_pattern", "joint", "t_only"]
AttentionPattern = Literal["mixed", "causal"]
PatchPosition = Literal["rotary", "sinusoidal_add", "none"]

QWEN3_DEPTHS = {2048: 28, 4096: 36}
"""Layers of the LLM behind each released width; the rest of a released stack is the pre-Buffer."""


def unwrap(value: Any) -> Any:
    """The scalar inside any nesting of one-element lists.

    Released files hold `[[2048]]` where 2048 is meant: the released class turned scalars into tuples.
    """
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return value


KEPT = {"dtype", "architectures", "model_type", "transformers_version"}
NOISE = {"_name_or_path", "output_attentions"} | set(PreTrainedConfig.__dataclass_fields__) - KEPT
"""Keys that every transformers configuration has and that no NEO file holds."""


def without_noise(output: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in output.items() if key not in NOISE}


@lru_cache
def field_types(kind: type) -> dict[str, TypeAdapter[Any]]:
    own = {name: hint for name, hint in kind.__annotations__.items() if not name.endswith("_config")}
    return {name: TypeAdapter(hint, config=ConfigDict(strict=True)) for name, hint in own.items()}


def check_types(config: PreTrainedConfig) -> None:
    """Raise ConfigError for a value of another type than its field, e.g. a number written as a string."""
    kind: type = type(config)
    for name, expected in field_types(kind).items():
        try:
            expected.validate_python(getattr(config, name))
        except ValidationError as error:
            section = f"{config.base_config_key}." if config.base_config_key else ""
            raise ConfigError(
                f"{section}{name} has the wrong type: {error.errors()[0]['msg'].lower()}",
                got=repr(getattr(config, name)),
                fix="write it as in a released config.json",
            ) from error


def check_positive(config: PreTrainedConfig, *names: str) -> None:
    """Raise ConfigError for a size, a count or a base that is no positive number."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigError(
                f"{config.base_config_key}.{name} must be a positive number",
                got=repr(value),
                fix="write it as in a released config.json",
            )


def one_of(name: str, value: str, allowed: Any) -> None:
    names = get_args(allowed)
    if value not in names:
        raise ConfigError(f"{name} must be one of {', '.join(names)}", got=repr(value), fix=nearest(str(value), names))


class NeoVisionConfig(PreTrainedConfig):
    """The patch embedding: two strided convolutions with a 2-D position in between.

    Attributes:
        patch_size: side of a patch in pixels (kernel and stride of the first convolution).
        hidden_size: channels between the two convolutions; a multiple of 4.
        llm_hidden_size: width of the decoder, the output of the second convolution.
        downsample_ratio: 1 / merge, where merge x merge patches become one token.
        rope_theta_vision: base of the 2-D rotation between the convolutions.
        min_pixels, max_pixels: bounds of the area of a resized picture, in pixels.
        patch_position: "rotary" is what the released code and weights do; "sinusoidal_add" is the paper's equation 1.
    """

    model_type = "neo_vision"
    base_config_key = "vision_config"

    num_channels: int = 3
    patch_size: int = 16
    hidden_size: int = 1024
    llm_hidden_size: Any = 2048
    downsample_ratio: Any = 0.5
    rope_theta_vision: float | int = 10000.0
    max_position_embeddings_vision: int = 10000
    min_pixels: int = 65536
    max_pixels: int = 4194304
    patch_position: str = "rotary"

    def __post_init__(self, **kwargs: Any) -> None:
        self.llm_hidden_size = unwrap(self.llm_hidden_size)
        self.downsample_ratio = unwrap(self.downsample_ratio)
        super().__post_init__(**kwargs)
        check_types(self)
        check_positive(self, "patch_size", "num_channels", "hidden_size", "llm_hidden_size")
        check_positive(self, "rope_theta_vision", "downsample_ratio")
        one_of("vision_config.patch_position", self.patch_position, PatchPosition)
        if self.hidden_size % 4:
            raise ConfigError(
                "vision_config.hidden_size must be a multiple of 4 (two axes of channel pairs)",
                got=self.hidden_size,
                fix="choose the nearest multiple of 4",
            )
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ConfigError(
                "vision_config needs 0 < min_pixels <= max_pixels",
                got=f"{self.min_pixels} and {self.max_pixels}",
                fix="swap them, or raise max_pixels",
            )
        if self.merge_size < 1 or abs(self.merge_size * float(self.downsample_ratio) - 1) > 1e-6:
            raise ConfigError(
                "vision_config.downsample_ratio must be 1 over a whole number",
                got=self.downsample_ratio,
                fix="use 0.5 so that 2 x 2 patches become one token",
            )

    @property
    def merge_size(self) -> int:
        """Side of the square of patches that becomes one token."""
        return round(1 / float(self.downsample_ratio))

    @property
    def pixels_per_token(self) -> int:
        """Side, in pixels, of the square behind one token."""
        return self.patch_size * self.merge_size


class NeoTextConfig(PreTrainedConfig):
    """The decoder: Qwen3 blocks with extra query and key channels for height and width.

    Attributes:
        num_hidden_layers: all blocks, pre-Buffer included.
        extra_num_layers: depth of the pre-Buffer (the first blocks); -1 infers it from the released widths. It decides
            what stage 1 trains and what is exported, never what the forward pass computes.
        head_dim: channels of a head for time and for values; queries and keys carry as many again for height and width.
        rope_theta: base of the time rotation, the LLM's own.
        rope_theta_hw: base of the height and width rotations.
        rope_scheme: position scheme of the ablation (NEO, table 3): "native", "1d", "il", "m", "mm" or "video".
        rope_extra: how the rival schemes rotate the extra channels; unused by "native".
        video_diagonal: let "video" centre a picture's indices on the time diagonal, as VideoRoPE does.
        attention_pattern: "mixed" (bidirectional inside a picture) or "causal" (rows A and G of the ablation).
    """

    model_type = "neo_text"
    base_config_key = "llm_config"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012  (transformers reads a plain class attribute)

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 40
    extra_num_layers: int = -1
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    rope_theta: float | int = 1000000.0
    rope_theta_hw: float | int = 10000.0
    max_position_embeddings: int = 32768
    max_position_embeddings_hw: int = 10000
    attention_bias: bool = False
    attention_dropout: float | int = 0.0
    tie_word_embeddings: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = None
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    rope_scheme: str = "native"
    rope_extra: str = "same_pattern"
    video_diagonal: bool = False
    attention_pattern: str = "mixed"

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("max_window_layers", None)
        if any(kind != "full_attention" for kind in kwargs.pop("layer_types", None) or []):
            raise ConfigError(
                "llm_config.layer_types: NEO has full attention in every layer",
                got="sliding layers",
                fix="remove layer_types from config.json",
            )
        self._read_rope_fields(kwargs)
        if self.extra_num_layers < 0:
            known = QWEN3_DEPTHS.get(self.hidden_size, self.num_hidden_layers)
            self.extra_num_layers = max(self.num_hidden_layers - known, 0)
        super().__post_init__(**kwargs)
        self._check()

    def _read_rope_fields(self, kwargs: dict[str, Any]) -> None:
        """Accept both the released form (`rope_theta`, `rope_scaling`) and transformers 5's `rope_parameters`."""
        rope = kwargs.pop("rope_parameters", None) or kwargs.pop("rope_scaling", None) or {}
        kwargs.pop("rope_scaling", None)
        self.rope_theta = float(rope.get("rope_theta", self.rope_theta))
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ConfigError(
                "llm_config.rope_scaling: only the default rotation is defined for NEO",
                got=kind,
                fix="remove rope_scaling from config.json",
            )

    def _check(self) -> None:
        check_types(self)
        check_positive(self, "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim")
        check_positive(self, "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
        check_positive(self, "rope_theta", "rope_theta_hw", "rms_norm_eps")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                "llm_config.num_key_value_heads must divide num_attention_heads",
                got=f"{self.num_key_value_heads} and {self.num_attention_heads}",
                fix="choose num_key_value_heads among the divisors of num_attention_heads",
            )
        if self.head_dim % 4:
            raise ConfigError(
                "llm_config.head_dim must be a multiple of 4 (H and W halves)", got=self.head_dim, fix="use 64 or 128"
            )
        if not 0 <= self.extra_num_layers <= self.num_hidden_layers:
            raise ConfigError(
                "llm_config.extra_num_layers (the pre-Buffer) must lie between 0 and num_hidden_layers",
                got=f"{self.extra_num_layers} of {self.num_hidden_layers}",
                fix="count the pre-Buffer's layers in num_hidden_layers too",
            )
        if self.attention_bias or self.use_sliding_window:
            raise ConfigError(
                "NEO has neither attention biases nor sliding windows",
                got=f"attention_bias={self.attention_bias}, use_sliding_window={self.use_sliding_window}",
                fix="set both to false; weights that need them are not NEO's",
            )
        if self.hidden_act != "silu":
            raise ConfigError(
                "llm_config.hidden_act: NEO's blocks have silu", got=repr(self.hidden_act), fix="set it to silu"
            )
        one_of("llm_config.rope_scheme", self.rope_scheme, RopeScheme)
        one_of("llm_config.rope_extra", self.rope_extra, RopeExtra)
        one_of("llm_config.attention_pattern", self.attention_pattern, AttentionPattern)


class NeoConfig(PreTrainedConfig):
    """Everything that decides a NEO model.

    Attributes:
        llm_config: the decoder.
        vision_config: the patch embedding.
        template: name of the conversation template; `neo1_0` is the only one.
        img_start_token_id, img_context_token_id: ids of `<img>` and `<IMG_CONTEXT>`; the defaults are those of the
            released tokenizer.
        image_end_token_id: id of `</img>`; the one after `<img>` when not given, as released tokenizers have it.
        tie_word_embeddings: whether the head shares the word embedding's weights; `llm_config`'s when not given.
    """

    model_type = "neo_chat"
    sub_configs_defaults = {  # noqa: RUF012
        "llm_config": SubConfigSpec(NeoTextConfig),
        "vision_config": SubConfigSpec(NeoVisionConfig),
    }
    attribute_map = {  # noqa: RUF012
        "text_config": "llm_config",
        "image_token_id": "img_context_token_id",
        "image_start_token_id": "img_start_token_id",
    }

    if TYPE_CHECKING:  # what they are once built; dictionaries are accepted
        llm_config: NeoTextConfig
        vision_config: NeoVisionConfig
        text_config: NeoTextConfig
        image_token_id: int
        image_start_token_id: int
    else:
        llm_config: dict | PreTrainedConfig | None = None
        vision_config: dict | PreTrainedConfig | None = None
    template: str | None = "neo1_0"
    downsample_ratio: Any = 0.5
    img_context_token_id: int = 151669
    img_start_token_id: int = 151670
    image_end_token_id: Any = None
    use_backbone_lora: int = 0
    use_llm_lora: int = 0
    tie_word_embeddings: bool | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("auto_map", None)  # points at remote code, which is never run
        kwargs.pop("model_type", None)  # one released file says internvl_chat; the key renamings go by ours
        self.downsample_ratio = unwrap(self.downsample_ratio)
        for name, value in {"llm_config": self.llm_config, "vision_config": self.vision_config}.items():
            if isinstance(value, dict):
                setattr(self, name, {k: v for k, v in value.items() if k not in ("architectures", "model_type")})
        super().__post_init__(**kwargs)
        check_types(self)
        text, vision = self.llm_config, self.vision_config
        if vision.llm_hidden_size != text.hidden_size:
            raise ConfigError(
                "vision_config.llm_hidden_size must equal llm_config.hidden_size",
                got=f"{vision.llm_hidden_size} and {text.hidden_size}",
                fix="set vision_config.llm_hidden_size to the decoder's width",
            )
        self.downsample_ratio = vision.downsample_ratio
        if self.template not in (None, "neo1_0"):
            raise ConfigError(
                "the conversation template must be neo1_0", got=repr(self.template), fix="leave it out, or use neo1_0"
            )
        self.template = "neo1_0"
        if self.image_end_token_id is None:
            self.image_end_token_id = self.img_start_token_id + 1
        if self.tie_word_embeddings is None:
            self.tie_word_embeddings = text.tie_word_embeddings
        text.tie_word_embeddings = self.tie_word_embeddings

    def to_dict(self) -> dict[str, Any]:
        """The dictionary of `config.json`, with the names that the released readers look for."""
        output = without_noise(super().to_dict())
        text, vision = without_noise(output["llm_config"]), without_noise(output["vision_config"])
        return output | {
            "architectures": ["NEOChatModel"],
            "hidden_size": text["hidden_size"],
            "llm_config": text | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"},
            "vision_config": vision | {"architectures": ["NEOVisionModel"]},
        }

    def to_diff_dict(self) -> dict[str, Any]:
        """All keys, not only those that differ from a default: the released readers have other defaults."""
        return self.to_dict()
