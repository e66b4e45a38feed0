"""Pictures that are broken or unusual: one clear error that names them, or what the documentation says."""

import base64
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelword.errors import ConfigError, ImageError
from pixelword.model.image_processing import NeoImageProcessor
from pixelword.model.image_reading import FORMATS, ImageReading, doubled, read_image, readable_formats
from tests.model.pictures import drawn, encoded, picture

PROCESSOR = NeoImageProcessor(patch_size=4, min_pixels=64, max_pixels=4096)


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_other_modes_are_pillows_conversion(mode):
    image = picture(mode="L").convert(mode) if mode in ("LA", "PA") else picture(mode=mode)
    assert np.array_equal(values(read_image(image)), values(image.convert("RGB")))


def slow_flattening(pixels: np.ndarray) -> np.ndarray:
    """The released rule pixel by pixel, with its mean and its threshold."""
    alpha = pixels[:, :, 3].astype(int)
    if (alpha != 0).all() or (alpha == 0).all():
        return pixels[:, :, :3]
    visible = pixels[alpha > 0][:, :3].astype(float)
    page = np.full(pixels[:, :, :3].shape, 0 if visible.mean() > 382.5 else 255, np.uint8)
    for y, x in np.ndindex(alpha.shape):
        cover = alpha[y, x]
        for c in range(3):
            # Pillow's rounding division by 255.
            mixed = int(pixels[y, x, c]) * cover + int(page[y, x, c]) * (255 - cover) + 128
            page[y, x, c] = (mixed + (mixed >> 8)) >> 8
    return page


