"""Claims of films: frames of the right moments behind their times, one decoding pass, and no playlist is followed."""

from __future__ import annotations

import importlib
import io
import sys

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelword.data.records import Record, RowError
from pixelword.data.samples import Encoder
from pixelword.data.video import frame_times, measure, read_frames, timestamped
from pixelword.errors import MissingExtra
from pixelword.recipe import VideoSettings
from tests.model.processors import small_processor

ENCODER = Encoder(small_processor(), max_tokens=500, video=VideoSettings(frames_per_second=1, max_frames=4))
ANSWER = {"from": "gpt", "value": "it gets brighter"}


def film(seconds: int = 4, per_second: int = 5, kind: str = "mp4", codec: str = "mpeg4") -> bytes:
    """A grey film whose brightness is ten times the number of its second, 32 wide and 16 high."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=kind) as container:
        track = container.add_stream(codec, rate=per_second)
        track.width, track.height, track.pix_fmt = 32, 16, "yuv420p"
        for number in range(seconds * per_second):
            picture = np.full((16, 32, 3), 40 + 40 * (number // per_second), np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4")])
def test_the_frame_of_a_time_is_the_one_shown_then(kind, codec):
    data = film(kind=kind, codec=codec)
    assert measure(data, "x")[:2] == (16, 32)
    assert measure(data, "x")[2] == pytest.approx(4, abs=0.3)
    frames = read_frames(data, (0.5, 1.5, 2.5, 3.5, 99.0), "x")
    assert [round(np.asarray(frame).mean() / 40) - 1 for frame in frames] == [0, 1, 2, 3, 3]


@given(st.floats(0.01, 1e5), st.floats(0.01, 60), st.integers(1, 64))
def test_times_rise_lie_inside_the_film_and_are_never_too_many(seconds, per_second, most):
    times = frame_times(seconds, VideoSettings(frames_per_second=per_second, max_frames=most))
    assert 1 <= len(times) <= most
    assert list(times) == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= seconds + 0.05


@pytest.mark.parametrize("tag", ["<video>\nwhat happens?", "what happens?"])
def test_a_film_in_a_row_is_a_line_per_frame_with_its_time(tag):
    row = {"video": film(), "messages": [{"role": "user", "content": tag}, {"role": "assistant", "content": "x"}]}
    sample = ENCODER.encode(Record("s", 0, 0, "row 1", row))
    text = ENCODER.processor.tokenizer.decode(sample.input_ids).replace("<IMG_CONTEXT>", "")
    lines = "".join(f"{time}s: <img></img>\n" for time in ("0.5", "1.5", "2.5", "3.5"))
    assert text.startswith(f"<|im_start|>user\n{lines}what happens?<|im_end|>")
    ready = ENCODER.ready(sample)
    brightness = ready.pixel_values.reshape(4, -1).mean(1)
    assert (np.diff(brightness) > 0).all()
    assert len(ready.grids) == 4


def test_pictures_and_films_take_their_tags_in_order():
    picture = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (64, 8)).save(picture, "PNG")
    row = {
        "image": picture.getvalue(),
        "video": film(2),
        "conversations": [{"from": "human", "value": "<video> and <image>"}, ANSWER],
    }
    sample = ENCODER.encode(Record("s", 0, 0, "row 1", row))
    assert [grid[2] > 3 * grid[1] for grid in sample.grids] == [False, False, True]
    assert len(ENCODER.ready(sample).grids) == 3


@pytest.mark.parametrize(
    ("reason", "data", "text"),
    [
        ("broken video", b"", "<video>"),
        ("broken video", b"no film at all", "<video>"),
        ("broken video", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", "<video>"),
        ("broken video", b"ffconcat version 1.0\nfile /etc/passwd\n", "<video>"),
        ("counts differ", None, "<video><video>"),
        ("counts differ", None, "no tag"),
    ],
)
def test_a_bad_film_is_named_with_its_reason(reason, data, text):
    row = {"video": film(1) if data is None else data, "conversations": [{"from": "human", "value": text}, ANSWER]}
    with pytest.raises(RowError) as caught:
        ENCODER.encode(Record("s", 0, 0, "row 1", row))
    assert caught.value.reason == reason
    assert caught.value.fix


def test_a_film_cut_in_the_middle_gives_frames_or_a_reason():
    data = film(kind="matroska")
    for length in range(0, len(data), max(1, len(data) // 12)):
        try:
            height, width, seconds = measure(data[:length], "x")
            frames = read_frames(data[:length], frame_times(seconds, VideoSettings()), "x")
            assert {frame.size for frame in frames} == {(width, height)}
        except RowError as error:
            assert error.reason == "broken video"


def test_the_words_for_frames():
    assert timestamped((0.5, 12.0)) == "0.5s: <image>\n12.0s: <image>"


def test_the_film_library_is_needed_only_when_a_film_comes(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    importlib.reload(importlib.import_module("pixelword.data.video"))
    with pytest.raises(MissingExtra, match="'av'"):
        measure(b"", "x")
