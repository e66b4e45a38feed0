"""Hostile text in every field of every piece: it is shown, and none of it becomes a tag, an attribute or a script."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.report import (
    Answer,
    ArrowPlot,
    BarGroup,
    BarPlot,
    Card,
    Code,
    CurvePlot,
    Emphasis,
    Fold,
    Gallery,
    Heading,
    Link,
    Listing,
    MaskPicture,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Segment,
    Series,
    SideBySide,
    StackedBars,
    Stage,
    Strong,
    Table,
    Tile,
    Tiles,
    Token,
    TokenGrid,
    TokenStrip,
    sentence,
)
from tests.report.reading import Element, read

ATTACKS = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title></head><body onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" style="background:url(http://example.org/x)',
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>",
    "]]><!--<script>--><![CDATA[",
    "</text></svg><iframe srcdoc='<script>alert(1)</script>'>",
    "{{ 7 * 7 }}{% include 'page.html' %}{#",
    "&lt;script&gt;&#60;b&#62;",
    "javascript:alert(1)",
    "\x00<\x00s\ud800cript>",
    "$\\href{http://example.org}{x}$",
]
PIECES = st.lists(
    st.sampled_from([*ATTACKS, "<", ">", "&", '"', "'", "`", "=", "/", " ", "\n", "a", "眼", "\u202e", "{", "}"]),
    max_size=4,
)
HOSTILE = PIECES.map("".join) | st.text(st.characters(codec=None), max_size=20)
PIXELS = Image.new("RGB", (2, 2))


def page_with(text: str) -> Page:
    """Every piece, with this text in every field that takes one."""
    page = Page(text, text, text)
    picture = Picture(PIXELS, text, text)
    words = (text, Code(text), Strong(text), Emphasis(text), Link(text, "place"), *sentence("{a}", a=text))
    page.add(Paragraph(*words), Heading(words), Tiles([Tile(text, words, words), Tile(Proportion(1, 2), text, text)]))
    page.section(
        text,
        Table([text, words], [[text, words], [Proportion(1, 2), None]], text),
        Listing(text, text),
        Fold(words, [Paragraph(text, tone="warning")]),
        SideBySide([picture, TokenGrid(picture, 2, 2, words)]),
        TokenStrip([Token(text, "text", (1, 2, 3), text)], words, names=(text, text, text)),
        MaskPicture(np.eye(3), [Segment(text, 0, 2), Segment(text, 2, 3, "image")], text),
        anchor="place",
    )
    answers = [Answer(words, words, words, right) for right in (True, False, None)]
    cards = [
        Card(picture, answers[:1], text, [text], facets={text: text}),
        Card(picture, answers, words, [text, text + "2"], [Listing(text)], [picture], {text: text + "2"}),
        Card(None),
    ]
    page.section(text, Gallery(cards, text), StackedBars([text, text], [(words, [1, 2]), (text, [0, 3])], text))
    return page


def plots_with(text: str) -> Page:
    page = Page("plots")
    page.section(
        "plots",
        CurvePlot(
            [Series(text, [1, 2], [1, 2]), Series(text, [1], [1])],
            text,
            text,
            text,
            stages=[Stage(text, 1), Stage(text, 2)],
        ),
        BarPlot([text, text], [BarGroup(text, [Proportion(1, 2), None])], 0.5, text, text),
        ArrowPlot([text, text], (text, text), [Proportion(1, 2), None], [Proportion(2, 2), None], 0.5, text, text),
    )
    return page


def shape(element: Element) -> object:
    """The tags of a tree and the names of their attributes: what a browser acts on."""
    return element.tag, sorted(element.attributes), [shape(child) for child in element.children]


HARMLESS = shape(read(page_with("text").html()))
HARMLESS_PLOTS = {element.tag for element in read(plots_with("text").html()).walk()}


def every_attack(test):
    for attack in ATTACKS:
        test = example(attack)(test)
    return test


@settings(max_examples=60)
@given(HOSTILE.filter(bool))
@every_attack
def test_hostile_text_changes_no_tag_and_no_attribute_of_a_page(text):
    html = page_with(text).html()
    root = read(html)
    assert shape(root) == HARMLESS
    html.encode()
    assert nothing_foreign(root)


@settings(max_examples=5)
@given(HOSTILE)
@every_attack
def test_hostile_text_adds_no_tag_to_a_plot(text):
    root = read(plots_with(text).html())
    assert {element.tag for element in root.walk()} <= HARMLESS_PLOTS
    assert not [name for element in root.walk() for name in element.attributes if name.startswith("on")]
    assert nothing_foreign(root)


def nothing_foreign(root: Element) -> bool:
    """Every address leads into the page or holds its own data, and no style of an element fetches anything."""
    for element in root.walk():
        for name, value in element.attributes.items():
            if name in {"src", "href", "srcset", "action", "xlink:href", "data"}:
                assert value.startswith(("data:", "#")), (element.tag, name, value)
            if name == "style":
                assert "url(" not in value.replace("url(data:image/png;base64,", "")
        if element.tag == "style":
            assert "url(" not in element.text
            assert "@import" not in element.text
    return True


def test_text_is_shown_letter_by_letter():
    root = read(page_with(ATTACKS[0]).html())
    assert root.one("title").text == root.one("h1").text == ATTACKS[0]
    assert root.all("img")[0].attributes["alt"] == ATTACKS[0]
    assert root.all("pre")[0].text == ATTACKS[0]
