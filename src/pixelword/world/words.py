"""The closed vocabulary of the world: every word that a caption, a question, an answer or a chat turn can hold."""

from __future__ import annotations

from pixelword.world.captions import DESCRIBE, LIST
from pixelword.world.questions import ANSWERS
from pixelword.world.scene import COLORS, REGIONS, SHAPES

REQUESTS = (LIST, DESCRIBE)
QUESTION_WORDS = ("color", "shape", "of", "at", "count", "objects", "where", "is", "there", "or", "?", ",", ".")
TURNS = ("system", "user", "assistant")
"""Names of the speakers in the chat template; they are words like any other."""

ANSWER_WORDS = tuple(word for words in ANSWERS.values() for word in words)

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys((*TURNS, *REQUESTS, *QUESTION_WORDS, *COLORS, *SHAPES, *REGIONS, *ANSWER_WORDS))
)
"""All words in a fixed order, each once (`left` is both a region and a side)."""
