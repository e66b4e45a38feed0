"""Claims of the encoder: rows of every kind become ids and labels, pictures are decoded late, bad rows say why."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from pixelword.data.media import FileSlice, locate, picture_size
from pixelword.data.records import BadRows, Record, RowError
from pixelword.data.samples import Encoder, Sample
from pixelword.model.chat_labels import IGNORED
from pixelword.model.image_reading import DEFAULT_READING, ImageReading
from tests.model.processors import small_processor

PROCESSOR = small_processor()
ENCODER = Encoder(PROCESSOR, max_tokens=200)
ASK = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "a cat"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for name, size in {"a.png": (16, 24), "b.png": (32, 8), "c.jpg": (20, 20)}.items():
        Image.new("RGB", size, (200, 30, 60)).save(root / name)
    (root / "sub").mkdir()
    (root / "broken.png").write_bytes(b"\x89PNG nothing")
    whole = (root / "a.png").read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root.parent / "outside.png").write_bytes(whole)
    (root / "empty.png").touch()
    return root


def encode(row: Any, root: Path | None = None, encoder: Encoder = ENCODER) -> Sample:
    return encoder.encode(Record("s", 0, 0, "row 1", row, root))


def reason(row: Any, root: Path | None = None) -> str:
    with pytest.raises(RowError) as caught:
        ENCODER.ready(encode(row, root))
    assert caught.value.fix
    assert "row 1" in caught.value.what
    return caught.value.reason


def written(sample: Sample) -> str:
    """The prompt with every picture as one mark."""
    text = PROCESSOR.tokenizer.decode(sample.input_ids)
    return text.replace("<IMG_CONTEXT>", "").replace("<img></img>", "[]")


def learned(sample: Sample) -> str:
    return PROCESSOR.tokenizer.decode([label for label in sample.labels if label != IGNORED])


def test_a_conversation_is_the_chat_format_and_only_answers_are_learned(root):
    sample = encode({"image": "a.png", "conversations": ASK}, root)
    assert written(sample) == "<|im_start|>user\n[]\nwhat?<|im_end|>\n<|im_start|>assistant\na cat<|im_end|>\n"
    assert learned(sample) == "a cat<|im_end|>\n"


def test_messages_and_captions_say_the_same_as_conversations(root):
    parts = [{"type": "image"}, {"type": "text", "text": "what?"}]
    answer = {"role": "assistant", "content": "a cat"}
    same = [
        {"images": ["a.png"], "messages": [{"role": "user", "content": parts}, answer]},
        {"images": ["a.png"], "messages": [{"role": "user", "content": "<image>\nwhat?"}, answer]},
        {"images": ["a.png"], "messages": [{"role": "user", "content": "what?"}, answer]},
        {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}, parts[1]]}, answer]},
        {"image": "a.png", "conversations": [{"from": "human", "value": "what?"}, ASK[1]]},
    ]
    data = base64.b64encode((root / "a.png").read_bytes()).decode()
    for part in (
        {"type": "image", "base64": data},
        {"type": "image", "url": f"data:image/png;base64,{data}"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image", "path": "a.png", "text": None},
    ):
        same.append({"messages": [{"role": "user", "content": [part, parts[1]]}, answer]})
    expected = encode({"image": "a.png", "conversations": ASK}, root)
    for row in same:
        assert (encode(row, root).input_ids, encode(row, root).labels) == (expected.input_ids, expected.labels)
    caption = encode({"image": "a.png", "caption": "a cat"}, root)
    assert written(caption) == written(expected).replace("what?", "")
    assert learned(caption) == "a cat<|im_end|>\n"


def test_text_alone_is_learned_from_its_second_token_on():
    sample = encode({"text": "some words"})
    assert sample.labels[1:] == sample.input_ids[1:]
    assert sample.labels[0] == IGNORED
    assert PROCESSOR.tokenizer.decode(sample.input_ids).startswith("some words<|")


def test_nothing_is_decoded_before_the_pixels_are_asked_for_and_then_once(root, monkeypatch):
    decoded: list[Any] = []
    end = PngImageFile.load_end
    monkeypatch.setattr(PngImageFile, "load_end", lambda self: (decoded.append(self), end(self))[1])
    row = {"images": ["a.png", "b.png"], "conversations": [{"from": "human", "value": "<image><image>"}, ASK[1]]}
    sample = encode(row, root)
    assert decoded == []
    ready = ENCODER.ready(sample)
    assert len(decoded) == 2
    expected = PROCESSOR.image_processor([[root / "a.png", root / "b.png"]])
    assert np.array_equal(ready.pixel_values, expected["pixel_values"])
    assert [list(grid) for grid in ready.grids] == expected["image_grid_thw"].tolist()


def test_bytes_slices_and_pillow_images_are_pictures_too(root):
    data = (root / "a.png").read_bytes()
    (root / "shard.bin").write_bytes(b"before" + data + b"behind")
    piece = FileSlice(root / "shard.bin", 6, len(data))
    pixels = []
    for picture in ("a.png", data, {"bytes": data, "path": "gone"}, piece, Image.open(root / "a.png")):
        pixels.append(ENCODER.ready(encode({"image": picture, "conversations": ASK}, root)).pixel_values)
    assert all(np.array_equal(one, pixels[0]) for one in pixels)


def many(count: int, text: str) -> dict[str, Any]:
    return {"images": ["a.png"] * count, "conversations": [{"from": "human", "value": text}, ASK[1]]}


BAD: list[tuple[str, Any]] = [
    ("missing file", {"image": "none.png", "conversations": ASK}),
    ("missing file", {"image": "sub", "conversations": ASK}),
    ("missing file", {"image": 3, "conversations": ASK}),
    ("missing file", {"image": "", "conversations": ASK}),
    ("broken image", {"image": "broken.png", "conversations": ASK}),
    ("broken image", {"image": "cut.png", "conversations": ASK}),
    ("broken image", {"image": "empty.png", "conversations": ASK}),
    ("broken image", {"image": b"", "conversations": ASK}),
    ("outside the data root", {"image": "../outside.png", "conversations": ASK}),
    ("outside the data root", {"image": "sub/../../outside.png", "conversations": ASK}),
    ("outside the data root", {"image": "/etc/passwd", "conversations": ASK}),
    ("outside the data root", {"image": "https://example.org/a.png", "conversations": ASK}),
    ("outside the data root", {"image": "a\0.png", "conversations": ASK}),
    ("outside the data root", {"messages": [{"role": "user", "content": [{"type": "image", "url": "http://x/a"}]}]}),
    ("broken image", {"image": "data:image/png;base64,!", "conversations": ASK}),
    ("broken image", {"image": "data:image/png,abc", "conversations": ASK}),
    (
        "counts differ",
        {
            "image": "a.png",
            "messages": [
                {"role": "user", "content": [{"type": "image", "path": "a.png"}] * 2},
                {"role": "assistant", "content": "x"},
            ],
        },
    ),
    ("counts differ", many(1, "<image><image>")),
    ("counts differ", many(2, "<image>")),
    ("counts differ", many(2, "no tag")),
    ("counts differ", many(0, "<image>")),
    ("empty answer", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": " \n"}]}),
    ("empty answer", {"conversations": [{"from": "human", "value": "a"}]}),
    ("empty answer", {"conversations": []}),
    ("empty answer", {"text": " "}),
    ("empty answer", {"image": "a.png", "caption": ""}),
    ("bad conversation", {"conversations": [{"from": "alien", "value": "a"}]}),
    ("bad conversation", {"conversations": "hello"}),
    ("bad conversation", {"conversations": [3]}),
    ("bad conversation", {"messages": [{"role": "user", "content": 3}]}),
    ("bad conversation", {"messages": [{"role": "user", "content": [{"type": "audio"}]}]}),
    ("bad conversation", {"image": "a.png", "caption": 3}),
    ("too long", {"text": "word " * 300}),
    ("no row", {}),
    ("no row", {"picture": "a.png"}),
    ("no row", {"image": "a.png", "text": "a picture needs a conversation"}),
]


@pytest.mark.parametrize(("why", "row"), BAD, ids=str)
def test_a_bad_row_is_named_with_its_reason(root, why, row):
    assert reason(row, root) == why


def test_a_row_without_a_root_can_name_no_file():
    assert reason({"image": "a.png", "conversations": ASK}) == "outside the data root"


def test_a_picture_that_changed_after_it_was_measured_is_bad(root):
    sample = encode({"image": "c.jpg", "conversations": ASK}, root)
    Image.new("RGB", (64, 16)).save(root / "c.jpg")
    with pytest.raises(RowError, match="not as large as its header said"):
        ENCODER.ready(sample)


def test_links_inside_the_root_are_followed(root):
    (root / "link").symlink_to(root.parent)
    assert locate("link/outside.png", root, "x") == FileSlice(root / "link" / "outside.png")


def test_a_turned_photograph_is_measured_as_it_will_be_read(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (40, 20)).save(stream, "JPEG", exif=exif)
    assert picture_size(stream.getvalue(), DEFAULT_READING, "x") == (20, 40)
    assert picture_size(stream.getvalue(), ImageReading(apply_exif=True), "x") == (40, 20)


def test_bad_rows_are_counted_and_logged_or_end_the_run(caplog):
    bad, error = BadRows(), RowError("x is broken", reason="broken image", got="3", fix="mend x")
    bad.report("s", "row 1", error)
    bad.report("s", "row 2", error)
    assert (bad.state(), bad.total) == ({"s": {"broken image": 2}}, 2)
    assert "row 1: broken image: x is broken got: 3 fix: mend x" in caplog.text
    again = BadRows()
    again.load(json.loads(json.dumps(bad.state())))
    assert again.counts == bad.counts
    with pytest.raises(RowError, match="x is broken"):
        BadRows("fail").report("s", "row 1", error)


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | st.sampled_from(["a.png", "<image>", "<video>", "human", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "value", "role", "content", "type", "text", "image", "video", "bytes", "path"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
KEYS = ("image", "images", "video", "videos", "conversations", "messages", "caption", "text", "id")


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
@example({"messages": True})
@example({"messages": 1, "image": "a.png"})
@example({"conversations": [{"from": 1}], "messages": 0.5})
def test_any_row_is_a_sample_or_a_row_error(root, row):
    try:
        sample = encode(row, root)
    except RowError as error:
        assert error.fix
        return
    assert len(sample.input_ids) == len(sample.labels)
    ready = ENCODER.ready(sample)
    placeholders = sample.input_ids.count(PROCESSOR.image_token_id)
    patches = 0 if ready.pixel_values is None else len(ready.pixel_values)
    assert placeholders * PROCESSOR.image_processor.merge_size**2 == patches
