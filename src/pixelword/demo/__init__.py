"""The main job, put together from the world, the model, training and the page toolkit."""

from pixelword.demo.run import run_demo

__all__ = ["run_demo"]
