"""The text in a terminal and the page: complete where they promise it, folded where not, and harmless."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pixelword.explain import SampleText, look, sample_page, take_apart
from pixelword.explain.page import in_blocks


def printed(text: SampleText, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(text)
    return stream.getvalue()


@pytest.fixture
def seen(make_model, pictures):
    model, processor = make_model()
    sample = take_apart(model.config, processor, pictures, "which one?")
    return sample, look(model, processor, sample)


def test_the_terminal_shows_indices_relations_and_looks(seen):
    text = printed(SampleText(*seen))
    assert re.search(r"^ +6 +6 +0 +0 +<img> +0 to 6 *$", text, re.MULTILINE)
    assert re.search(r"^ +8 +7 +0 +1 +<IMG_CONTEXT> +0 to 14 *$", text, re.MULTILINE)
    assert "picture 1: 32 x 16 pixels, 2 x 4 tokens = 8" in text
    assert re.search(r"picture 1 \(7 to 14\) +█ +█ +· +· +·", text)
    assert "Likeliest first tokens" in text
    assert "Likeliest" not in printed(SampleText(seen[0]))


def test_a_long_sample_is_folded_in_the_terminal_and_whole_on_the_page(make_model):
    model, processor = make_model(max_pixels=512 * 512, min_pixels=512 * 512, max_position_embeddings=8192)
    sample = take_apart(model.config, processor, [Image.new("RGB", (64, 64))], "why " * 60)
    assert len(sample.tokens) > 4096
    lines = printed(SampleText(sample)).splitlines()
    assert len(lines) < 80
    assert any(line.split() == ["4102", "7", "63", "63", "<IMG_CONTEXT>", "0", "to", "4102"] for line in lines)
    html = sample_page(sample, "why?").html()
    lines = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+)  \d+ to \d+", html, re.MULTILINE)
    wanted = [(at, *token.indices) for at, token in enumerate(sample.tokens)]
    assert [tuple(map(int, line)) for line in lines] == wanted
    assert len(html) < 5_000_000


def test_what_a_question_contains_stays_text(make_model, seen):
    model, processor = make_model()
    hostile = "[red]<script>alert(1)</script>\x1b[2J[/red]"
    sample = take_apart(model.config, processor, [], hostile)
    text = printed(SampleText(sample))
    assert "\x1b" not in text
    html = sample_page(sample, hostile).html()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_needs_nothing_from_outside_and_says_what_it_shows(seen):
    sample, found = seen
    html = sample_page(sample, "which one?", found, footer="model: tiny").html()
    assert not re.search(r"(src|href)=[\"']?https?:", html)
    for section in ("pictures-and-their-tokens", "who-attends-to-whom", "where-the-model-looks", "every-token"):
        assert f'id="{section}"' in html
    assert html == sample_page(sample, "which one?", found, footer="model: tiny").html()
    assert 'id="where-the-model-looks"' not in sample_page(sample, "which one?").html()


def test_a_large_mask_is_shown_in_blocks_of_its_mean():
    allowed = np.tri(10, dtype=bool)
    small, size = in_blocks(allowed, most=16)
    assert size == 1
    assert np.array_equal(small, allowed)
    blocks, size = in_blocks(allowed, most=5)
    assert (size, blocks.shape) == (2, (5, 5))
    for row in range(5):
        for column in range(5):
            assert blocks[row, column] == allowed[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean()
    assert in_blocks(allowed, most=4)[0].shape == (4, 4)
