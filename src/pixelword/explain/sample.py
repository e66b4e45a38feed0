"""One sample taken apart: its tokens, where they stand, what they may look at, and the pictures as the model gets them.

Legend: N tokens of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelword.errors import PromptError
from pixelword.model import NeoConfig, NeoProcessor
from pixelword.model.layout import token_layout
from pixelword.model.masks import dense_mask

if TYPE_CHECKING:
    import torch

Kind = Literal["text", "image", "special"]
Relation = Literal["all", "up to itself", "none", "some"]


@dataclass(frozen=True)
class SampleToken:
    """One token.

    Attributes:
        text: what it stands for.
        kind: "image", "special" (a mark of the chat format) or "text".
        indices: T, H and W.
        first, last: the keys it may attend to, both included.
    """

    text: str
    kind: Kind
    indices: tuple[int, int, int]
    first: int
    last: int


@dataclass(frozen=True)
class Part:
    """A run of tokens, from `start` up to but not including `stop`: a picture, or the words between two."""

    name: str
    start: int
    stop: int
    kind: Literal["text", "image"]


@dataclass(frozen=True)
class SeenPicture:
    """A picture after resizing, as the pixels that the model gets, cut into rows x columns of tokens."""

    name: str
    image: Image.Image
    rows: int
    columns: int


@dataclass(frozen=True)
class Sample:
    """A question with its pictures, as the model sees it.

    Attributes:
        tokens: all N, in order.
        parts: pictures and the words between them; together they are the whole sample.
        allowed: (N, N) bool, [query, key], True where a query may attend to a key.
        pictures: in the order of the prompt.
        inputs: what the model is called with.
        scheme, pattern: the configuration's position scheme and attention pattern.
    """

    tokens: tuple[SampleToken, ...]
    parts: tuple[Part, ...]
    allowed: NDArray[np.bool_]
    pictures: tuple[SeenPicture, ...]
    inputs: Mapping[str, torch.Tensor]
    scheme: str
    pattern: str

    @cached_property
    def relations(self) -> list[list[Relation]]:
        """[query part][key part]: how much of the one the other sees."""
        return [[self._relation(query, key) for key in self.parts] for query in self.parts]

    def _relation(self, query: Part, key: Part) -> Relation:
        pairs = self.allowed[query.start : query.stop, key.start : key.stop]
        if pairs.all():
            return "all"
        if not pairs.any():
            return "none"
        causal = query == key and np.array_equal(pairs, np.tri(len(pairs), dtype=np.bool_))
        return "up to itself" if causal else "some"

    @property
    def next_time(self) -> int:
        """The index T of the first token of the answer."""
        return max(token.indices[0] for token in self.tokens) + 1


def take_apart(config: NeoConfig, processor: NeoProcessor, images: Sequence[Any], question: str) -> Sample:
    """Build a sample as a conversation's first turn and lay it out; needs no weights.

    Args:
        config: of the model.
        processor: of the model.
        images: pictures before the question: paths, bytes or Pillow images.
        question: special tokens in it are not obeyed.

    Raises:
        PromptError: neither a picture nor a word.
        ImageError: a picture that cannot be read.
    """
    if not images and not question:
        raise PromptError("there is nothing to explain", got="no picture and no question", fix="give one of them")
    parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    ids = inputs["input_ids"]
    layout = token_layout(config, ids, inputs.get("image_grid_thw"))
    allowed = dense_mask(layout, ids.shape[1])[0, 0].numpy()
    image_ids = layout.image_ids[0].tolist()
    positions = layout.position_ids[:, 0].T.tolist()
    texts, kinds = words_of(ids[0].tolist(), processor), kinds_of(ids[0].tolist(), image_ids, processor)
    tokens = tuple(
        SampleToken(text, kind, (t, h, w), int(row.argmax()), len(row) - 1 - int(row[::-1].argmax()))
        for text, kind, (t, h, w), row in zip(texts, kinds, positions, allowed, strict=True)
    )
    return Sample(
        tokens=tokens,
        parts=tuple(parts_of(image_ids)),
        allowed=allowed,
        pictures=tuple(pictures_of(inputs, processor)),
        inputs={name: value for name, value in inputs.items() if name != "attention_mask"},
        scheme=config.llm_config.rope_scheme,
        pattern=config.llm_config.attention_pattern,
    )


def words_of(ids: Sequence[int], processor: NeoProcessor) -> list[str]:
    """The text of each token; half a character is shown as the tokenizer writes it."""
    tokenizer = processor.tokenizer
    decoded = {index: tokenizer.decode([index]) for index in set(ids)}
    names = {index: tokenizer.convert_ids_to_tokens(index) or f"<{index}>" for index in decoded}
    return [names[index] if "\ufffd" in decoded[index] or not decoded[index] else decoded[index] for index in ids]


def kinds_of(ids: Sequence[int], image_ids: Sequence[int], processor: NeoProcessor) -> list[Kind]:
    special = set(processor.tokenizer.get_added_vocab().values())
    return [
        "image" if image >= 0 else "special" if index in special else "text"
        for index, image in zip(ids, image_ids, strict=True)
    ]


def parts_of(image_ids: Sequence[int]) -> list[Part]:
    """Runs of equal image number (-1 for words), named."""
    borders = [0, *(at for at in range(1, len(image_ids)) if image_ids[at] != image_ids[at - 1]), len(image_ids)]
    parts, words = [], 0
    for start, stop in pairwise(borders):
        if image_ids[start] >= 0:
            parts.append(Part(f"picture {image_ids[start] + 1}", start, stop, "image"))
        else:
            words += 1
            parts.append(Part(f"words {words}", start, stop, "text"))
    return parts


def pictures_of(inputs: Mapping[str, Any], processor: NeoProcessor) -> list[SeenPicture]:
    """The patch matrices put together again: the very pixels that go into the model."""
    if "pixel_values" not in inputs:
        return []
    reader = processor.image_processor
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (reader.image_mean, reader.image_std))
    grids = inputs["image_grid_thw"].tolist()
    matrices = np.split(inputs["pixel_values"].numpy(), np.cumsum([rows * columns for _, rows, columns in grids])[:-1])
    side, pictures = reader.patch_size, []
    for number, ((_, rows, columns), patches) in enumerate(zip(grids, matrices, strict=True), 1):
        cut = patches.reshape(rows, columns, 3, side, side).transpose(2, 0, 3, 1, 4)
        pixels = cut.reshape(3, rows * side, columns * side) * std + mean
        image = Image.fromarray((pixels * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
        merge = reader.merge_size
        pictures.append(SeenPicture(f"picture {number}", image, rows // merge, columns // merge))
    return pictures


def visible(text: str) -> str:
    """A token on one line: blanks and line ends as signs, nothing that commands a terminal."""
    signs = text.replace(" ", "\u00b7").replace("\n", "\u21b5").replace("\t", "\u2192")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in signs)
