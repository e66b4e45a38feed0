"""Asking a model in this process: ours, or any image-text-to-text model of transformers. Greedy, one prompt at a time.

    answerer = load_answerer("checkpoint", max_new_tokens=256)
    print(answerer(messages, images).text)

No remote code is run and nothing is unpickled. The families of Qwen read pictures here without torchvision.
"""

from pixelword.answering.answerer import Answer, Answerer, load_answerer
from pixelword.answering.processors import load_processor, picture_processor

__all__ = ["Answer", "Answerer", "load_answerer", "load_processor", "picture_processor"]
