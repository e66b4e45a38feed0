"""Pictures in a page: what is shown is what was given, whatever the mode, and no foreign byte survives."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pixelword.errors import ImageError
from pixelword.report.images import Encoded, encode


def stored(encoded: Encoded) -> tuple[bytes, Image.Image]:
    head, data = encoded.uri.split(",")
    raw = base64.b64decode(data, validate=True)
    picture = Image.open(io.BytesIO(raw))
    assert head == f"data:image/{picture.format.lower()};base64"
    assert picture.size == (encoded.width, encoded.height)
    return raw, picture


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def as_bytes(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["RGB", "RGBA", "L", "1", "P", "LA", "CMYK"]))
def test_a_small_picture_is_kept_pixel_by_pixel(width, height, mode):
    picture = noise(width, height, mode)
    _, shown = stored(encode(picture, 64))
    kind = "RGBA" if mode in {"RGBA", "LA"} else "RGB"
    assert np.array_equal(np.asarray(shown), np.asarray(picture.convert(kind)))


def test_arrays_of_grey_colour_and_transparency():
    for shape in ((5, 7), (5, 7, 3), (5, 7, 4)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        _, shown = stored(encode(pixels, 64))
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        assert np.array_equal(np.asarray(shown), expected)


@pytest.mark.parametrize("pixels", [np.zeros((3, 4, 5), np.uint8), np.zeros((3, 4, 3)), np.zeros(3, np.uint8)])
def test_arrays_that_are_no_picture(pixels):
    with pytest.raises(ImageError, match="8-bit values"):
        encode(pixels, 64)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (2000, 3), (1, 900)])
def test_a_large_picture_shrinks_to_its_side_and_keeps_its_shape(size):
    encoded = encode(noise(*size), 100)
    scale = 100 / max(size)
    assert max(encoded.width, encoded.height) == 100
    assert (encoded.width, encoded.height) == tuple(max(1, round(side * scale)) for side in size)


def test_a_small_picture_is_never_enlarged_and_keeps_hard_pixels():
    assert encode(noise(20, 10), 1000) == encode(noise(20, 10), 20)
    assert encode(noise(20, 10), 1000).pixelated
    assert not encode(noise(200, 10), 1000).pixelated


def test_photographs_become_jpeg_and_drawings_png():
    assert encode(noise(400, 300), 400).uri.startswith("data:image/jpeg;")
    assert encode(Image.new("RGB", (400, 300), "red"), 400).uri.startswith("data:image/png;")
    assert encode(noise(400, 300, "RGBA"), 400).uri.startswith("data:image/png;"), "JPEG has no transparency"


def test_nothing_but_pixels_is_kept():
    info = PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>")
    picture = noise(20, 10)
    data = as_bytes(picture, "PNG", pnginfo=info) + b"<script>alert(2)</script>"
    raw, _ = stored(encode(data, 64))
    assert b"script" not in raw
    assert raw == stored(encode(picture, 64))[0]


def test_a_file_is_turned_upright_and_a_picture_is_left_alone(tmp_path):
    picture = noise(30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    (tmp_path / "turned.png").write_bytes(as_bytes(picture, "PNG", exif=exif))
    _, shown = stored(encode(tmp_path / "turned.png", 64))
    assert np.array_equal(np.asarray(shown), np.rot90(np.asarray(picture), -1))
    with Image.open(tmp_path / "turned.png") as opened:
        assert encode(opened, 64) == encode(picture, 64)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_pictures_use_the_whole_range(dtype):
    deep = Image.fromarray((np.arange(256).reshape(16, 16) * 100).astype(dtype))
    _, shown = stored(encode(deep, 64))
    assert np.array_equal(np.asarray(shown)[:, :, 0], np.arange(256).reshape(16, 16))
    _, flat = stored(encode(Image.fromarray(np.full((4, 4), 7, dtype)), 64))
    assert not np.asarray(flat).any()


def test_a_float_picture_with_holes():
    _, shown = stored(encode(Image.fromarray(np.array([[0, np.nan, 1, np.inf]], np.float32)), 64))
    assert shown.size == (4, 1)


def test_an_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    _, shown = stored(encode(as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]), 64))
    assert np.asarray(shown.convert("RGB"))[0, 0].tolist() == [255, 0, 0]


def broken_files() -> dict[str, bytes]:
    whole = as_bytes(noise(60, 60), "PNG")
    return {
        "empty": b"",
        "text": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "half": whole[: len(whole) // 2],
        "flipped": whole[:100] + bytes([whole[100] ^ 255]) + whole[101:],
    }


@pytest.mark.parametrize("data", broken_files().values(), ids=broken_files())
def test_broken_files_are_named(data):
    with pytest.raises(ImageError, match="cannot be decoded"):
        encode(data, 64)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png"):
        encode(tmp_path / "missing.png", 64)


def test_a_picture_without_pixels():
    with pytest.raises(ImageError, match="no pixels"):
        encode(Image.new("RGB", (0, 5)), 64)


@pytest.mark.parametrize("side", [9_001, 10_000, 14_000])
def test_a_bomb_is_refused_before_it_is_unpacked(side):
    bomb = as_bytes(Image.new("1", (side, side)), "PNG")
    with pytest.raises(ImageError, match="too large for a page"):
        encode(bomb, 64)
