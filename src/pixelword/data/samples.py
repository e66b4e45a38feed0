"""From a row to a training sample: ids, labels, and where its pictures are.

A row is one of
    conversations   LLaVA: [{"from": "human", "value": ...}, ...] with `image`, `images`, `video` or `videos`
    messages        TRL: [{"role": "user", "content": ...}, ...] with the same keys
    caption         a picture and what is to be said about it
    text            text alone, learned from its second token on

`<image>` and `<video>` in a user's text take the row's pictures and films in order. A film becomes its frames, each
behind its time. Rules of the chat format are those of `pixelword.model.chat_labels`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelword.data.batch import ReadySample
from pixelword.data.conversations import Picture, as_row_error, inside, mappings, placed, several, with_tags
from pixelword.data.media import locate, picture_size
from pixelword.data.records import Record, RowError
from pixelword.data.video import frame_times, measure
from pixelword.errors import ImageError
from pixelword.model.chat import Turn, check_counts, read_turns
from pixelword.model.chat_labels import IGNORED, LabelledText, encode_turns, read_record
from pixelword.model.image_grid import image_tokens
from pixelword.model.image_reading import ImageReading
from pixelword.model.processing import NeoProcessor
from pixelword.recipe import VideoSettings

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """A training sample without its pixels.

    Attributes:
        source, block, place, name: of its row.
        input_ids, labels: see `LabelledText`.
        pictures: in the order of their placeholders.
        grids: (1, rows, columns) of patches of each image.
    """

    source: str
    block: int
    place: int
    name: str
    input_ids: list[int] = field(repr=False)
    labels: list[int] = field(repr=False)
    pictures: tuple[Picture, ...] = ()
    grids: tuple[Grid, ...] = ()

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def checksum(self) -> int:
        """Changes when the ids or what is learned of them does."""
        return zlib.crc32(np.array([self.input_ids, self.labels], np.int64).tobytes())


@dataclass(frozen=True)
class Encoder:
    """Rows to samples, and samples to what the model reads.

    Args:
        processor: its tokenizer, its rules for special tokens, and its image settings.
        max_tokens: a longer sample is a bad row; nothing is cut.
        video: which frames of a film are read.
    """

    processor: NeoProcessor
    max_tokens: int
    video: VideoSettings = field(default_factory=VideoSettings)

    def encode(self, record: Record) -> Sample:
        """Ids and labels of a row; of its pictures only the headers are read.

        Raises:
            RowError: the row cannot be used; its reason says why.
        """
        if isinstance(record.content, RowError):
            raise record.content
        row, name = record.content, record.name
        pictures = list(self._pictures(row, record.root, name))
        turns, pictures = self._turns(row, pictures, name)
        grids = self._grids(pictures)
        text = self._text(row, name) if turns is None else self._conversation(turns, grids, name)
        if len(text.input_ids) > self.max_tokens:
            raise RowError(
                f"{name} is longer than {self.max_tokens} tokens",
                reason="too long",
                got=f"{len(text.input_ids)} tokens, {sum(self._tokens(grids))} of them of pictures",
                fix="raise packing.max_sample, lower images.max_pixels, or shorten the row",
            )
        return Sample(
            record.source, record.block, record.place, name, text.input_ids, text.labels, tuple(pictures), tuple(grids)
        )

    def ready(self, sample: Sample) -> ReadySample:
        """The sample with its pixels, decoded here and nowhere else.

        Raises:
            RowError: a picture or film cannot be decoded, or is not as large as its header said.
        """
        pixels = None
        if sample.pictures:
            pixels, grids = self._pixels(sample)
            if grids != sample.grids:
                raise RowError(
                    f"{sample.name}: a picture is not as large as its header said",
                    reason="broken image",
                    got=f"{grids} instead of {sample.grids}",
                )
        return ReadySample(
            name=sample.name,
            source=sample.source,
            input_ids=sample.input_ids,
            labels=sample.labels,
            pixel_values=pixels,
            grids=sample.grids,
        )

    def _pixels(self, sample: Sample) -> tuple[Any, tuple[Grid, ...]]:
        try:
            images = [image for picture in sample.pictures for image in picture.decode()]
            inputs = self.processor.image_processor.preprocess([images])
        except ImageError as error:
            what = f"{sample.name}: {error.what}"
            raise RowError(what, reason="broken image", got=error.got, fix=error.fix) from error
        except OSError as error:
            raise RowError(f"{sample.name}: a picture's file is gone", reason="missing file", got=error) from error
        return np.asarray(inputs["pixel_values"]), tuple(tuple(grid) for grid in inputs["image_grid_thw"].tolist())

    def _pictures(self, row: Mapping[str, Any], root: Path | None, name: str) -> Iterator[Picture]:
        """The row's pictures, then its films."""
        settings = self.processor.image_processor
        reading = ImageReading(settings.apply_exif, settings.animated, settings.max_input_pixels)
        for place, value in enumerate(several(row, "image") or inside(row, "image")):
            at = f"{name}, image {place}"
            media = locate(value, root, at)
            yield Picture(media, at, picture_size(media, reading, at))
        for place, value in enumerate(several(row, "video") or inside(row, "video")):
            at = f"{name}, video {place}"
            media = locate(value, root, at)
            if isinstance(media, Image.Image):
                raise RowError(f"{at} is a picture", reason="broken video", got=type(media).__name__)
            height, width, seconds = measure(media, at)
            yield Picture(media, at, (height, width), frame_times(seconds, self.video))

    def _grids(self, pictures: Sequence[Picture]) -> list[Grid]:
        images = sum(picture.images for picture in pictures)
        try:
            return [
                self.processor.image_processor.token_grid(*picture.size, images=images, name=picture.name)
                for picture in pictures
                for _ in range(picture.images)
            ]
        except ImageError as error:
            raise RowError(error.what, reason="broken image", got=error.got, fix=error.fix) from error

    def _tokens(self, grids: Sequence[Grid]) -> list[int]:
        return image_tokens([list(grid) for grid in grids], self.processor.image_processor.merge_size)

    def _turns(
        self, row: Mapping[str, Any], pictures: list[Picture], name: str
    ) -> tuple[list[Turn] | None, list[Picture]]:
        """The row's conversation, and its pictures in the order of the tags; None for text alone."""
        special = self.processor.special
        with as_row_error():
            if row.get("conversations") is not None:
                items = mappings(row["conversations"], name)
                items, pictures = placed(items, "value", ("human", "user"), pictures, name)
                return read_record(items, sum(picture.images for picture in pictures), special, name), pictures
            if row.get("messages") is not None:
                items = mappings(row["messages"], name)
                items, pictures = placed(with_tags(items, pictures), "content", ("user",), pictures, name)
                return read_turns(items, special, name), pictures
            if row.get("caption") is not None:
                asked = [{"type": "image"} for picture in pictures for _ in range(picture.images)]
                items = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["caption"]}]
                return read_turns(items, special, name), pictures
        if isinstance(row.get("text"), str) and not pictures:
            return None, pictures
        raise RowError(
            f"{name} is no training row",
            reason="no row",
            got=", ".join(map(str, row)) or "no keys",
            fix="give conversations, messages, a caption with its picture, or text alone",
        )

    def _conversation(self, turns: list[Turn], grids: Sequence[Grid], name: str) -> LabelledText:
        learned = [turn for turn in turns if turn.learn]
        if not learned or any(not turn.text.strip() for turn in learned):
            raise RowError(
                f"{name} has no answer, or an empty one",
                reason="empty answer",
                got=f"{len(learned)} answers",
                fix="write the answer or leave the row out",
            )
        with as_row_error("counts differ"):
            check_counts(sum(len(turn.images) for turn in turns), len(grids), name)
        with as_row_error():
            return encode_turns(turns, self.processor.tokenizer, self._tokens(grids), name)

    def _text(self, row: Mapping[str, Any], name: str) -> LabelledText:
        """Text alone, and the token that ends it; the collator leaves out its first label."""
        with as_row_error():
            text = self.processor.special.clean(row["text"], "user", tag=True, where=name)
        if not text.strip():
            raise RowError(f"{name} holds no text", reason="empty answer", got=repr(text), fix="leave it out")
        tokenizer = self.processor.tokenizer
        ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
        ids.append(end if end is not None else self.processor.token_ids.turn_end)
        return LabelledText(ids, [IGNORED, *ids[1:]])
