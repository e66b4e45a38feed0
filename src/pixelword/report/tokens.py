"""What a sequence of tokens looks like: the strip with its indices, the grid over the picture, who attends to whom."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from pixelword.errors import InputError
from pixelword.report.pictures import Picture
from pixelword.report.words import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

TokenKind = Literal["text", "image", "special", "fold"]
KIND_COLOUR: dict[TokenKind, str] = {"text": "blue", "image": "orange", "special": "purple", "fold": "grey"}


@dataclass(frozen=True)
class Token:
    """One token of a strip.

    Args:
        text: what it stands for; spaces and line ends are made visible.
        kind: `text`, `image` or `special` (a mark of the chat format).
        indices: its position, shown under it: (T, H, W), or any other numbers that the strip names.
        label: what a reader sees on pointing at it.
    """

    text: str
    kind: TokenKind = "text"
    indices: tuple[int, ...] = ()
    label: str = ""

    @property
    def shown(self) -> str:
        if self.kind == "fold":
            return self.text
        return self.text.replace(" ", "\u00b7").replace("\n", "\u21b5").replace("\t", "\u2192") or "\u2205"


@dataclass(frozen=True)
class TokenStrip:
    """Tokens as chips with their indices under them.

    Args:
        tokens: in the order of the sequence.
        names: names of the indices, in the order of `Token.indices`.
        keep: of a longer run of image tokens, so many at each end are shown; None shows all.
    """

    tokens: Sequence[Token]
    caption: Words = ""
    names: Sequence[str] = ("T", "H", "W")
    keep: int | None = 10
    template: ClassVar[str] = "token_strip.html"

    def __post_init__(self) -> None:
        for number, token in enumerate(self.tokens):
            if token.indices and len(token.indices) != len(self.names):
                raise InputError(
                    "each token has one index per name",
                    got=f"token {number} has {token.indices} for {', '.join(self.names)}",
                    fix="give every token all of them, or none",
                )

    @property
    def shown(self) -> list[Token]:
        """The tokens, with the middle of each long run of image tokens folded into one chip."""
        shown: list[Token] = []
        start = 0
        while start < len(self.tokens):
            end = start + 1
            while self.tokens[start].kind == "image" and end < len(self.tokens) and self.tokens[end].kind == "image":
                end += 1
            run = self.tokens[start:end]
            hidden = 0 if self.keep is None else len(run) - 2 * self.keep
            if hidden > 1 and self.keep is not None:
                fold = Token(f"{hidden} more", "fold")
                shown += [*run[: self.keep], fold, *run[len(run) - self.keep :]]
            else:
                shown += run
            start = end
        return shown


@dataclass(frozen=True)
class TokenGrid:
    """The grid of tokens drawn over the picture they were cut from.

    Args:
        picture: the picture as the model got it, after its resizing.
        rows, columns: tokens from top to bottom and from left to right.
        weights: (rows, columns) in [0, 1]; shades each token, such as attention it receives.
        numbered: writes the H index along the left edge and the W index along the top.
    """

    picture: Picture
    rows: int
    columns: int
    caption: Words = ""
    weights: Sequence[Sequence[float]] | None = None
    numbered: bool = False
    template: ClassVar[str] = "token_grid.html"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise InputError(
                "a token grid has rows and columns", got=f"{self.rows} x {self.columns}", fix="pass at least 1 x 1"
            )
        if self.weights is not None:
            widths = {len(row) for row in self.weights}
            if len(self.weights) != self.rows or widths != {self.columns}:
                raise InputError(
                    "the weights of a token grid have its shape",
                    got=f"{len(self.weights)} rows of {sorted(widths)} for {self.rows} x {self.columns}",
                    fix="pass one weight per token, row by row",
                )

    @property
    def shades(self) -> list[tuple[int, int, str]]:
        """(row, column, opacity) of every token with a weight above 0."""
        return [
            (row, column, f"{min(1.0, weight):.3f}")
            for row, weights in enumerate(self.weights or ())
            for column, weight in enumerate(weights)
            if weight > 0
        ]


@dataclass(frozen=True)
class Segment:
    """A named part of a sequence, from `start` up to but not including `stop`."""

    name: str
    start: int
    stop: int
    kind: TokenKind = "text"


@dataclass(frozen=True)
class MaskPicture:
    """Who attends to whom: a row per query, a column per key, filled where the query sees the key.

    The colour is that of the key's kind, so that a row shows at what its token looks.

    Args:
        mask: (queries, keys), true or a weight in [0, 1] where the query attends.
        segments: named parts of the keys; the last of them are the queries when there are fewer queries than keys.
    """

    mask: ArrayLike
    segments: Sequence[Segment] = ()
    caption: Words = ""
    template: ClassVar[str] = "mask_picture.html"

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        import numpy as np

        weights = np.nan_to_num(np.asarray(self.mask, dtype=np.float64)).clip(0, 1)
        if weights.ndim != 2 or not weights.size:
            raise InputError(
                "a mask is a filled table of queries and keys", got=f"shape {weights.shape}", fix="pass (queries, keys)"
            )
        return weights

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, keys)."""
        queries, keys = self.weights.shape
        return queries, keys

    @property
    def query_segments(self) -> list[Segment]:
        """The segments along the queries, which are the last of the keys."""
        queries, keys = self.shape
        past = keys - queries
        return [
            Segment(segment.name, max(0, segment.start - past), segment.stop - past, segment.kind)
            for segment in self.segments
            if segment.stop > past
        ]

    def colour(self, segment: Segment) -> str:
        """The colour of the page for a segment of this kind."""
        return KIND_COLOUR[segment.kind]

    @property
    def layers(self) -> list[tuple[TokenKind, str]]:
        """For each kind of key, the PNG whose opacity is the attention paid to keys of that kind."""
        import numpy as np

        kinds = np.full(self.shape[1], "text", dtype=object)
        for segment in self.segments:
            kinds[segment.start : segment.stop] = segment.kind
        every: tuple[TokenKind, ...] = ("text", "image", "special")
        return [(kind, opacity_png(self.weights * (kinds == kind))) for kind in every if (kinds == kind).any()]


def opacity_png(opacity: NDArray[np.float64]) -> str:
    """`data:` address of a black picture with this opacity: a CSS mask, so that the page sets the colour."""
    import numpy as np
    from PIL import Image

    alpha = Image.fromarray(np.uint8(np.round(opacity * 255)))
    picture = Image.merge("LA", (Image.new("L", alpha.size), alpha))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
