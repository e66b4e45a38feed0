"""What RealUnify consists of: two tracks, ten categories, the ways of asking, and the status an item ends in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pixelword.errors import InputError, nearest


class Track(StrEnum):
    """UEG: understanding enhances generation (text in, picture out). GEU: generation enhances understanding."""

    UEG = "UEG"
    GEU = "GEU"


class Protocol(StrEnum):
    """How an item is asked. Only `direct` and `stepwise` are the paper's; the others keep their own names.

    `oracle_pair` is stepwise with another model for each stage; `oracle_intermediate` gives the second stage the true
    rewritten prompt or the true edited image.
    """

    DIRECT = "direct"
    STEPWISE = "stepwise"
    STEPWISE_BOTH_IMAGES = "stepwise_both_images"
    INTERLEAVED = "interleaved"
    ORACLE_PAIR = "oracle_pair"
    ORACLE_INTERMEDIATE = "oracle_intermediate"


class Status(StrEnum):
    """How an item ended. Only `ok` carries right or wrong."""

    OK = "ok"
    STAGE1_FAILED = "stage1_failed"
    STAGE1_EMPTY = "stage1_empty"
    STAGE2_FAILED = "stage2_failed"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    IMAGE_MISSING = "image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    JUDGE_FAILED = "judge_failed"
    JUDGE_UNPARSED = "judge_unparsed"
    ANSWER_UNPARSED = "answer_unparsed"
    NOT_SUPPORTED = "not_supported"


OPEN = frozenset({Status.JUDGE_FAILED, Status.JUDGE_UNPARSED})
"""Not the model's fault and not decided: such an item has to be judged again before there is a headline number."""


@dataclass(frozen=True)
class Category:
    """One of the ten: the `task_type` of the files, the printed abbreviation, the title, and the track."""

    name: str
    short: str
    title: str
    track: Track


CATEGORIES = MappingProxyType(
    {
        name: Category(name, short, title, track)
        for name, short, title, track in (
            ("world_knowledge", "WK", "World Knowledge", Track.UEG),
            ("commonsense_reasoning", "CR", "Commonsense Reasoning", Track.UEG),
            ("mathematical_reasoning", "MR-I", "Mathematical Reasoning", Track.UEG),
            ("logical_reasoning", "LR", "Logical Reasoning", Track.UEG),
            ("scientific_reasoning", "SR", "Scientific Reasoning", Track.UEG),
            ("code_to_image", "C2I", "Code-to-Image", Track.UEG),
            ("mental_reconstruction", "MR-II", "Mental Reconstruction", Track.GEU),
            ("mental_tracking", "MT", "Mental Tracking", Track.GEU),
            ("attentional_focusing", "AF", "Attentional Focusing", Track.GEU),
            ("cognitive_navigation", "CN", "Cognitive Navigation", Track.GEU),
        )
    }
)

ITEMS_PER_CATEGORY = 100

CHANCE = MappingProxyType({Track.UEG: 0.0, Track.GEU: 0.25})
"""What guessing reaches: GEU offers four options."""


def categories_of(track: Track) -> tuple[str, ...]:
    return tuple(name for name, category in CATEGORIES.items() if category.track == track)


@dataclass(frozen=True, order=True)
class ItemId:
    """An item: its category and its number inside the track's file. Reads `UEG_412_mathematical_reasoning`."""

    category: str
    index: int

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise InputError(
                "RealUnify has no such category", got=self.category, fix=nearest(self.category, CATEGORIES)
            )

    @property
    def track(self) -> Track:
        return CATEGORIES[self.category].track

    def __str__(self) -> str:
        return f"{self.track}_{self.index}_{self.category}"

    @classmethod
    def read(cls, text: str) -> ItemId:
        """The item that a text such as `GEU_17_mental_tracking` names.

        Raises:
            InputError: another form, an unknown category, or the wrong track for the category.
        """
        track, _, rest = text.partition("_")
        index, _, category = rest.partition("_")
        # Twelve digits: int() refuses thousands of them, and other scripts have digits too.
        if not (index.isascii() and index.isdigit() and len(index) <= 12 and category):
            raise InputError("an item reads TRACK_INDEX_CATEGORY", got=text, fix="write it like GEU_17_mental_tracking")
        item = cls(category, int(index))
        if item.track != track:
            raise InputError(f"{category} belongs to the track {item.track}", got=text, fix=f"write {item}")
        return item
