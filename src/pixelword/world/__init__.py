"""The drawn world: pictures of a few coloured shapes, captions, and questions with exact answers. Loads no torch.

>>> from itertools import islice
>>> from pixelword.world import examples
>>> first = next(examples("train", seed=0))
>>> first.picture.shape
(64, 64, 3)
"""

from pixelword.world.captions import DESCRIBE, LIST, caption, caption_is_true, read_caption
from pixelword.world.check import Seen, look, matches, true_answer
from pixelword.world.examples import BLOCK, SPLITS, Example, examples
from pixelword.world.picture import blank_picture, draw_picture
from pixelword.world.questions import ANSWERS, KINDS, Ledger, Question, well_posed
from pixelword.world.scene import COLORS, NEW_PAIRS, REGIONS, SHAPES, SIDE, Object, Scene, draw_scene
from pixelword.world.words import WORDS

__all__ = [
    "ANSWERS",
    "BLOCK",
    "COLORS",
    "DESCRIBE",
    "KINDS",
    "LIST",
    "NEW_PAIRS",
    "REGIONS",
    "SHAPES",
    "SIDE",
    "SPLITS",
    "WORDS",
    "Example",
    "Ledger",
    "Object",
    "Question",
    "Scene",
    "Seen",
    "blank_picture",
    "caption",
    "caption_is_true",
    "draw_picture",
    "draw_scene",
    "examples",
    "look",
    "matches",
    "read_caption",
    "true_answer",
    "well_posed",
]
