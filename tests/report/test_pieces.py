"""What pieces hold and how they order it, before anything is drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import InputError
from pixelword.report import (
    Answer,
    BarGroup,
    BarPlot,
    Card,
    Code,
    Gallery,
    MaskPicture,
    Paragraph,
    Picture,
    Proportion,
    Segment,
    Series,
    Table,
    Token,
    TokenGrid,
    TokenStrip,
    sentence,
)

PIXEL = Picture(Image.new("RGB", (1, 1)))


def card(*verdicts: bool | None, title: str = "", tags: tuple[str, ...] = ()) -> Card:
    return Card(PIXEL, [Answer("q", "r", "t", right) for right in verdicts], title, tags)


def test_a_paragraph_takes_parts_and_whole_sentences():
    whole = sentence("a {b}", b=Code("c"))
    assert Paragraph("x", whole, ".") == Paragraph("x", "a ", Code("c"), ".")
    assert Paragraph("x") != Paragraph("x", tone="lead")


def test_a_column_is_numeric_when_all_its_filled_cells_are():
    table = Table(
        ["text", "int", "gaps", "share", "bool", "mixed", "empty"],
        [["a", 1, None, Proportion(1, 2), True, 1, None], ["b", 2, 0.5, None, False, "-", None]],
    )
    assert table.numeric == [False, True, True, True, False, False, False]


def test_how_cells_read():
    table = Table([], [], digits=2)
    cells = [None, True, False, 1234567, 0.126, float("nan"), float("inf"), "x"]
    shown = ["", "yes", "no", "1\u202f234\u202f567", "0.13", "not a number", "inf", "x"]
    assert [table.show(cell) for cell in cells] == shown


def test_a_row_of_the_wrong_length_is_named():
    with pytest.raises(InputError, match="row 1 has 1 cells under 2 columns"):
        Table(["a", "b"], [[1, 2], [3]])


def test_a_card_is_wrong_when_any_answer_is():
    assert card(True, False).verdict == "wrong"
    assert card(False, None).verdict == "wrong"
    assert card(True, True).verdict == "right"
    assert card(True, None).verdict == "open", "what cannot be judged is not right"
    assert card().verdict == "open"


@given(st.lists(st.sampled_from([True, False, None])))
def test_mistakes_come_first_and_nothing_is_lost(verdicts):
    gallery = Gallery([card(right, title=str(number)) for number, right in enumerate(verdicts)])
    numbers = [int(one.title) for one in gallery.ordered]
    order = [False, None, True]
    assert numbers == [n for wanted in order for n, right in enumerate(verdicts) if right is wanted]
    assert dict(gallery.verdicts) == {
        name: verdicts.count(right)
        for name, right in zip(("wrong", "open", "right"), order, strict=True)
        if right in verdicts
    }


def test_tags_count_cards():
    gallery = Gallery([card(True, tags=("b", "a", "b")), card(True, tags=("a",))])
    assert gallery.tags == [("b", 1), ("a", 2)]


@given(st.lists(st.sampled_from(["text", "image", "special"]), max_size=60), st.integers(0, 6))
def test_a_folded_strip_shows_the_ends_of_each_run_and_counts_the_rest(kinds, keep):
    tokens = [Token(str(number), kind) for number, kind in enumerate(kinds)]
    shown = TokenStrip(tokens, keep=keep).shown
    assert TokenStrip(tokens, keep=None).shown == tokens
    place = 0
    for token in shown:
        if token.kind == "fold":
            hidden = int(token.text.split()[0])
            assert {one.kind for one in tokens[place : place + hidden]} == {"image"}
            place += hidden
        else:
            assert token == tokens[place]
            place += 1
    assert place == len(tokens)


def test_spaces_and_line_ends_can_be_seen():
    assert [Token(text).shown for text in (" a", "\n", "\t", "")] == ["\u00b7a", "\u21b5", "\u2192", "\u2205"]


def test_indices_and_names_meet():
    with pytest.raises(InputError, match="one index per name"):
        TokenStrip([Token("a", indices=(1, 2))])


@pytest.mark.parametrize(("rows", "columns", "weights"), [(0, 1, None), (2, 2, [[1, 1]]), (1, 2, [[1]])])
def test_a_grid_and_its_weights_meet(rows, columns, weights):
    with pytest.raises(InputError, match="token grid"):
        TokenGrid(PIXEL, rows, columns, weights=weights)


def test_each_kind_of_key_gets_a_layer_whose_opacity_is_the_attention():
    mask = np.array([[1, 0, 0], [1, 0.5, 0], [1, 1, 1]])
    segments = [Segment("words", 0, 1), Segment("picture", 1, 3, "image")]
    layers = dict(MaskPicture(mask, segments).layers)
    assert set(layers) == {"text", "image"}
    opacity = {kind: np.asarray(opened(uri))[:, :, 1] / 255 for kind, uri in layers.items()}
    assert np.allclose(opacity["text"] + opacity["image"], mask, atol=1 / 255)
    assert not opacity["text"][:, 1:].any()
    assert not opacity["image"][:, :1].any()


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True)))


def test_queries_of_a_cached_step_are_the_last_keys():
    segments = [Segment("past", 0, 3), Segment("middle", 3, 6), Segment("now", 6, 7)]
    mask = MaskPicture(np.ones((2, 7)), segments)
    assert [(one.name, one.start, one.stop) for one in mask.query_segments] == [("middle", 0, 1), ("now", 1, 2)]


@pytest.mark.parametrize("mask", [np.ones(3), np.ones((0, 3)), 1.0])
def test_a_mask_is_a_table(mask):
    with pytest.raises(InputError, match="queries and keys"):
        MaskPicture(mask).shape  # noqa: B018


def test_plots_refuse_what_does_not_meet():
    with pytest.raises(InputError, match="one y per x"):
        Series("a", [1, 2], [1])
    with pytest.raises(InputError, match="one value per category"):
        BarPlot(["a", "b"], [BarGroup("g", [Proportion(1, 2)])])
    with pytest.raises(InputError, match="one value per category"):
        BarPlot(["a"], [BarGroup("g", [None])], chance=[0.1, 0.2])
    with pytest.raises(InputError, match="orange"):
        BarPlot(["a"], [BarGroup("g", [None], colour="orang")])
    with pytest.raises(InputError, match="lower to a higher"):
        BarPlot(["a"], [BarGroup("g", [None])], limits=(1, 1))
