"""RealUnify-mini: our own items for all ten categories, drawn by program, with exact checkers and gold intermediates.

>>> from pixelword.realunify.mini import mini_drawing
>>> item = mini_drawing("code_to_image", 0)
>>> item.check(item.picture(64)).right, item.check(item.faulty_picture("missing", 64)).right
(True, False)
"""

from pixelword.realunify.mini.checker import Check, Seen, check, see
from pixelword.realunify.mini.faults import FAULTS, faults_of
from pixelword.realunify.mini.files import write_mini
from pixelword.realunify.mini.items import (
    MiniChoice,
    MiniDrawing,
    mini_choice,
    mini_choices,
    mini_drawing,
    mini_drawings,
)
from pixelword.realunify.mini.polling import exact_verdict
from pixelword.realunify.mini.simulated import Simulated, Skills, simulate
from pixelword.realunify.mini.targets import Target, Thing

__all__ = [
    "FAULTS",
    "Check",
    "MiniChoice",
    "MiniDrawing",
    "Seen",
    "Simulated",
    "Skills",
    "Target",
    "Thing",
    "check",
    "exact_verdict",
    "faults_of",
    "mini_choice",
    "mini_choices",
    "mini_drawing",
    "mini_drawings",
    "see",
    "simulate",
    "write_mini",
]
