"""Text in a sentence: values are never read as a form, and what cannot be written is replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.errors import InputError
from pixelword.report import Code, Proportion, sentence
from pixelword.report.words import anchor_of, plain, printable


def test_a_sentence_takes_its_values_in_place():
    said, share = Code("{share}"), Proportion(1, 2)
    assert sentence("{said} in {share}, {said}.", said=said, share=share) == (said, " in ", share, ", ", said, ".")
    assert sentence("no value, {{braces}}") == ("no value, {", "braces}")


@given(st.text(), st.text())
def test_a_value_is_never_read_as_a_form(first, second):
    assert plain(sentence("{first}|{second}", first=first, second=second)) == f"{first}|{second}"


@pytest.mark.parametrize(("form", "values"), [("{a}", {}), ("a", {"a": "x"}), ("{a}", {"b": "x"}), ("{}", {})])
def test_names_and_values_that_do_not_meet(form, values):
    with pytest.raises(InputError, match="one value for each name"):
        sentence(form, **values)


@pytest.mark.parametrize("form", ["{", "a}", "{a"])
def test_a_lonely_brace(form):
    with pytest.raises(InputError, match="come in pairs"):
        sentence(form)


@given(st.text(st.characters(codec=None)))
def test_printable_text_can_be_written_and_stays(text):
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


def test_what_is_replaced():
    assert printable("a\tb\nc") == "a\tb\nc"
    assert printable("\x00\x1b[31m\ud800") == "\ufffd\ufffd[31m\ufffd"
    assert printable("眼 é 😀") == "眼 é 😀"


@given(st.text())
def test_an_anchor_needs_no_escaping(title):
    assert set(anchor_of(title)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert anchor_of(title)


def test_anchors():
    assert anchor_of("What it sees: 3 stages!") == "what-it-sees-3-stages"
    assert anchor_of("眼") == "section"
