"""A page like the demo's, with made-up measurements: what the demo has to hand over, and what comes out."""

from __future__ import annotations

import math
from itertools import islice
from random import Random

import numpy as np
from PIL import Image

from pixelword.report import (
    Answer,
    BarGroup,
    BarPlot,
    Card,
    Code,
    CurvePlot,
    Fold,
    Gallery,
    Heading,
    Link,
    Listing,
    MaskPicture,
    Page,
    Paragraph,
    Picture,
    Piece,
    Proportion,
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
    disjoint,
    format_count,
    sentence,
)
from pixelword.world import KINDS, examples

ASKED = 256
SIGHTED = dict(zip(KINDS, (244, 250, 255, 247, 231, 249, 240, 203), strict=True))
BLIND = dict(zip(KINDS, (45, 66, 40, 61, 84, 31, 130, 127), strict=True))
UNSEEN = dict(zip(KINDS, (90, 97, 118, 105, 99, 111, 101, 69), strict=True))
CHANCE = (1 / 6, 1 / 4, 1 / 6, 1 / 4, 1 / 3, 1 / 9, 1 / 2, 1 / 2)


def demo_like_page(photos: dict[str, Image.Image]) -> Page:
    sighted, blind, unseen = (
        Proportion(sum(c.values()), n) for c, n in ((SIGHTED, 2048), (BLIND, 2048), (UNSEEN, 1024))
    )
    page = Page(
        "From words to pictures",
        "A small language model was cut open, given eyes, and taught to see: on this machine, in ten minutes.",
        footer="pixelword 0.1.0 · torch 2.13.0 · 2 CPU threads · seed 0 · 21 November 2026",
    )
    page.add(
        Tiles(
            [
                Tile(sighted, "right on pictures it never saw", "2048 questions"),
                Tile(blind, "right with a blank picture", "the same questions"),
                Tile(unseen, "right on pairs never trained", "1024 questions"),
                Tile("9 min 41 s", "from start to this page", "3.3 million parameters"),
            ]
        )
    )
    page.section("What happened", *story(sighted, blind, unseen))
    page.section("Text LM", *text_lm())
    page.section("Surgery", *surgery())
    page.section("Three stages", *three_stages())
    page.section("What it sees", *what_it_sees())
    page.section("Answers", gallery())
    page.section("Real pictures", *real_pictures(photos))
    page.section("One sample, token by token", *explained())
    return page


def story(sighted: Proportion, blind: Proportion, unseen: Proportion) -> list[Piece]:
    apart = "do not overlap" if disjoint(sighted, blind) else "overlap"
    lead = sentence(
        "The model answered {sighted} of the questions about held-out pictures. With a blank picture in place of the "
        "real one it answered {blind}. The two intervals {apart}: it answers from the pixels.",
        sighted=sighted,
        blind=blind,
        apart=apart,
    )
    life = sentence(
        "First it read {captions} captions and learned the words of a drawn world. Then two layers were put under it, "
        "which turn pixels into tokens, and it learned in three stages to read them. About colour and shape pairs that "
        "were kept out of training it answered {unseen}; see {where}.",
        captions=format_count(12480),
        unseen=unseen,
        where=Link("what it sees", "what-it-sees"),
    )
    hardest = sentence(
        "Relations are the hardest: {relations} right, where guessing gives 50 %. Asked {form}, it has to find two "
        "things and compare them.",
        relations=Proportion(SIGHTED["relation"], ASKED),
        form=Code("is circle left of square ?"),
    )
    return [Paragraph(lead, tone="lead"), Paragraph(life), Paragraph(hardest)]


def text_lm() -> list[Piece]:
    random = Random(1)
    steps = list(range(1, 406))
    losses = [0.55 + 3.4 * math.exp(-step / 45) + random.gauss(0, 0.05) for step in steps]
    return [
        Paragraph(
            "A plain language model learns the words, without any picture. Its loss ended at 0.58 nats per word."
        ),
        CurvePlot(
            [
                Series("training", steps, losses),
                Series("held-out", steps[::45], [0.57 + 3.4 * math.exp(-s / 45) for s in steps[::45]], dashed=True),
            ],
            y_label="loss, nats per word",
            caption="Loss of the text model on the words of captions, questions and answers.",
        ),
    ]


def surgery() -> list[Piece]:
    rows = [
        ["patch embedding", 148_224, "new", True, True, True],
        ["pre-Buffer, 2 blocks", 1_083_136, "new", True, True, True],
        ["H and W weights of the 4 blocks above", 197_376, "new, keys at zero", True, True, True],
        ["the 4 blocks above", 1_868_544, "from the text model", False, True, True],
        ["word embeddings and head", 24_576, "from the text model", False, True, True],
        ["all", 3_321_856, "", None, None, None],
    ]
    return [
        Paragraph("The text model became a NEO: its blocks stayed, and what reads pixels was put under and into them."),
        Table(
            ["part", "parameters", "made", "stage 1", "stage 2", "stage 3"],
            rows,
            caption="What the model is made of, and what learns in which stage.",
            emphasize=[5],
        ),
        Paragraph(
            "Before the first stage, text through the new model gave the same words as before: the largest ",
            "difference of a logit was ",
            Code("3.1e-06"),
            ".",
            tone="good",
        ),
    ]


