"""Films as timestamped frames.

A film is read twice: its header, for how long and how large it is, and later, once, its frames. Frames are taken at
even distances; more than `max_frames` of them are spread over the whole film. The frame of a time is the last one
that is shown before or at it. NEO 1.0 was not trained on films: it reads them as pictures, each behind its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import Any

from PIL import Image

from pixelword.data.media import FileSlice
from pixelword.data.records import RowError
from pixelword.errors import MissingExtra
from pixelword.model.special_tokens import IMAGE_TAG
from pixelword.recipe import VideoSettings

# Formats that hold a film themselves. Playlists, which make the library open other files and addresses, are left out.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv"


def frame_times(seconds: float, settings: VideoSettings) -> tuple[float, ...]:
    """When frames are taken, in seconds, in tenths: the middle of equal parts of the film.

    At least one frame, at most `max_frames`.
    """
    count = min(max(1, round(seconds * settings.frames_per_second)), settings.max_frames)
    return tuple(round((number + 0.5) * seconds / count, 1) for number in range(count))


def timestamped(times: Sequence[float]) -> str:
    """What stands in a prompt in the place of a film: a line per frame, its time and its picture."""
    return "\n".join(f"{time:.1f}s: {IMAGE_TAG}" for time in times)


def measure(media: FileSlice | bytes, name: str) -> tuple[int, int, float]:
    """(height, width, seconds) of a film, from its header.

    Raises:
        RowError: it cannot be opened, has no pictures, or does not say how long it is.
        MissingExtra: PyAV is not installed.
    """
    with _opened(media, name) as container:
        stream = _pictures(container, name)
        seconds = None
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = float(Fraction(container.duration, 1_000_000))
        if not seconds or seconds <= 0 or stream.width < 1 or stream.height < 1:
            raise RowError(
                f"{name} does not say how long or how large it is",
                reason="broken video",
                got=f"{stream.width} x {stream.height}, {seconds} seconds",
                fix="write it again as MP4 or WebM",
            )
        return int(stream.height), int(stream.width), seconds


def read_frames(media: FileSlice | bytes, times: Sequence[float], name: str) -> list[Image.Image]:
    """The frames of a film at these times, decoded in one pass.

    Args:
        media: where the film is.
        times: in seconds, rising.
        name: how errors call it.

    Raises:
        RowError: it cannot be decoded, or holds no frame.
        MissingExtra: PyAV is not installed.
    """
    frames: list[Image.Image] = []
    with _opened(media, name) as container:
        shown = None
        for frame in container.decode(_pictures(container, name)):
            now = frame.time if frame.time is not None else 0.0
            while shown is not None and len(frames) < len(times) and times[len(frames)] < now:
                frames.append(shown.to_image())
            if len(frames) == len(times):
                return frames
            shown = frame
        if shown is None:
            raise RowError(f"{name} holds no frame", reason="broken video", got="0 frames", fix="leave it out")
        return frames + [shown.to_image()] * (len(times) - len(frames))


@contextmanager
def _opened(media: FileSlice | bytes, name: str) -> Iterator[Any]:
    """A film, opened; whatever the library raises on a broken one becomes a `RowError`."""
    try:
        import av
    except ImportError as error:
        raise MissingExtra("av", "video") from error
    try:
        stream = BytesIO(media) if isinstance(media, bytes) else media.open()
        with stream, av.open(stream, options={"format_whitelist": FORMATS}) as container:
            yield container
    except RowError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise RowError(
            f"{name} cannot be read as a film",
            reason="broken video",
            got=f"{type(error).__name__}: {error}",
            fix="check that it plays; formats: MP4, MOV, WebM, Matroska, AVI, MPEG, Ogg, FLV",
        ) from error


def _pictures(container: Any, name: str) -> Any:
    if not container.streams.video:
        raise RowError(f"{name} holds no pictures", reason="broken video", got="no video stream", fix="leave it out")
    return container.streams.video[0]
