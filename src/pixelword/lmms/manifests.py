"""What lmms-eval is told about our models."""

from __future__ import annotations

from typing import Any


def manifests() -> list[Any]:
    """One `ModelManifest` of lmms-eval for each of our models: only lmms-eval calls this."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [ModelManifest(model_id="pixelword_neo", chat_class_path="pixelword.lmms.model.PixelWordNeo")]
