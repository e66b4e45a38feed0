"""The native model: configuration, preprocessing, model and generation, as ordinary transformers classes.

Importing this module registers them, so that `AutoConfig`, `AutoProcessor` and
`AutoModelForImageTextToText.from_pretrained(folder)` load a released NEO folder without remote code.
"""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from pixelword.model.checkpoint import register_renamings
from pixelword.model.configuration import NeoConfig, NeoTextConfig, NeoVisionConfig
from pixelword.model.image_processing import NeoImageProcessor
from pixelword.model.modeling import NeoForConditionalGeneration, NeoModel
from pixelword.model.presets import neo_2b, neo_9b, neo_tiny
from pixelword.model.pretrained import NeoPreTrainedModel
from pixelword.model.processing import NeoProcessor, register_processors

register_renamings()
AutoConfig.register("neo_chat", NeoConfig, exist_ok=True)
register_processors(NeoConfig)
AutoModel.register(NeoConfig, NeoModel, exist_ok=True)
AutoModelForImageTextToText.register(NeoConfig, NeoForConditionalGeneration, exist_ok=True)

__all__ = [
    "NeoConfig",
    "NeoForConditionalGeneration",
    "NeoImageProcessor",
    "NeoModel",
    "NeoPreTrainedModel",
    "NeoProcessor",
    "NeoTextConfig",
    "NeoVisionConfig",
    "neo_2b",
    "neo_9b",
    "neo_tiny",
]
