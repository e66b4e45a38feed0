"""Our models in lmms-eval, with the prompts and the pixel bounds of NEO's own evaluation.

lmms-eval finds `pixelword_neo` through the entry point group `lmms_eval.models` when both are installed:

    python -m lmms_eval --model pixelword_neo --model_args pretrained=Paranioar/NEO1_0-2B-SFT --tasks mmstar
"""

from pixelword.lmms.manifests import manifests
from pixelword.lmms.prompts import Manner, manner_of, neo_text, worded

__all__ = ["Manner", "manifests", "manner_of", "neo_text", "worded"]
