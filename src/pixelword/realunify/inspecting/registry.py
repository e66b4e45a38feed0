"""What Inspect finds under `pixelword/`: two tasks and the ways to reach a model."""

from pixelword.realunify.inspecting.providers import (
    pixelword_absent,
    pixelword_diffusers,
    pixelword_exact,
    pixelword_gemini,
    pixelword_native,
    pixelword_openai,
    pixelword_transformers,
    pixelword_worker,
)
from pixelword.realunify.inspecting.tasks import realunify_geu, realunify_ueg

__all__ = [
    "pixelword_absent",
    "pixelword_diffusers",
    "pixelword_exact",
    "pixelword_gemini",
    "pixelword_native",
    "pixelword_openai",
    "pixelword_transformers",
    "pixelword_worker",
    "realunify_geu",
    "realunify_ueg",
]
