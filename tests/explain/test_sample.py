"""A sample taken apart, against the rules spelled out slowly."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelword.errors import ImageError, PromptError
from pixelword.explain import take_apart

QUESTION = "a b?"


def spelled_out(rows_and_columns: list[tuple[int, int]]) -> tuple[list[str], list[tuple[int, int, int]], list[int]]:
    """Texts, indices, and the number of the picture of each token (-1 for words), one token after the other."""
    texts, indices, picture_of, time = [], [], [], -1

    def word(text: str) -> None:
        nonlocal time
        time += 1
        texts.append(text)
        indices.append((time, 0, 0))
        picture_of.append(-1)

    for text in ("<|im_start|>", *"user\n"):
        word(text)
    for number, (rows, columns) in enumerate(rows_and_columns):
        word("<img>")
        time += 1
        for row in range(rows):
            for column in range(columns):
                texts.append("<IMG_CONTEXT>")
                indices.append((time, row, column))
                picture_of.append(number)
        for text in ("</img>", "\n"):
            word(text)
    for text in (*QUESTION, "<|im_end|>", "\n", "<|im_start|>", *"assistant\n"):
        word(text)
    return texts, indices, picture_of


@pytest.mark.parametrize("pattern", ["mixed", "causal"])
def test_tokens_indices_and_mask_are_those_of_the_rules(make_model, pictures, pattern):
    model, processor = make_model(attention_pattern=pattern)
    sample = take_apart(model.config, processor, pictures, QUESTION)
    grids = [(picture.rows, picture.columns) for picture in sample.pictures]
    assert grids == [(2, 4), (5, 3)]
    texts, indices, picture_of = spelled_out(grids)
    assert [token.text for token in sample.tokens] == texts
    assert [token.indices for token in sample.tokens] == indices
    for query in range(len(texts)):
        for key in range(len(texts)):
            same = pattern == "mixed" and picture_of[query] == picture_of[key] >= 0
            assert sample.allowed[query, key] == (key <= query or same), (query, key)
        sees = [key for key in range(len(texts)) if sample.allowed[query, key]]
        assert (sample.tokens[query].first, sample.tokens[query].last) == (min(sees), max(sees))
    assert sample.next_time == indices[-1][0] + 1
    kinds = {"<img>": "special", "</img>": "special", "<|im_start|>": "special", "<|im_end|>": "special"}
    assert [token.kind for token in sample.tokens] == [
        "image" if picture >= 0 else kinds.get(text, "text") for text, picture in zip(texts, picture_of, strict=True)
    ]


def test_the_parts_cover_the_sample_and_say_who_sees_whom(make_model, pictures):
    model, processor = make_model()
    sample = take_apart(model.config, processor, pictures, QUESTION)
    names = ["words 1", "picture 1", "words 2", "picture 2", "words 3"]
    assert [part.name for part in sample.parts] == names
    assert [part.start for part in sample.parts] == [0, *(part.stop for part in sample.parts[:-1])]
    assert sample.parts[-1].stop == len(sample.tokens)
    own, before, after = "up to itself", "all", "none"
    assert sample.relations == [
        [own, after, after, after, after],
        [before, before, after, after, after],
        [before, before, own, after, after],
        [before, before, before, before, after],
        [before, before, before, before, own],
    ]
    model, processor = make_model(attention_pattern="causal")
    assert take_apart(model.config, processor, pictures, QUESTION).relations[1][1] == own


def test_the_pictures_shown_are_the_pixels_the_model_gets(make_model, pictures):
    model, processor = make_model()
    sample = take_apart(model.config, processor, pictures, QUESTION)
    for seen, picture in zip(sample.pictures, pictures, strict=True):
        size = (seen.columns * 8, seen.rows * 8)
        assert seen.image.size == size
        resized = picture.resize(size, Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(seen.image), np.asarray(resized))


@pytest.mark.parametrize("scheme", ["1d", "il", "m", "mm", "video"])
def test_other_schemes_show_their_own_indices(make_model, pictures, scheme):
    model, processor = make_model(rope_scheme=scheme)
    sample = take_apart(model.config, processor, pictures, QUESTION)
    assert sample.scheme == scheme
    start = next(at for at, token in enumerate(sample.tokens) if token.kind == "image")
    (t, h, w), (next_t, _, next_w) = sample.tokens[start].indices, sample.tokens[start + 1].indices
    assert t == h == w == start
    assert (next_t - t, next_w - w) == ((1, 1) if scheme == "1d" else (0, 1))


def test_words_alone_and_a_picture_alone(make_model, pictures):
    model, processor = make_model()
    words = take_apart(model.config, processor, [], "hi")
    assert (words.pictures, [part.name for part in words.parts]) == ((), ["words 1"])
    picture = take_apart(model.config, processor, pictures[:1], "")
    assert [part.name for part in picture.parts] == ["words 1", "picture 1", "words 2"]
    with pytest.raises(PromptError, match="nothing to explain"):
        take_apart(model.config, processor, [], "")
    with pytest.raises(ImageError):
        take_apart(model.config, processor, ["/nowhere.png"], "")


def test_special_tokens_in_a_question_are_shown_as_words(make_model):
    model, processor = make_model()
    sample = take_apart(model.config, processor, [], "<|im_end|><img><IMG_CONTEXT>")
    assert [token.text for token in sample.tokens if token.kind == "special"] == [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_start|>",
    ]
