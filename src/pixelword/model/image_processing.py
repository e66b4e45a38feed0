"""Pictures of any size to patch matrices: `NeoImageProcessor`, Pillow and numpy only.

    read -> smart resize (bicubic) -> byte / 255, ImageNet mean and std -> patches row by row

Legend: P patches of all pictures · C channels · a grid is (1, rows, columns) of patches.

Source: NEO, section 3.1; the released inference code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers import BatchFeature, PreTrainedConfig
from transformers.image_processing_utils import BaseImageProcessor

from pixelword.errors import CheckpointError, ConfigError, nearest
from pixelword.model.image_grid import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_bounds,
    patch_matrix,
    shared_max_pixels,
    smart_resize,
)
from pixelword.model.image_reading import MAX_INPUT_PIXELS, ImageReading, read_image
from pixelword.model.image_settings import IMAGE_SETTINGS, ImageSettings
from pixelword.model.matching import per_sample

# Keys that transformers writes beside the settings.
WRITTEN_KEYS = {"image_processor_type", "processor_class", "feature_extractor_type", "auto_map"}


class NeoImageProcessor(BaseImageProcessor):
    """Reads pictures and cuts them into patches.

    Args:
        patch_size: side of a patch in pixels.
        merge_size: merge x merge patches become one token, so sides are multiples of patch_size * merge_size.
        min_pixels, max_pixels: bounds of the area after resizing (the released evaluation uses 1,310,720 and
            4,194,304).
        image_mean, image_std: per channel, for values in 0..1.
        share_pixels: give the pictures of one sample the smaller bound of training (`shared_max_pixels`).
        apply_exif, animated, max_input_pixels: see `ImageReading`.

    Calling it with pictures (one, a list, or a list per sample; see `ImageSource`) returns `pixel_values`
    (P, C * patch²) float32 and `image_grid_thw` (images, 3) int64 as numpy arrays, or as tensors with
    return_tensors="pt". The settings can be given per call.

    Raises:
        ConfigError: settings that contradict each other, or an unknown one.
        ImageError: a picture that cannot be read; it is named by its place and path.
    """

    model_input_names = ["pixel_values", "image_grid_thw"]  # noqa: RUF012  (transformers reads a plain class attribute)
    valid_kwargs = ImageSettings  # type: ignore[assignment]

    def __init__(
        self,
        *,
        patch_size: int = 16,
        merge_size: int = 2,
        min_pixels: int = 65536,
        max_pixels: int = 4194304,
        image_mean: Sequence[float] = IMAGENET_MEAN,
        image_std: Sequence[float] = IMAGENET_STD,
        share_pixels: bool = False,
        apply_exif: bool = False,
        animated: str = "first",
        max_input_pixels: int = MAX_INPUT_PIXELS,
        **written: Any,
    ) -> None:
        super().__init__()
        _known(set(written) - WRITTEN_KEYS)
        self.patch_size, self.merge_size = patch_size, merge_size
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        self.share_pixels = share_pixels
        self.apply_exif, self.animated, self.max_input_pixels = apply_exif, animated, max_input_pixels
        self._check()

    def _check(self) -> None:
        for name in ("patch_size", "merge_size", "min_pixels", "max_pixels", "max_input_pixels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"{name} must be a whole number", got=repr(value), fix="pass an int")
        check_bounds(self.min_pixels, self.max_pixels)
        if self.patch_size < 1 or self.merge_size < 1:
            raise ConfigError(
                "patch_size and merge_size must be positive",
                got=(self.patch_size, self.merge_size),
                fix="use 16 and 2 for released models",
            )
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise ConfigError(
                "image_mean and image_std need three values each, image_std positive ones",
                got=(self.image_mean, self.image_std),
                fix="leave them out for ImageNet's",
            )
        self._reading()

    def _reading(self) -> ImageReading:
        return ImageReading(self.apply_exif, self.animated, self.max_input_pixels)  # type: ignore[arg-type]

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any], **settings: Any) -> NeoImageProcessor:
        """The preprocessing that a model's configuration describes; `settings` override it.

        Args:
            config: a `NeoConfig`, or the contents of a released config.json.

        Raises:
            CheckpointError: it has no vision_config, or one that makes no sense.
        """
        contents = config.to_dict() if isinstance(config, PreTrainedConfig) else config
        vision = contents.get("vision_config")
        if not isinstance(vision, Mapping):
            raise CheckpointError(
                "config.json has no vision_config, so this is no NEO model",
                got=f"model_type {contents.get('model_type')!r}",
                fix="pass the folder of a NEO model, or build NeoImageProcessor(...) from its settings",
            )
        if _scalar(vision, "num_channels", 3) != 3:
            raise CheckpointError(
                "vision_config.num_channels must be 3", got=vision["num_channels"], fix="NEO reads RGB pictures"
            )
        # The top level repeats downsample_ratio in released files.
        ratio = float(_scalar(vision, "downsample_ratio", _scalar(contents, "downsample_ratio", 0.5)))
        if not 0 < ratio <= 1 or abs(round(1 / ratio) * ratio - 1) > 1e-6:
            raise CheckpointError(
                "vision_config.downsample_ratio must be 1 over a whole number", got=ratio, fix="use 0.5"
            )
        derived = {
            "patch_size": int(_scalar(vision, "patch_size", 16)),
            "merge_size": round(1 / ratio),
            "min_pixels": int(_scalar(vision, "min_pixels", 65536)),
            "max_pixels": int(_scalar(vision, "max_pixels", 4194304)),
        }
        return cls(**(derived | settings))

    @classmethod
    def get_image_processor_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Settings of a folder: the file we saved, or else what its config.json says.

        A released NEO folder has no preprocessing file; one written for another class is not ours to read.
        """
        try:
            saved, rest = super().get_image_processor_dict(pretrained_model_name_or_path, **dict(kwargs))
        except OSError:
            saved = {}
        if saved.get("image_processor_type") == cls.__name__:
            return saved, rest
        contents, rest = PreTrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        derived = cls.from_config(contents).to_dict()
        return derived, rest

    @property
    def factor(self) -> int:
        """Side in pixels of the square behind one token."""
        return self.patch_size * self.merge_size

    def preprocess(self, images: Any, *, return_tensors: str | None = None, **settings: Any) -> BatchFeature:
        """See the class."""
        samples, nested = per_sample(images)
        processor = self.with_settings(**settings)
        matrices, grids = [], []
        for at, sample in enumerate(samples):
            for place, source in enumerate(sample):
                name = f"sample {at}, image {place}" if nested else f"image {place}"
                matrix, grid = processor._one(source, len(sample), name)
                matrices.append(matrix)
                grids.append(grid)
        width = 3 * processor.patch_size**2
        data = {
            "pixel_values": np.concatenate(matrices) if matrices else np.empty((0, width), np.float32),
            "image_grid_thw": np.array(grids, np.int64).reshape(-1, 3),
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def _one(self, source: Any, siblings: int, name: str) -> tuple[Any, tuple[int, int, int]]:
        image = read_image(source, self._reading(), name=name)
        grid = self.token_grid(image.height, image.width, images=siblings, name=name)
        _, rows, columns = grid
        resized = image.resize((columns * self.patch_size, rows * self.patch_size), Image.Resampling.BICUBIC)
        return patch_matrix(np.asarray(resized), self.patch_size, self.image_mean, self.image_std), grid

    def with_settings(self, **settings: Any) -> NeoImageProcessor:
        """This processor with some settings changed, or itself; None means unchanged.

        Raises:
            ConfigError: an unknown setting, or settings that contradict each other.
        """
        _known(set(settings) - set(IMAGE_SETTINGS))
        changes = {key: value for key, value in settings.items() if value is not None}
        if not changes:
            return self
        return NeoImageProcessor(**({key: getattr(self, key) for key in IMAGE_SETTINGS} | changes))

    def token_grid(self, height: int, width: int, *, images: int = 1, name: str = "image") -> tuple[int, int, int]:
        """The grid (1, rows, columns) of patches that a picture of this size gets, without reading it.

        Args:
            height, width: pixels.
            images: pictures in the sample; matters with share_pixels only.
            name: how errors call the picture.

        Raises:
            ImageError: no pixels, or too long a strip.
        """
        low, high = self.min_pixels, self.max_pixels
        if self.share_pixels:
            high = shared_max_pixels(images, min_pixels=low, max_pixels=high)
        height, width = smart_resize(height, width, factor=self.factor, min_pixels=low, max_pixels=high, name=name)
        return 1, height // self.patch_size, width // self.patch_size


def _known(unknown: set[str]) -> None:
    for name in sorted(unknown):
        raise ConfigError(f"unknown setting of images {name!r}", fix=nearest(name, IMAGE_SETTINGS))


def _scalar(section: Mapping[str, Any], key: str, default: Any) -> Any:
    """A number of config.json; released files wrap some in one or two lists.

    Raises:
        CheckpointError: no number is inside.
    """
    value = section.get(key)
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CheckpointError(
            f"config.json: {key} must be a number", got=repr(value), fix="write it as in a released config.json"
        )
    return value