@pytest.mark.parametrize("alphas", [(0, 200), (0, 255), (0, 1, 128), (200, 255), (0,), (255,)])
@pytest.mark.parametrize("brightness", [0, 255])
def test_transparent_pictures_get_a_white_background(alphas, brightness):
    pixels = np.dstack([drawn("noise", 7, 5) // 2 + brightness // 2, np.resize(np.array(alphas, np.uint8), (5, 7))])
    assert np.array_equal(values(read_image(Image.fromarray(pixels))), slow_flattening(pixels))
    assert np.array_equal(values(read_image(pixels)), slow_flattening(pixels))


def test_transparent_palette_loses_its_transparency_without_a_warning():
    image = picture(mode="P")
    for transparency in (3, bytes([0, 128, 255])):
        data = encoded(image, "PNG", transparency=transparency)
        assert np.array_equal(values(read_image(data)), values(image.convert("RGB")))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    wide = np.arange(0, 65536, 257 * 3, dtype=np.uint16).reshape(-1, 2)[:42]
    expected = np.repeat(((wide.astype(int) * 255 * 2 + 65535) // (65535 * 2))[:, :, None], 3, axis=2)
    image = Image.fromarray(wide)
    assert values(image.convert("RGB")).max() == 255 and (values(image.convert("RGB")) == 255).mean() > 0.9  # clipped
    big_endian = Image.frombytes("I;16B", image.size, wide.astype(">u2").tobytes())
    for source in (image, big_endian, Image.fromarray(wide.astype(np.int32)), encoded(image), encoded(image, "TIFF")):
        assert np.array_equal(values(read_image(source)), expected)
    assert values(read_image(encoded(image, "PPM"))).max() == 255 * 83 * 3 // 255


@pytest.mark.parametrize(
    "array", [np.full((4, 4), 70000, np.int32), np.full((4, 4), -1, np.int32), np.ones((4, 4), np.float32)]
)
def test_pictures_without_a_defined_white(array):
    with pytest.raises(ImageError, match="which value is white"):
        PROCESSOR(Image.fromarray(array))


def test_sixteen_bit_colour_keeps_its_high_bytes():
    wide = Image.merge("RGB", [Image.fromarray(drawn("gray", 16, 16))] * 3)
    assert np.array_equal(values(read_image(encoded(wide))), values(wide))


def frames(count: int = 3) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (80 * at, 0, 255)) for at in range(count)]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animated(kind):
    first, *rest = frames()
    moving = encoded(first, kind, save_all=True, append_images=rest, lossless=True)
    assert np.array_equal(values(read_image(moving)), values(first))
    with pytest.raises(ImageError, match="is animated"):
        read_image(moving, ImageReading(animated="reject"))
    still = encoded(first, kind)
    assert read_image(still, ImageReading(animated="reject")).size == (16, 16)


def test_exif_rotation_is_ignored_unless_asked_for():
    image = picture(20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    data = encoded(image, "PNG", exif=exif)
    assert read_image(data).size == (20, 10)
    turned = read_image(data, ImageReading(apply_exif=True))
    assert np.array_equal(values(turned), np.rot90(values(image), -1))
    assert PROCESSOR(data, apply_exif=True)["image_grid_thw"].tolist() != PROCESSOR(data)["image_grid_thw"].tolist()


def test_doubled_is_bilinear_and_twice_as_large():
    assert doubled(picture(8, 6)).size == (16, 12)


def test_data_uri():
    data = base64.b64encode(encoded(picture())).decode()
    assert np.array_equal(values(read_image(f"data:image/png;base64,{data}")), values(picture()))
    for broken in ("data:image/png;base64,???", "data:image/png,abc", "data:"):
        with pytest.raises(ImageError, match="data URI"):
            read_image(broken)


def bomb() -> bytes:
    """A PNG whose header claims 100000 x 100000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"this is no picture", "cannot be decoded"),
    "truncated": (encoded(picture(200, 200))[:2000], "cannot be decoded"),
    "broken header": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cannot be decoded"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
    "bomb": (bomb(), "safety limit"),
    "strip": (np.zeros((1, 201, 3), np.uint8), "200 times"),
    "no pixels": (np.zeros((0, 5, 3), np.uint8), "no pixels"),
    "no pixels, Pillow": (Image.new("RGB", (0, 5)), "no pixels"),
    "floats": (np.zeros((4, 4, 3)), "8-bit"),
    "channels first": (np.zeros((3, 40, 50), np.uint8), "channels to the end"),
    "five dimensions": (np.zeros((1, 1, 4, 4, 3), np.uint8), "shape"),
    "missing": ("/nowhere/picture.png", "cannot be opened"),
    "zero byte": ("a\0b.png", "cannot be opened"),
    "web address": ("https://example.org/a.png", "nothing is downloaded"),
    "number": (7, "is not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_named(name):
    source, match = BAD[name]
    with pytest.raises(ImageError, match=match) as caught:
        PROCESSOR([[picture()], [picture(), source]])
    assert str(caught.value).startswith("sample 1, image 1")
    with pytest.raises(ImageError, match=match) as caught:
        PROCESSOR([picture(), source])
    assert str(caught.value).startswith("image 1")
    assert caught.value.fix


def test_the_path_is_named_and_directories_are_no_pictures(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(encoded(picture(), "JPEG")[:60])
    for path in (broken, tmp_path, tmp_path / "missing.png"):
        with pytest.raises(ImageError, match=f"image 0 .*{path.name}"):
            PROCESSOR(path)


def test_limit_of_input_pixels():
    with pytest.raises(ImageError, match="max_input_pixels = 1,000"):
        PROCESSOR(picture(40, 40), max_input_pixels=1000)
    assert len(PROCESSOR(picture(40, 40), max_input_pixels=1600)["image_grid_thw"]) == 1
    with pytest.raises(ConfigError):
        ImageReading(max_input_pixels=0)


def test_pillows_warning_about_large_pictures_is_our_error(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # warns above, refuses above twice that
    for side in (40, 50):
        with pytest.raises(ImageError, match="safety limit"):
            read_image(encoded(picture(side, side)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_image(encoded(picture(40, 40))).size == (40, 40)


def test_files_are_closed_and_pictures_of_the_caller_stay_open(tmp_path):
    path = tmp_path / "a.png"
    picture().save(path)
    read_image(path)  # an open file would warn when collected, and a warning fails the test
    with Image.open(path) as image:
        first = values(read_image(image))
        assert np.array_equal(values(read_image(image)), first)
    with pytest.raises(ImageError, match="cannot be decoded"):
        with Image.open(path) as image:
            pass
        read_image(image)


def test_every_listed_format_is_read():
    assert set(readable_formats()) <= set(FORMATS) and len(readable_formats()) >= len(FORMATS) - 2
    for kind in set(readable_formats()) - {"DIB", "ICO"}:
        assert read_image(encoded(picture(16, 16), kind)).size == (16, 16)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16", "La", "RGBa", "LAB", "RGBX"]


@given(mode=st.sampled_from(MODES), width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 99))
@settings(max_examples=100)
def test_any_mode_and_size_is_patches_or_an_image_error(mode, width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, 8 * width * height, np.uint8).tobytes()
    image = Image.new(mode, (width, height))
    if mode not in ("La", "RGBa", "F"):
        image.frombytes(pixels[: len(image.tobytes())])
    try:
        out = PROCESSOR(image)
    except ImageError as error:
        assert mode in ("I", "F", "La", "LAB"), error
        return
    (_, rows, columns), side = out["image_grid_thw"][0], 4
    assert out["pixel_values"].shape == (rows * columns, 3 * side * side)
    assert np.isfinite(out["pixel_values"]).all()
    assert rows % 2 == columns % 2 == 0 and 64 <= rows * columns * side**2 <= 4096 + 64 * (rows + columns)


FILES = [
    encoded(picture(24, 20, mode), kind)
    for kind, mode in [
        ("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"), ("WEBP", "RGB"), ("BMP", "RGB"),
        ("TGA", "RGB"), ("ICO", "RGB"), ("PPM", "RGB"), ("AVIF", "RGB"), ("JPEG2000", "RGB"),
    ]
    if kind in readable_formats()
]  # fmt: skip


@given(
    data=st.sampled_from(FILES),
    cut=st.floats(0, 1),
    hits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
)
@settings(max_examples=300)
def test_damaged_files_are_pictures_or_image_errors(data, cut, hits):
    damaged = bytearray(data if cut > 0.5 else data[: int(2 * cut * len(data))])
    for place, value in hits:
        if damaged:
            damaged[int(place**2 * (len(damaged) - 1))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks about damaged metadata
        try:
            image = read_image(bytes(damaged), ImageReading(max_input_pixels=10**6))
        except ImageError:
            return
    assert image.mode == "RGB" and io.BytesIO(image.tobytes()).read()
