"""The settings of `NeoImageProcessor` by name. No torch."""

from __future__ import annotations

from typing import TypedDict


class ImageSettings(TypedDict, total=False):
    """Settings of `NeoImageProcessor`; each can also be given per call."""

    patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int
    image_mean: tuple[float, ...] | list[float]
    image_std: tuple[float, ...] | list[float]
    share_pixels: bool
    apply_exif: bool
    animated: str
    max_input_pixels: int


IMAGE_SETTINGS = tuple(ImageSettings.__annotations__)
