"""What Inspect AI finds under `pixelword/...`: its entry point imports this, which registers all of it."""

from pixelword.jigsaw.inspect_task import visual_jigsaw
from pixelword.realunify.inspecting.registry import realunify_geu, realunify_ueg

__all__ = ["realunify_geu", "realunify_ueg", "visual_jigsaw"]
