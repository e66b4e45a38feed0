"""The same conditions for every test: no network, no display, no clock that decides."""

from __future__ import annotations

import os

from hypothesis import settings

# Set before any test imports the libraries that read them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A busy machine must not fail a property.
settings.register_profile("pixelword", deadline=None)
settings.load_profile("pixelword")