def three_stages() -> list[Piece]:
    random = Random(2)
    ends = (253, 596, 1160)
    steps = list(range(ends[-1]))
    losses, level = [], 2.9
    for step in steps:
        goal, rate = (0.62, 70) if step < ends[0] else (0.22, 110) if step < ends[1] else (0.055, 160)
        level += (goal - level) / rate + (0.5 if step == ends[0] else 0)
        losses.append(level * math.exp(random.gauss(0, 0.12)))
    return [
        CurvePlot(
            [Series("training", steps, losses)],
            y_label="loss, nats per word",
            caption="Loss on a logarithmic axis. The first stage reads captions, the last one answers questions.",
            log_y=True,
            stages=[Stage("1 captions", 0), Stage("2 captions and questions", ends[0]), Stage("3 questions", ends[1])],
        ),
        Table(
            ["stage", "learns", "pictures", "steps", "minutes", "loss at the end", "held-out answers right"],
            [
                ["1", "new parts", 6_072, 253, 1.1, 0.71, Proportion(14, 1024)],
                ["2", "everything", 5_488, 343, 2.2, 0.31, Proportion(786, 1024)],
                ["3", "everything", 9_024, 564, 3.6, 0.058, Proportion(959, 1024)],
            ],
            caption="The three stages. Stage 1 reads captions only, so it cannot answer yet.",
            digits=2,
        ),
    ]


def what_it_sees() -> list[Piece]:
    def group(name: str, counts: dict[str, int], asked: int) -> BarGroup:
        return BarGroup(name, [Proportion(counts[kind], asked) for kind in KINDS])

    blind = BarGroup("blind", group("", BLIND, ASKED).values, colour="grey")
    return [
        Paragraph("Each kind of question was asked equally often, with the picture and with a blank one."),
        BarPlot(
            KINDS,
            [group("sighted", SIGHTED, ASKED), blind, group("pairs never trained", UNSEEN, 128)],
            chance=CHANCE,
            caption="Right answers per kind of question with 95 % intervals. The dashed mark is what guessing gives.",
        ),
        Paragraph("Relations between pairs never trained are not clearly above chance.", tone="warning"),
    ]


def gallery() -> Gallery:
    random = Random(3)
    cards = []
    for example in islice(examples("test", 0, questions=2), 24):
        answers = []
        for question in example.questions:
            right = random.random() < 0.8
            answers.append(Answer(question.text, question.answer if right else "purple", question.answer, right))
        cards.append(
            Card(Picture(example.picture, alt=example.caption), answers, tags=[one.kind for one in example.questions])
        )
    return Gallery(cards, "Twenty-four held-out pictures with two questions each, mistakes first.", narrowest=170)


def real_pictures(photos: dict[str, Image.Image]) -> list[Piece]:
    grids = []
    for name, photo in photos.items():
        columns, rows = photo.width // 32, photo.height // 32
        shown = photo.resize((columns * 32, rows * 32))
        grids.append(
            TokenGrid(
                Picture(shown, max_side=640), rows, columns, (Code(name), f": {columns} by {rows} tokens of 32 px.")
            )
        )
    return [
        Paragraph(
            "Pictures are read at their own size and shape: nothing is cropped to a square. Each field is one token."
        ),
        SideBySide(grids, narrowest=280),
    ]


def explained() -> list[Piece]:
    example = next(examples("test", 5))
    words = ["<|im_start|>", "user", "\n"]
    tokens = [Token(word, "special" if word.startswith("<") else "text", (t, 0, 0)) for t, word in enumerate(words)]
    tokens.append(Token("<img>", "special", (3, 0, 0)))
    side = 8
    tokens += [Token("px", "image", (4, row, column)) for row in range(side) for column in range(side)]
    tail = ["</img>", "\n", "color", "of", "circle", "?", "<|im_end|>"]
    tokens += [Token(word, "special" if word.startswith("<") else "text", (5 + t, 0, 0)) for t, word in enumerate(tail)]
    length, first, last = len(tokens), 4, 4 + side * side
    mask = np.tril(np.ones((length, length), dtype=bool))
    mask[first:last, first:last] = True
    attention = np.exp(-((np.arange(side)[:, None] - 2) ** 2 + (np.arange(side)[None] - 5) ** 2) / 3)
    segments = [Segment("start", 0, first), Segment("picture", first, last, "image"), Segment("question", last, length)]
    picture = Picture(example.picture, width=480)
    lines = [f"{number:3d}  {token.shown:12s} {token.indices}" for number, token in enumerate(tokens)]
    return [
        Paragraph("One question as the model gets it: ", Code("color of circle ?")),
        TokenStrip(tokens, "The tokens with their time, row and column indices. All of a picture share one time."),
        Heading("Who attends to whom"),
        SideBySide(
            [
                MaskPicture(mask, segments, "Words look back only; the tokens of a picture see each other."),
                TokenGrid(
                    picture, side, side, "Where the last token looks, in layer 4.", attention.tolist(), numbered=True
                ),
            ]
        ),
        Fold(
            "as text",
            [Listing("\n".join(lines))],
        ),
    ]
