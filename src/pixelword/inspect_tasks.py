"""What Inspect AI finds under `pixelword/...`: its entry point imports this, which registers all of it."""

from pixelword.jigsaw.inspect_task import visual_jigsaw

__all__ = ["visual_jigsaw"]
