"""Video puzzles: splits and frames as the released code has them, each frame decoded once, bad films refused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelword.errors import MissingExtra
from pixelword.jigsaw import Clip, Puzzle, Refusal, StoredFrames, VideoJigsaw, VideoSample, films
from pixelword.jigsaw.films import open_film
from pixelword.jigsaw.splits import chosen_frames, smart_size, split
from tests.jigsaw.pictures import busy, plain

av = pytest.importorskip("av")

SHORT = VideoJigsaw(clips=3, min_seconds=0, rate=4.0, max_frames=4)


@pytest.mark.parametrize(
    ("frames", "ratio", "parts"),
    [
        (720, "1/10", [(12, 108), (132, 228), (252, 348), (372, 468), (492, 588), (612, 708)]),
        (725, "1/10", [(17, 113), (137, 233), (257, 353), (377, 473), (497, 593), (617, 713)]),
        (720, "1/20", [(6, 114), (126, 234), (246, 354), (366, 474), (486, 594), (606, 714)]),
        (119, "1/10", [(60, 68), (70, 78), (80, 88), (90, 98), (100, 108), (110, 118)]),
        (59, "1/10", None),
    ],
)
def test_the_splits_of_the_released_code(frames, ratio, parts):
    assert split(frames, 6, Fraction(ratio)) == parts


@given(st.integers(1, 3000), st.integers(1, 12), st.sampled_from(["0", "1/20", "1/10", "1/4"]))
def test_parts_are_equal_apart_and_inside(frames, parts, ratio):
    found = split(frames, parts, Fraction(ratio))
    if found is not None:
        assert len({stop - start for start, stop in found}) == 1
        assert found == sorted(found)
        assert found[0][0] >= 0
        assert found[-1][1] <= frames
        assert all(a[1] <= b[0] for a, b in pairwise(found))


def released_frames(length: int, start: int, video_rate: float, rate: float, least: int, most: int) -> list[int]:
    """The released rule with numpy's own linspace."""
    wanted = length / video_rate * rate
    wanted = min(max(wanted, -(-least // 2) * 2), min(most, length) // 2 * 2)
    return [start + int(value) for value in np.round(np.linspace(0, length - 1, int(wanted // 2 * 2)))]


@given(
    st.integers(2, 400),
    st.integers(0, 100),
    st.sampled_from([8.0, 24.0, 25.0, 29.97, 30.0, 60.0]),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([2, 7, 12, 16]),
)
def test_frames_are_those_of_the_released_code(length, start, video_rate, rate, least, most):
    found = chosen_frames(start, start + length, video_rate=video_rate, rate=rate, least=least, most=most)
    if min(most, length) // 2 * 2 >= 2:
        assert found == released_frames(length, start, video_rate, rate, least, most)
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(("frames", "count", "rate"), [(720, 6, 1.875), (1800, 12, 1.5), (5400, 12, 0.5)])
def test_frames_of_the_worked_examples(frames, count, rate):
    start, stop = split(frames, 6, Fraction(1, 10))[0]
    found = chosen_frames(start, stop, video_rate=30, rate=2, least=2, most=12)
    assert len(found) == count
    assert count / ((stop - start) / 30) == pytest.approx(rate)
    if frames == 720:
        assert [number - start for number in found] == [0, 19, 38, 57, 76, 95]


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 720), (420, 224)), ((1920, 1080), (420, 224)), ((640, 480), (364, 252))]
)
def test_frame_sizes(size, expected):
    assert smart_size(*size, min_pixels=3136, max_pixels=100352) == expected
    assert smart_size(*size, min_pixels=100352, max_pixels=100352) == expected


def test_small_frames_grow_as_far_as_asked():
    assert smart_size(100, 60, min_pixels=3136, max_pixels=100352) == (112, 56)
    assert smart_size(100, 60, min_pixels=100352, max_pixels=100352) == (420, 252)


def numbered(count: int, width: int = 96, height: int = 64, step: int = 4) -> list[PIL.Image.Image]:
    """Frames that change: a busy picture that moves, its number as a grey square."""
    wide = busy(0, width + step * count, height)
    frames = []
    for number in range(count):
        frame = wide.crop((number * step, 0, number * step + width, height))
        frame.paste((number * 2, number * 2, number * 2), (0, 0, 16, 16))
        frames.append(frame)
    return frames


def write_film(
    path: Path,
    frames: list[PIL.Image.Image],
    rate: int = 8,
    times: list[int] | None = None,
    gop: int = 6,
    codec: str = "mpeg4",
    between: int = 0,
) -> Path:
    """A film; `between` frames of two directions stand between others, and are decoded after later ones."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.codec_context.max_b_frames = between
        stream.width, stream.height = frames[0].size
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", 4_000_000, gop
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_image(picture)
            frame.pts = times[number] if times else number
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "a.mp4", numbered(90))


def made(result: Puzzle | Refusal) -> Puzzle:
    assert isinstance(result, Puzzle), result
    return result


def number_of(frame: PIL.Image.Image) -> int:
    """Which frame it is, from the grey square; scaled frames keep it in the corner."""
    side = frame.width // 12
    return round(float(np.asarray(frame.convert("L"))[1 : side - 1, 1 : side - 1].mean()) / 2)


def test_the_answer_rebuilds_the_film(film):
    puzzle = made(SHORT.puzzle(VideoSample("a", film), seed=3))
    clips = [puzzle.media[label - 1] for label in puzzle.target]
    seen = [number_of(frame) for clip in clips for frame in clip.frames]
    wanted = [number for clip in puzzle.about["frames"] for number in clip]
    assert np.abs(np.array(seen) - wanted).max() <= 1, "the film is compressed; numbers are 2 grey levels apart"
    assert seen == sorted(seen)
    assert [slot.kind for slot in puzzle.slots] == ["video"] * 3
    assert "Clip 3: <video>" in puzzle.text()
    assert puzzle.reward(puzzle.answer).exact


def test_no_frame_is_decoded_twice_and_gaps_are_skipped(film, monkeypatch):
    """Counts what the decoder gives out, by the time of each frame."""
    decoded: list[int] = []
    real = films.shown_at
    monkeypatch.setattr(films, "shown_at", lambda frame: (decoded.append(real(frame)), real(frame))[1])
    opened = open_film(film, "a")
    pictures = list(opened.read([3, 4, 60, 61, 89]))
    assert [abs(number_of(picture) - wanted) <= 1 for picture, wanted in zip(pictures, [3, 4, 60, 61, 89], strict=True)]
    times = set(decoded)
    assert len(times) < 40, "the long gap between key frames was decoded"
    # Each wanted frame is asked for its time twice: by the search and by its check.
    assert len(decoded) == len(times) + 5


class Watched:
    """A container that notes the times of the packets it gives away."""

    def __init__(self, container, given: list[int]) -> None:
        self.container, self.given = container, given

    def demux(self, stream):
        for packet in self.container.demux(stream):
            self.given += [packet.pts] if packet.size else []
            yield packet

    def __getattr__(self, name: str):
        return getattr(self.container, name)


@pytest.mark.parametrize(("codec", "between"), [("mpeg4", 0), ("mpeg4", 2), ("libx264", 3)])
@pytest.mark.parametrize("gop", [2, 5, 12])
@pytest.mark.parametrize(
    "wanted", [(3, 4, 60, 61, 89), tuple(range(0, 90, 4)), tuple(range(0, 90, 13)), (0, 11, 12, 13)]
)
def test_no_packet_is_given_to_the_decoder_twice(codec, between, gop, wanted, tmp_path_factory, monkeypatch):
    if codec not in av.codecs_available:
        pytest.skip(f"this build has no {codec}")
    opened = open_film(coded(tmp_path_factory, codec, between, gop), "a")
    given: list[int] = []
    real = films.opened
    monkeypatch.setattr(films, "opened", lambda path: Watched(real(path), given))
    pictures = list(opened.read(wanted))
    assert [abs(number_of(picture) - number) <= 1 for picture, number in zip(pictures, wanted, strict=True)]
    assert len(given) == len(set(given))


def coded(places, codec: str, between: int, gop: int) -> Path:
    path = places.getbasetemp() / f"{codec}-{between}-{gop}.mp4"
    return path if path.exists() else write_film(path, numbered(90, 96, 64), gop=gop, codec=codec, between=between)


def test_key_frames_change_nothing(tmp_path):
    frames = numbered(60)
    sparse = open_film(write_film(tmp_path / "sparse.mp4", frames, gop=60), "a")
    dense = open_film(write_film(tmp_path / "dense.mp4", frames, gop=1), "a")
    for opened in (sparse, dense):
        assert opened.frames == 60
        assert opened.rate == pytest.approx(8)
        assert opened.seconds == pytest.approx(7.5)
        seen = [number_of(picture) for picture in opened.read(range(0, 60, 7))]
        assert np.abs(np.array(seen) - np.arange(0, 60, 7)).max() <= 1


def test_space_alone_and_space_in_time():
    stored = StoredFrames(tuple(numbered(24, 97, 65)), 8.0)
    for task in (
        VideoJigsaw(clips=1, rows=2, columns=3, min_seconds=0, max_frames=2),
        VideoJigsaw(clips=2, rows=2, columns=2, min_seconds=0, max_frames=2),
    ):
        puzzle = made(task.puzzle(VideoSample("a", stored), seed=1))
        clips = [puzzle.media[label - 1] for label in puzzle.target]
        assert len(clips) == task.clips * task.rows * task.columns
        tiles = task.rows * task.columns
        # Back in order, the first tile of each time shows the number of its frame.
        seen = [number_of(clip.frames[0].resize((96, 64))) for clip in clips[::tiles]]
        assert len(seen) == task.clips
        assert seen == sorted(seen)
        # And the tiles of one moment, side by side, are the frame.
        first = stored.pictures[puzzle.about["frames"][0][0]]
        width, height = clips[0].frames[0].size
        whole = PIL.Image.new("RGB", (width * task.columns, height * task.rows))
        for place, clip in enumerate(clips[:tiles]):
            whole.paste(clip.frames[0], (place % task.columns * width, place // task.columns * height))
        gap = np.abs(
            np.asarray(whole, float) - np.asarray(first.resize(whole.size, PIL.Image.Resampling.BICUBIC), float)
        )
        assert gap.mean() < 8


def test_frames_can_stand_for_films(film):
    puzzle = made(VideoJigsaw(clips=3, min_seconds=0, as_frames=True).puzzle(VideoSample("a", film), seed=0))
    assert {slot.kind for slot in puzzle.slots} == {"image"}
    assert all(isinstance(clip, Clip) for clip in puzzle.media)
    # Each picture has its own place in the prompt, and a clip's pictures stand together behind its label.
    pictures = [part for part in puzzle.messages()[0]["content"] if part["type"] == "image"]
    assert len(pictures) == len(puzzle.images) > 3
    assert puzzle.text().count("<image>") == len(puzzle.images)
    assert "Clip 1: <image><image>" in puzzle.text()


def test_the_prompt_says_the_number_of_clips():
    stored = StoredFrames(tuple(numbered(100)), 4.0)
    text = made(VideoJigsaw().puzzle(VideoSample("a", stored), seed=0)).text()
    assert text.startswith(
        "You are given six **shuffled** video clips that were created by slicing one original video into 6 "
    )
    assert "\n\nAnswer format example:\n2, 3, 1, 4, 6, 5\n" in text


@pytest.mark.parametrize(
    ("task", "frames", "expected"),
    [
        (VideoJigsaw(), numbered(40), "too_short"),
        (VideoJigsaw(min_seconds=0), numbered(40), "too_few_frames"),
        (SHORT, [], "no_frames"),
        (SHORT, [plain()] * 60, "static_clips"),
    ],
    ids=["short", "few", "none", "static"],
)
def test_bad_films_are_refused(task, frames, expected):
    result = task.puzzle(VideoSample("a", StoredFrames(tuple(frames), 8.0)), seed=0)
    assert isinstance(result, Refusal)
    assert result.reason == expected


def test_bad_files_are_refused(tmp_path, film):
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:2000])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reasons = {
        name: SHORT.puzzle(VideoSample(name, tmp_path / name), seed=0).reason
        for name in ("text.mp4", "cut.mp4", "sound.wav", "gone.mp4")
    }
    assert reasons == {
        "text.mp4": "unreadable",
        "cut.mp4": "unreadable",
        "sound.wav": "no_frames",
        "gone.mp4": "missing",
    }


def test_a_variable_rate_is_refused_unless_allowed(tmp_path):
    times = [number + (number // 10) * 30 for number in range(90)]
    path = write_film(tmp_path / "a.mp4", numbered(90), times=times)
    assert SHORT.puzzle(VideoSample("a", path), seed=0).reason == "variable_rate"
    allowed = SHORT.model_copy(update={"variable_rate": True})
    assert isinstance(allowed.puzzle(VideoSample("a", path), seed=0), Puzzle)


def test_a_frame_that_does_not_decode_is_not_replaced(film):
    opened = open_film(film, "a")
    wrong = films.Decodable(film, tuple(time + 1 for time in opened.times), opened.keys, 8.0, 11.0)
    result = SHORT.puzzle(VideoSample("a", wrong), seed=0)
    assert isinstance(result, Refusal)
    assert result.reason == "unreadable"


def test_the_same_pixels_in_another_process(film):
    code = (
        "import sys; from pathlib import Path; from pixelword.jigsaw import *\n"
        "task = VideoJigsaw(clips=3, min_seconds=0, rate=4.0, max_frames=4)\n"
        "print(task.puzzle(VideoSample('a', Path(sys.argv[1])), seed=9, epoch=1).digest())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(film)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made(SHORT.puzzle(VideoSample("a", film), seed=9, epoch=1)).digest()


def test_without_the_library_a_sentence_says_what_to_install(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match="pixelword\\[video\\]"):
        SHORT.puzzle(VideoSample("a", film), seed=0)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6), st.floats(0.1, 1))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_film_is_a_puzzle_or_a_refusal(film, damage, share):
    data = bytearray(film.read_bytes())
    for place, value in damage:
        data[int(place * (len(data) - 1))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(data[: int(share * len(data))])
        SHORT.puzzle(VideoSample("a", path), seed=0)
