"""Items that a report leaves out, each with its reason: the labels of the benchmark have errors.

A YAML file such as

    items:
      - item: UEG_412_code_to_image
        reason: the program prints dogs, the question asks for cats
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from pixelword.config import Settings, load_settings
from pixelword.errors import DataError, nearest
from pixelword.realunify.taxonomy import ItemId


class Blocked(Settings):
    """One blocked item."""

    item: str = Field(description="the item, like UEG_412_code_to_image")
    reason: str = Field(min_length=1, description="why it cannot be scored, in a sentence")


class BlockList(Settings):
    """The content of a block-list file."""

    items: tuple[Blocked, ...] = Field(default=(), description="a list of items with reasons")


def read_block_list(path: Path, known: Collection[ItemId]) -> dict[ItemId, str]:
    """Item -> reason.

    Raises:
        ConfigError: the file cannot be read or has unknown keys.
        InputError: an entry that names no item.
        DataError: an item that the data set does not have, or one that is listed twice.
    """
    entries = load_settings(BlockList, path).items
    found = {ItemId.read(entry.item): entry.reason for entry in entries}
    if strangers := sorted(set(found) - set(known)):
        raise DataError(
            f"{path.name} blocks items that the data set does not have",
            got=", ".join(map(str, strangers)),
            fix=nearest(str(strangers[0]), map(str, known)) if len(known) < 5000 else "check the numbers",
        )
    if len(found) < len(entries):
        twice = [name for name, number in Counter(entry.item for entry in entries).items() if number > 1]
        raise DataError(
            f"{path.name} lists an item twice", got=", ".join(twice), fix="keep one entry with both reasons"
        )
    return found
