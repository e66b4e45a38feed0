"""What one call of `NeoProcessor` can ask for, and rows of ids padded accordingly. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pixelword.errors import ConfigError, nearest
from pixelword.model.image_settings import IMAGE_SETTINGS
from pixelword.model.special_tokens import Policy

# Asked for by callers that serve every model; here there is nothing to switch on or off.
NO_EFFECT = {
    *("add_special_tokens", "return_attention_mask", "return_token_type_ids", "return_mm_token_type_ids"),
    *("sanitize_control_tokens", "load_audio_from_video", "do_resize", "timeout"),
}
GROUPS = ("common_kwargs", "text_kwargs", "images_kwargs")
NO_TRUNCATION = (None, False, "do_not_truncate")
NO_PADDING = (False, "do_not_pad")


@dataclass(frozen=True)
class CallOptions:
    """Options of one call.

    Attributes:
        padding: True or "longest", "max_length", or False. When not given, rows are padded if tensors are returned.
        padding_side: "left" or "right"; the processor's when not given.
        pad_to_multiple_of: make the padded length a multiple of this.
        truncation: cut what is longer than max_length at its right end, never inside or before a picture.
        max_length: longest prompt in tokens; the processor's when not given.
        return_tensors: "pt", "np", or None for lists of ids and numpy pixels.
        special_tokens: "escape" or "reject"; the processor's when not given.
        images: settings of the image processor.
    """

    padding: bool | str | None = None
    padding_side: str | None = None
    pad_to_multiple_of: int | None = None
    truncation: bool | str | None = None
    max_length: int | None = None
    return_tensors: str | None = None
    special_tokens: Policy | None = None
    images: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> CallOptions:
        """From keyword arguments, flat or inside `text_kwargs`, `images_kwargs` and `common_kwargs`.

        Raises:
            ConfigError: an unknown option, or an option's value.
        """
        flat = {key: value for key, value in given.items() if key not in GROUPS}
        for group in GROUPS:
            flat = {**(given.get(group) or {}), **flat}
        own = [option.name for option in fields(cls) if option.name != "images"]
        known, images = {}, {}
        for key, value in flat.items():
            if key in own:
                known[key] = value
            elif key in IMAGE_SETTINGS:
                images[key] = value
            elif key not in NO_EFFECT:
                raise ConfigError(f"unknown option {key!r}", fix=nearest(key, [*own, *IMAGE_SETTINGS]))
        if known.get("return_tensors") == "auto":
            known["return_tensors"] = None
        return cls(**known, images=images)

    def __post_init__(self) -> None:
        if self.padding not in (None, True, "longest", "max_length", *NO_PADDING):
            raise ConfigError(
                "padding must be True, False, 'longest' or 'max_length'", got=repr(self.padding), fix="use True"
            )
        if self.padding_side not in (None, "left", "right"):
            raise ConfigError(
                "padding_side must be 'left' or 'right'", got=repr(self.padding_side), fix="use 'left' to generate"
            )
        for name in ("max_length", "pad_to_multiple_of"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(
                    f"{name} must be a positive whole number", got=repr(value), fix="pass an int above 0, or None"
                )
        if self.return_tensors not in (None, "pt", "np"):
            raise ConfigError(
                "return_tensors must be 'pt', 'np' or None", got=repr(self.return_tensors), fix="use 'pt' for the model"
            )

    @property
    def truncates(self) -> bool:
        return self.truncation not in NO_TRUNCATION

    @property
    def pads(self) -> bool:
        if self.padding is None:
            return self.return_tensors is not None
        return self.padding not in NO_PADDING


def pad_rows(
    rows: Sequence[list[int]], pad_id: int, *, side: str, length: int = 0, multiple: int | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of equal length, and their masks.

    Args:
        rows: token ids.
        pad_id: id to fill up with; masked, so its meaning does not matter.
        side: "left" or "right".
        length: at least this many tokens.
        multiple: round the length up to a multiple of this.

    Returns:
        ids and attention mask (1 = token, 0 = padding), each (rows, length).
    """
    length = max([length, *map(len, rows)])
    if multiple:
        length = -(-length // multiple) * multiple
    ids, mask = [], []
    for row in rows:
        missing = length - len(row)
        fill, zeros, ones = [pad_id] * missing, [0] * missing, [1] * len(row)
        ids.append(fill + row if side == "left" else row + fill)
        mask.append(zeros + ones if side == "left" else ones + zeros)
    return ids, mask
