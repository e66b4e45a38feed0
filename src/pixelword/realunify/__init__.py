"""RealUnify: does drawing help seeing, and does knowing help drawing? Loads no torch and asks no network.

>>> from pixelword.realunify import read_letter, read_verdict
>>> read_letter("Clearly, the correct option is B"), read_letter("Clearly, the correct option is B", mode="reference")
('B', 'C')
>>> read_verdict("unknown"), read_verdict("unknown", mode="reference")
(None, 'no')
"""

from pixelword.realunify.blocklist import read_block_list
from pixelword.realunify.dataset import Benchmark, ChoiceItem, DrawingItem, Question, read_benchmark
from pixelword.realunify.diagnosis import Box, Boxes, Derived, derive, sort_into_boxes, synergy_index
from pixelword.realunify.differences import compare, compare_all
from pixelword.realunify.flips import Asked, Flip, flips
from pixelword.realunify.letters import read_letter
from pixelword.realunify.published import published
from pixelword.realunify.released import Imported, import_results
from pixelword.realunify.results import ItemResult, score_choice, score_polling
from pixelword.realunify.scores import CategoryScore, ScoreTable, score_table
from pixelword.realunify.taxonomy import CATEGORIES, Category, ItemId, Protocol, Status, Track
from pixelword.realunify.verdicts import read_verdict

__all__ = [
    "CATEGORIES",
    "Asked",
    "Benchmark",
    "Box",
    "Boxes",
    "Category",
    "CategoryScore",
    "ChoiceItem",
    "Derived",
    "DrawingItem",
    "Flip",
    "Imported",
    "ItemId",
    "ItemResult",
    "Protocol",
    "Question",
    "ScoreTable",
    "Status",
    "Track",
    "compare",
    "compare_all",
    "derive",
    "flips",
    "import_results",
    "published",
    "read_benchmark",
    "read_block_list",
    "read_letter",
    "read_verdict",
    "score_choice",
    "score_polling",
    "score_table",
    "sort_into_boxes",
    "synergy_index",
]
