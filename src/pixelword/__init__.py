"""PixelWord: native multimodal models, from pixels and words to answers.

One decoder reads pixels and words. This package holds its whole life: the model (`pixelword.model`), its
conversion and training, and the pages that show what it learned. Importing it loads no torch.
"""

from pixelword.errors import (
    BackendError,
    CheckpointError,
    ConfigError,
    DataError,
    ImageError,
    InputError,
    MissingExtra,
    PixelWordError,
    PromptError,
    ShapeError,
    TrainingError,
)

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageError",
    "InputError",
    "MissingExtra",
    "PixelWordError",
    "PromptError",
    "ShapeError",
    "TrainingError",
    "__version__",
]
