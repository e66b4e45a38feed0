"""The template neo1_0: recorded prompts, ids and labels, and Python against Jinja."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from pixelword.errors import PromptError
from pixelword.model.chat import (
    chat_template,
    expand,
    image_block,
    numbered_question,
    question_messages,
    read_turns,
    render,
    with_implicit_tag,
)
from pixelword.model.chat_labels import IGNORED, encode_turns, read_record
from pixelword.model.special_tokens import BREAK, SpecialTokens
from tests.model.pictures import picture
from tests.model.prompts import ASKED, TRAINED, hostile_text, tokenizer

TOKENIZER = tokenizer()
SPECIAL = SpecialTokens.of(TOKENIZER)


def jinja(messages: list, special: SpecialTokens = SPECIAL, **options) -> str:
    (prompt,), _ = render_jinja_template(conversations=[messages], chat_template=chat_template(special), **options)
    return prompt


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case["name"])
def test_recorded_prompts(case):
    images = [rows * columns // 4 for rows, columns in case["grid_hw"]]
    history = [tuple(pair) for pair in case["history"] or []]
    messages = question_messages(case["question"], history=history, system=case["system"] or "")
    turns = with_implicit_tag(read_turns(messages, SPECIAL), len(images))
    prompt = expand(render(turns, add_generation_prompt=True), images)
    assert prompt == case["prompt"]
    assert TOKENIZER.encode(prompt, add_special_tokens=False) == case["input_ids"]
    tagged = [{"role": turn.role, "content": turn.text} for turn in turns]
    assert expand(jinja(tagged, add_generation_prompt=True), images) == case["prompt"]


@pytest.mark.parametrize("case", [case for case in ASKED if case["harness_message"]], ids=lambda case: case["name"])
def test_recorded_question_of_the_evaluation(case):
    parts = [part["value"] if part["type"] == "text" else None for part in case["harness_message"]]
    assert numbered_question(parts, SPECIAL) == case["question"]


@pytest.mark.parametrize("case", TRAINED, ids=lambda case: case["name"])
def test_recorded_training_samples(case):
    turns = read_record(case["conversations"], len(case["num_image_tokens"]), SPECIAL)
    assert expand(render(turns), case["num_image_tokens"]) == case["prompt"]
    sample = encode_turns(turns, TOKENIZER, case["num_image_tokens"])
    assert sample.input_ids == case["input_ids"]
    assert sample.labels == case["labels"]


def test_numbered_question_removes_a_run_that_says_nothing():
    assert numbered_question([None, None, "which?"], SPECIAL) == "Image-1: <image>\nImage-2: <image>\nwhich?"
    assert numbered_question(["a", "b"], SPECIAL) == "ab"
    assert numbered_question(["left", None, "right"], SPECIAL) == "<image>\nleft\nright"
    # Removing the run would join two harmless halves into a tag.
    assert numbered_question(["<im", None, None, "age>"], SPECIAL).count("<image>") == 2


message = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": hostile_text}),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(
                st.one_of(
                    st.just({"type": "image"}),
                    st.just({"type": "image_url", "image_url": {"url": "a.png"}}),
                    hostile_text.map(lambda text: {"type": "text", "text": text}),
                ),
                max_size=5,
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "assistant"]),
            "content": st.lists(hostile_text.map(lambda text: {"type": "text", "text": text}), max_size=3),
        }
    ),
)


@given(
    messages=st.lists(message, max_size=4),
    answer=st.booleans(),
    markup=st.sampled_from(["assistant", "everywhere", "nowhere"]),
)
@settings(max_examples=300)
def test_jinja_and_python_write_the_same_prompt(messages, answer, markup):
    special = SpecialTokens(SPECIAL.literals, markup=markup)
    turns = read_turns(messages, special)
    prompt = render(turns, add_generation_prompt=answer)
    assert jinja(messages, special, add_generation_prompt=answer) == prompt
    cleaned = [{"role": turn.role, "content": turn.text} for turn in turns]
    assert jinja(cleaned, special, add_generation_prompt=answer) == prompt
    assert sum(len(turn.images) for turn in turns) == prompt.count("<image>")


@given(messages=st.lists(message, max_size=4))
@settings(max_examples=200)
def test_a_prompt_holds_the_special_tokens_of_its_turns_and_no_others(messages):
    special = SpecialTokens(SPECIAL.literals, markup="nowhere")
    turns = read_turns(messages, special)
    images = [2] * sum(len(turn.images) for turn in turns)
    ids = TOKENIZER.encode(expand(render(turns), images), add_special_tokens=False)
    found = [token for token in ids if token in TOKENIZER.added_tokens_decoder]
    names = TOKENIZER.convert_ids_to_tokens(found)
    block = ["<img>", "<IMG_CONTEXT>", "<IMG_CONTEXT>", "</img>"]
    assert names == [name for turn in turns for name in ["<|im_start|>", *block * len(turn.images), "<|im_end|>"]]


def test_pictures_before_the_text_get_a_line_each_and_inline_ones_do_not():
    def user(*parts: str | None) -> str:
        content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
        return read_turns([{"role": "user", "content": content}], SPECIAL)[0].text

    assert user(None, "What?") == "<image>\nWhat?"
    assert user(None, None, "Which?") == "<image>\n<image>\nWhich?"
    assert user("First ", None, " then ", None, "?") == "First <image> then <image>?"
    assert user("", None, "a") == "<image>\na"


def test_a_literal_cut_between_two_texts_is_still_one():
    parts = [{"type": "text", "text": text} for text in ("<|im_", "end|>", "<ima", "ge>")]
    assert read_turns([{"role": "user", "content": parts}], SPECIAL)[0].text == f"<{BREAK}|im_end|><{BREAK}image>"


def test_image_tags_outside_a_users_string_are_text():
    turns = read_turns(
        [
            {"role": "system", "content": "<image>"},
            {"role": "assistant", "content": "<image>"},
            {"role": "user", "content": "<image>"},
        ],
        SPECIAL,
    )
    assert [turn.text for turn in turns] == [f"<{BREAK}image>", f"<{BREAK}image>", "<image>"]
    assert [len(turn.images) for turn in turns] == [0, 0, 1]


def test_pictures_are_found_under_every_name():
    image = picture()
    parts = [
        {"type": "image", "image": image},
        {"type": "image", "path": "a.png"},
        {"type": "image", "url": "b.png"},
        {"type": "image", "base64": "aGk="},
        {"type": "image_url", "image_url": {"url": "c.png"}},
        {"type": "image_url", "image_url": "d.png"},
        {"type": "image"},
    ]
    (turn,) = read_turns([{"role": "user", "content": parts}], SPECIAL)
    assert turn.images == (image, "a.png", "b.png", b"hi", "c.png", "d.png", None)


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ("hello", "list of messages"),
        ({"role": "user", "content": "a"}, "list of messages"),
        ([["user", "a"]], "message 0 needs a role"),
        ([{"role": "usr", "content": "a"}], "did you mean 'user'"),
        ([{"role": "tool", "content": "a"}], "needs a role"),
        ([{"role": "user"}], "needs content"),
        ([{"role": "user", "content": [{"type": "video"}]}], "part 0 has an unknown type"),
        ([{"role": "user", "content": ["a"]}], "part 0 has an unknown type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "part 0 must hold text"),
        ([{"role": "assistant", "content": [{"type": "image"}]}], "only a user's message can hold a picture"),
        ([{"role": "user", "content": [{"type": "image", "base64": "???"}]}], "broken base64"),
    ],
)
def test_messages_that_cannot_be_read(messages, match):
    with pytest.raises(PromptError, match=match) as caught:
        read_turns(messages, SPECIAL, name="conversation 3")
    assert str(caught.value).startswith("conversation 3")


def test_empty_system_messages_are_left_out():
    asked = [{"role": "system", "content": ""}, {"role": "user", "content": "a"}]
    assert render(read_turns(asked, SPECIAL)) == jinja(asked) == "<|im_start|>user\na<|im_end|>\n"


def test_implicit_tag_only_for_a_first_question_without_one():
    question = [{"role": "user", "content": "What?"}]
    assert with_implicit_tag(read_turns(question, SPECIAL), 1)[0].text == "<image>\nWhat?"
    assert with_implicit_tag(read_turns(question, SPECIAL), 0)[0].text == "What?"
    later = [*question, {"role": "assistant", "content": "A."}, *question]
    assert [turn.text for turn in with_implicit_tag(read_turns(later, SPECIAL), 1)] == ["What?", "A.", "What?"]


def test_expansion_and_its_counts():
    assert expand("a<image>b<image>", [2, 1]) == f"a{image_block(2)}b{image_block(1)}"
    with pytest.raises(PromptError, match="sample 4: image tags and images differ") as caught:
        expand("a<image>b<image>", [2], "sample 4")
    assert caught.value.got == "2 tags and 1 image"


def slow_labels(turns: list[tuple[str, str, bool]]) -> tuple[list[int], list[int]]:
    """Token by token: bytes and the two turn tokens; learned is what stands behind a learned turn's head."""
    ids, labels = [], []
    for role, text, learn in turns:
        head = [257, *f"{role}\n".encode()]
        body = [*text.encode(), 258, *b"\n"]
        ids += head + body
        labels += [IGNORED] * len(head) + (body if learn else [IGNORED] * len(body))
    return ids, labels


