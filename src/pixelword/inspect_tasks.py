"""What Inspect AI finds under `pixelword/...`: its entry point imports this, which registers all of it."""

from pixelword.jigsaw.chat_server import pixelword_chat
from pixelword.jigsaw.inspect_task import visual_jigsaw
from pixelword.realunify.inspecting.registry import realunify_geu, realunify_ueg

__all__ = ["pixelword_chat", "realunify_geu", "realunify_ueg", "visual_jigsaw"]
