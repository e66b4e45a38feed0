"""A sample as one offline page: every token, the pictures with their grids, the mask, and where a model looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelword.explain.looking import Look
from pixelword.explain.sample import Sample, SeenPicture, visible
from pixelword.report import (
    Code,
    CurvePlot,
    Fold,
    Listing,
    MaskPicture,
    Page,
    Paragraph,
    Picture,
    Piece,
    Segment,
    Series,
    SideBySide,
    Stage,
    Table,
    Tile,
    Tiles,
    Token,
    TokenGrid,
    TokenStrip,
)

MOST_PAIRS = 1024
"""Side of the mask's picture; a longer sample is shown in blocks whose shade is the share of allowed pairs."""
NUMBERED = 40
"""A grid with more rows or columns carries no numbers; they would not fit."""

SHARED = "A word has T = H = W. A picture is one step of T, and its rows and columns count on from there."
RULES = {
    "native": "Words advance T by one. All tokens of a picture share one T and differ in H and W.",
    "1d": "Every token advances all three by one, also inside a picture.",
}


def sample_page(sample: Sample, question: str, look: Look | None = None, footer: str = "") -> Page:
    """The page of a sample; `page.write(path)` writes it.

    Args:
        sample: what to show.
        question: as it was asked.
        look: where a model looks, if there is one.
        footer: one line at the end, such as the model's name.
    """
    page = Page("How one sample is read", question, footer)
    in_pictures = sum(picture.rows * picture.columns for picture in sample.pictures)
    page.add(
        Tiles(
            [
                Tile(str(len(sample.tokens)), "tokens in all"),
                Tile(str(in_pictures), "of them from pictures"),
                Tile(str(sample.next_time), "steps of T before the answer"),
            ]
        )
    )
    page.section("Pictures and their tokens", *picture_pieces(sample))
    page.section("Where the tokens stand", *strip_pieces(sample))
    page.section("Who attends to whom", *mask_pieces(sample))
    if look is not None:
        page.section("Where the model looks", *look_pieces(sample, look))
    page.section("Every token", Fold(f"All {len(sample.tokens)} tokens", [token_listing(sample)]))
    return page


def picture_pieces(sample: Sample) -> list[Piece]:
    if not sample.pictures:
        return [Paragraph("This sample has no picture.")]
    words = Paragraph(
        "Each picture as the model gets it, after resizing. Each cell of the grid is one token; its row is the index H,"
        " its column the index W."
    )
    return [words, SideBySide([grid_of(picture) for picture in sample.pictures], narrowest=340)]


def grid_of(picture: SeenPicture, weights: NDArray[np.float32] | None = None, caption: str = "") -> TokenGrid:
    width, height = picture.image.size
    return TokenGrid(
        Picture(picture.image, alt=picture.name),
        picture.rows,
        picture.columns,
        caption or f"{picture.name}: {width} x {height} pixels, {picture.rows} x {picture.columns} tokens",
        weights=None if weights is None else weights.reshape(picture.rows, picture.columns).tolist(),
        numbered=max(picture.rows, picture.columns) <= NUMBERED,
    )


def strip_pieces(sample: Sample) -> list[Piece]:
    words = Paragraph("Position scheme ", Code(sample.scheme), ". ", RULES.get(sample.scheme, SHARED))
    tokens = [
        Token("img" if token.kind == "image" else token.text, token.kind, token.indices, f"token {at}")
        for at, token in enumerate(sample.tokens)
    ]
    return [words, TokenStrip(tokens, "The sample; the middle of each picture is folded.", keep=4)]


def mask_pieces(sample: Sample) -> list[Piece]:
    words = Paragraph(
        "Attention pattern ",
        Code(sample.pattern),
        ". Words see what came before them; the tokens of one picture see each other in both directions."
        if sample.pattern == "mixed"
        else ". Every token sees what came before it, also inside a picture.",
    )
    weights, size = in_blocks(sample.allowed)
    segments = [
        Segment(part.name, part.start // size, max(part.start // size + 1, part.stop // size), part.kind)
        for part in sample.parts
    ]
    caption = f"One cell is {size} x {size} tokens." if size > 1 else "One cell is one pair of tokens."
    names = [part.name for part in sample.parts]
    rows = [[part.name, *relations] for part, relations in zip(sample.parts, sample.relations, strict=True)]
    return [
        words,
        MaskPicture(weights, segments, caption),
        Table(["sees", *names], rows, caption="The same in words: how much of each part a row sees."),
    ]


def in_blocks(allowed: NDArray[np.bool_], most: int = MOST_PAIRS) -> tuple[NDArray[np.float64], int]:
    """The mask in square blocks of tokens, at most `most` of them along a side, and the side of a block."""
    size = -(-len(allowed) // most)
    missing = -len(allowed) % size
    filled = np.pad(allowed.astype(np.float64), ((0, missing), (0, missing)), mode="edge")
    count = len(filled) // size
    return filled.reshape(count, size, count, size).mean((1, 3)), size


def look_pieces(sample: Sample, look: Look) -> list[Piece]:
    layers = list(range(1, len(look.attention) + 1))
    series = [
        Series(part.name, layers, look.attention[:, part.start : part.stop].sum(1).tolist()) for part in sample.parts
    ]
    stages = [Stage("pre-Buffer", 1), Stage("behind it", look.pre_buffer_layers + 1)]
    split = 0 < look.pre_buffer_layers < len(layers)
    plot = CurvePlot(
        series,
        caption="What share of the last token's attention goes to each part, mean over heads.",
        x_label="layer",
        y_label="share of attention",
        stages=stages if split else [],
    )
    likely = Table(
        ["first token of the answer", "probability"],
        [[Code(text), share] for text, share in look.likely],
        caption="What the model would write first.",
    )
    grids = [
        grid_of(picture, brightest(attention[part.start : part.stop]), f"{picture.name}, {name}")
        for picture, part in zip(sample.pictures, (p for p in sample.parts if p.kind == "image"), strict=True)
        for name, attention in look.stages
    ]
    words = Paragraph(
        "Attention of the last token of the prompt, which predicts the first token of the answer. On the pictures the"
        " strongest token of each is full. Attention shows what is read, not why an answer is given.",
        tone="note",
    )
    return [words, likely, plot, *([SideBySide(grids)] if grids else [])]


def brightest(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled so that the strongest is 1."""
    return attention / max(float(attention.max()), 1e-12)


def token_listing(sample: Sample) -> Listing:
    """Every token on a line of its own."""
    heads = ("token", "T", "H", "W", "sees")
    lines = ["".join(f"{head:>7}" for head in heads[:4]) + f"  {heads[4]:<14}text"]
    for at, token in enumerate(sample.tokens):
        numbers = "".join(f"{number:>7}" for number in (at, *token.indices))
        lines.append(f"{numbers}  {f'{token.first} to {token.last}':<14}{visible(token.text)}")
    return Listing("\n".join(lines))