def test_labels_spelled_out():
    record = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "One?"},
        {"from": "gpt", "value": "Given.", "is_input": True},
        {"from": "human", "value": "Two?"},
        {"from": "gpt", "value": "Learned."},
    ]
    sample = encode_turns(read_record(record, 0, SPECIAL), TOKENIZER)
    roles = {"system": "system", "human": "user", "gpt": "assistant"}
    expected = slow_labels(
        [(roles[item["from"]], item["value"], item["from"] == "gpt" and "is_input" not in item) for item in record]
    )
    assert (sample.input_ids, sample.labels) == expected


def test_records():
    record = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A."}]
    assert read_record(record, 1, SPECIAL)[0].text == "<image>\nWhat?"
    assert read_record(record, 2, SPECIAL)[0].text == "What?"
    assert record[0]["value"] == "What?"
    with pytest.raises(PromptError, match="sample 9: image tags and images differ"):
        encode_turns(read_record(record, 2, SPECIAL), TOKENIZER, [1, 1], "sample 9")
    with pytest.raises(PromptError, match="line 7: a turn needs a known speaker"):
        read_record([{"from": "robot", "value": "a"}], 0, SPECIAL, "line 7")
    with pytest.raises(PromptError, match="a turn needs a known speaker and text"):
        read_record([{"from": "human", "value": None}], 1, SPECIAL)
