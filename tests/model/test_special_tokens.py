"""What a user writes is never obeyed, and the model's own tokens have the released ids."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from pixelword.errors import CheckpointError, ConfigError, PromptError
from pixelword.model.special_tokens import (
    BREAK,
    IMAGE_TAG,
    MARKUP,
    NEO_TOKENS,
    SpecialTokens,
    TokenIds,
    add_neo_tokens,
)
from tests.model.prompts import GOLDEN, LITERALS, hostile_text, plain_qwen3, tokenizer

TOKENIZER = tokenizer()
SPECIAL = SpecialTokens.of(TOKENIZER)


def special_ids(text: str) -> list[int]:
    """Ids of added tokens that the bare tokenizer reads in a text."""
    added = set(TOKENIZER.added_tokens_decoder)
    return [index for index in TOKENIZER.encode(text, add_special_tokens=False) if index in added]


@given(text=hostile_text, role=st.sampled_from(["system", "user"]), tag=st.booleans())
@settings(max_examples=400)
def test_no_text_of_a_user_becomes_a_special_token(text, role, tag):
    safe = SPECIAL.clean(text, role, tag=tag, where="text")
    assert special_ids(safe) == []
    assert safe.replace(BREAK, "") == text.replace(BREAK, "")
    assert (IMAGE_TAG in safe) == (IMAGE_TAG in text and not tag)
    assert SPECIAL.clean(safe, role, tag=tag, where="text") == safe
    if safe == text:
        assert special_ids(text) == []


@given(text=hostile_text)
def test_an_assistant_writes_markup_and_nothing_else(text):
    markup = {TOKENIZER.convert_tokens_to_ids(token) for token in MARKUP if token in GOLDEN["special_tokens"]}
    assert set(special_ids(SPECIAL.clean(text, "assistant", tag=True, where="text"))) <= markup
    for token in ("<think>", "<box>", "</ref>"):
        assert special_ids(SPECIAL.clean(token, "assistant", tag=True, where="text"))


@pytest.mark.parametrize("literal", [literal for literal in LITERALS if literal in GOLDEN["special_tokens"]])
def test_every_literal_is_rejected_on_request(literal):
    strict = SpecialTokens.of(TOKENIZER, policy="reject")
    with pytest.raises(PromptError, match="holds a special token") as caught:
        strict.clean(f"before {literal} after", "user", tag=True, where="question")
    assert caught.value.got == literal
    assert strict.clean("nothing special <img", "user", tag=True, where="question") == "nothing special <img"


def test_where_markup_is_obeyed():
    def obeyed(markup: str, role: str) -> bool:
        special = SpecialTokens.of(TOKENIZER, markup=markup)
        return bool(special_ids(special.clean("<box>[[1, 2, 3, 4]]</box>", role, tag=True, where="text")))

    roles = ("system", "user", "assistant")
    assert [obeyed("assistant", role) for role in roles] == [False, False, True]
    assert [obeyed("everywhere", role) for role in roles] == [True, True, True]
    assert [obeyed("nowhere", role) for role in roles] == [False, False, False]
    everywhere = SpecialTokens.of(TOKENIZER, markup="everywhere")
    assert special_ids(everywhere.clean("<|im_end|><img>", "user", tag=True, where="text")) == []


def test_half_characters_and_things_that_are_no_text():
    with pytest.raises(PromptError, match="half a character"):
        SPECIAL.clean("a\ud800b", "user", tag=True, where="question")
    with pytest.raises(PromptError, match="must be text"):
        SPECIAL.clean(7, "user", tag=True, where="question")


def test_settings_that_do_not_exist():
    with pytest.raises(ConfigError):
        SpecialTokens(policy="obey")
    with pytest.raises(ConfigError):
        SpecialTokens(markup="sometimes")


def test_ids_come_from_the_tokenizer():
    known = GOLDEN["special_tokens"]
    assert TokenIds.of(TOKENIZER) == TokenIds(
        known["<IMG_CONTEXT>"], known["<img>"], known["</img>"], known["<|im_start|>"], known["<|im_end|>"]
    )


def test_a_plain_qwen3_tokenizer_gets_the_released_ids():
    qwen3 = plain_qwen3()
    with pytest.raises(CheckpointError, match="add_neo_tokens") as caught:
        TokenIds.of(qwen3)
    assert caught.value.got == "no <IMG_CONTEXT>, <img>, </img>"
    assert add_neo_tokens(qwen3) == 13
    ids = TokenIds.of(qwen3)
    assert (ids.context, ids.image_start, ids.image_end) == (151669, 151670, 151671)
    assert (ids.turn_start, ids.turn_end) == (151644, 151645)
    new = [token for token in NEO_TOKENS if not token.startswith("<|im_")]
    assert qwen3.convert_tokens_to_ids(new) == list(range(151669, 151682))
    assert set(new) <= set(qwen3.all_special_tokens) | set(qwen3.get_added_vocab())
    assert add_neo_tokens(qwen3) == 0
    assert qwen3.decode(qwen3.encode("<box>a</box>"), skip_special_tokens=True) == "a"


def test_a_qwen3_tokenizer_obeys_none_of_its_tokens_either():
    qwen3 = plain_qwen3()
    add_neo_tokens(qwen3)
    special = SpecialTokens.of(qwen3)
    safe = special.clean("".join(qwen3.get_added_vocab()), "user", tag=True, where="text")
    assert not set(qwen3.encode(safe)) & set(qwen3.added_tokens_decoder)


def test_a_tokenizer_that_cannot_be_kept_from_obeying():
    stubborn = tokenizer()
    stubborn.add_tokens(["aba"], special_tokens=True)  # in "ababa" one of two overlapping ones would survive
    with pytest.raises(CheckpointError, match="obeys a special token") as caught:
        SpecialTokens.of(stubborn)
    assert caught.value.got == "'aba'"
    with pytest.raises(CheckpointError):
        TokenIds.of(PreTrainedTokenizerFast(tokenizer_object=tokenizer().backend_tokenizer.from_str(EMPTY)))


EMPTY = '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
