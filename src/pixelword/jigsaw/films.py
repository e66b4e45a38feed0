"""Reading a film: its frames are counted without decoding, and each frame wanted is decoded once."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from PIL.Image import Image

from pixelword.errors import MissingExtra
from pixelword.jigsaw.refusals import Refusal

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

T = TypeVar("T")

UNEVEN = 1.5
"""A gap between frames this many times the usual one, or its inverse, is uneven."""
UNEVEN_SHARE = 0.02
"""So many uneven gaps make a variable frame rate; a few come from dropped frames."""


class Film(Protocol):
    """Frames of a film, numbered from 0 as they are shown.

    Args:
        frames: how many.
        rate: frames per second.
        seconds: how long it lasts.
        even: whether all frames are shown for the same time.
    """

    @property
    def frames(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def even(self) -> bool: ...

    def read(self, wanted: Sequence[int]) -> Iterator[Image]:
        """The wanted frames in RGB. `wanted` rises strictly."""
        ...


@dataclass(frozen=True)
class StoredFrames:
    """A film that is already a row of pictures."""

    pictures: tuple[Image, ...]
    rate: float
    even: bool = True

    @property
    def frames(self) -> int:
        return len(self.pictures)

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def read(self, wanted: Sequence[int]) -> Iterator[Image]:
        return (self.pictures[number].convert("RGB") for number in wanted)


@dataclass(frozen=True)
class Decodable:
    """A film in a file, indexed by the times its packets say.

    Args:
        times: of each frame, in units of the stream, rising.
        keys: times of the frames that can be decoded without others, rising.
    """

    path: Path
    times: tuple[int, ...]
    keys: tuple[int, ...]
    rate: float
    seconds: float

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def even(self) -> bool:
        gaps = [late - early for early, late in zip(self.times, self.times[1:], strict=False)]
        if not gaps:
            return True
        usual = statistics.median(gaps)
        uneven = sum(not usual / UNEVEN <= gap <= usual * UNEVEN for gap in gaps)
        return uneven <= UNEVEN_SHARE * len(gaps)

    def read(self, wanted: Sequence[int]) -> Iterator[Image]:
        """The wanted frames. Skips to a later key frame where one stands between, and never goes back."""
        with closing(opened(self.path)) as container:
            stream, given = container.streams.video[0], Given()
            decoded = given.decode(container, stream)
            for number in wanted:
                time = self.times[number]
                key = self.keys[bisect_right(self.keys, time) - 1] if self.keys and self.keys[0] <= time else None
                # The first frame needs no jump. Every other jump goes over frames that nobody wants, and past all that
                # the decoder has been given: it holds some back to sort them, and would decode them again.
                if key is not None and key > max(given.latest, self.times[0]):
                    container.seek(key, stream=stream)
                    decoded = given.decode(container, stream)
                frame = next((frame for frame in decoded if shown_at(frame) >= time), None)
                if frame is None or shown_at(frame) != time:
                    raise UndecodableFrame(f"frame {number} of {self.frames} cannot be decoded")
                yield picture_of(frame)


@dataclass
class Given:
    """What a decoder has been given.

    Args:
        latest: the latest time of a packet.
    """

    latest: int = -(1 << 62)

    def decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Frames from where the container stands."""
        for packet in container.demux(stream):
            time = packet.pts if packet.pts is not None else packet.dts
            self.latest = max(self.latest, time if time is not None else self.latest)
            yield from packet.decode()


class UndecodableFrame(ValueError):
    """A frame that the packets promise does not come out of the decoder. Never replaced by its neighbour."""


def picture_of(frame: Any) -> Image:
    """In RGB. PyAV leaves this function untyped."""
    picture: Image = frame.to_image()
    return picture


def shown_at(frame: VideoFrame) -> int:
    """The time of a frame; where a container knows none, the order of decoding."""
    time = frame.pts if frame.pts is not None else frame.dts
    if time is None:
        raise UndecodableFrame("a frame without a time")
    return time


def video_library() -> Any:
    """PyAV, imported when the first film is read.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtra("av", "video") from error
    return av


def opened(path: Path) -> InputContainer:
    container: InputContainer = video_library().open(str(path))
    return container


def open_film(path: Path, sample: str) -> Decodable | Refusal:
    """A film's index: reads its packets, decodes nothing.

    Raises:
        MissingExtra: PyAV is not installed.
    """
    failures = (video_library().error.FFmpegError, OSError, ValueError)
    if not path.is_file():
        return Refusal(sample, "missing", str(path))
    try:
        with closing(opened(path)) as container:
            if not container.streams.video:
                return Refusal(sample, "no_frames", "no stream of pictures")
            stream = container.streams.video[0]
            times, keys = [], []
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    # Some containers know only the order of decoding; their frames are shown in it.
                    time = packet.pts if packet.pts is not None else packet.dts
                    if time is None:
                        return Refusal(sample, "unreadable", "packets without times")
                    times.append(time)
                    if packet.is_keyframe:
                        keys.append(time)
            unit, average = stream.time_base, stream.average_rate
    except failures as error:
        return Refusal(sample, "unreadable", " ".join(str(error).split())[:200])
    if not times or unit is None:
        return Refusal(sample, "no_frames", "no pictures in the stream")
    times.sort()
    lasts = float((times[-1] - times[0]) * unit)
    rate = (len(times) - 1) / lasts if lasts > 0 else float(average or 1)
    return Decodable(path, tuple(times), tuple(sorted(keys)), rate, len(times) / rate)


def read_frames(film: Film, wanted: Sequence[int], sample: str, each: Callable[[Image], T]) -> list[T] | Refusal:
    """What `each` makes of the wanted frames, or why they cannot be had. One whole frame is held at a time."""
    failures: tuple[type[Exception], ...] = (OSError, ValueError)
    if isinstance(film, Decodable):
        failures = (*failures, video_library().error.FFmpegError)
    try:
        return [each(frame) for frame in film.read(wanted)]
    except failures as error:
        return Refusal(sample, "unreadable", " ".join(str(error).split())[:200])
