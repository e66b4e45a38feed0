"""Any-resolution preprocessing: the released code's numbers, and the rules spelled out slowly."""

import hashlib
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from pixelword.errors import CheckpointError, ConfigError, ImageError, ShapeError
from pixelword.model.image_grid import image_tokens, patch_matrix, shared_max_pixels, smart_resize
from pixelword.model.image_processing import NeoImageProcessor
from tests.model.pictures import FIXTURES, drawn, picture

GOLDEN = json.loads((FIXTURES / "preprocess.json").read_text())


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("case", GOLDEN["images"], ids=lambda case: case["name"])
def test_golden_pictures_bit_for_bit(case):
    pixels = drawn(case["kind"], case["width"], case["height"])
    assert digest(pixels) == case["raw_sha256"]
    out = NeoImageProcessor()(Image.fromarray(pixels))
    rows, columns = case["grid_hw"][0]
    assert out["image_grid_thw"].tolist() == [[1, rows, columns]]
    assert (rows * 16, columns * 16) == (case["resized_height"], case["resized_width"])
    assert image_tokens(out["image_grid_thw"], 2) == [case["image_tokens"]]
    assert list(out["pixel_values"].shape) == case["pixel_values_shape"]
    assert out["pixel_values"].dtype == np.float32
    assert digest(out["pixel_values"]) == case["pixel_values_f32_sha256"]


def test_golden_tensors():
    tensors = load_file(FIXTURES / "preprocess.safetensors")
    long, square = (
        NeoImageProcessor()(drawn("gradient", 37, 211)),
        NeoImageProcessor()(drawn("shapes", 224, 224)),
    )
    assert np.array_equal(square["pixel_values"], tensors["shapes_224x224.pixel_values"])
    assert np.array_equal(long["pixel_values"][:8], tensors["grad_37x211.pixel_values[:8]"])
    assert np.array_equal(long["pixel_values"][-8:], tensors["grad_37x211.pixel_values[-8:]"])


@pytest.mark.parametrize("case", GOLDEN["smart_resize"], ids=lambda case: f"{case['height']}x{case['width']}")
def test_golden_sizes(case):
    bounds = {key: case[key] for key in ("factor", "min_pixels", "max_pixels")}
    assert list(smart_resize(case["height"], case["width"], **bounds)) == case["result"]


@pytest.mark.parametrize(
    ("height", "width", "low", "expected"),
    [
        (480, 640, 65536, (480, 640)),
        (1080, 1920, 65536, (1088, 1920)),
        (100, 100, 65536, (256, 256)),
        (3000, 4000, 65536, (1760, 2336)),
        (720, 1280, 65536, (704, 1280)),
        (480, 640, 1310720, (992, 1344)),
        (100, 100, 1310720, (1152, 1152)),
        (720, 1280, 1310720, (864, 1536)),
    ],
)
def test_published_sizes(height, width, low, expected):
    assert smart_resize(height, width, factor=32, min_pixels=low, max_pixels=4194304) == expected


def test_halves_round_to_even():
    bounds = {"factor": 32, "min_pixels": 1, "max_pixels": 10**9}
    assert smart_resize(80, 112, **bounds) == (64, 128)  # 2.5 -> 2 and 3.5 -> 4


def slow_size(height: int, width: int, factor: int, low: int, high: int) -> tuple[int, int]:
    """The rule in exact arithmetic: rounding by fractions, the scale by comparing squares."""

    def nearest(side: int) -> int:
        below, rest = divmod(side, factor)
        up = 2 * rest > factor or (2 * rest == factor and below % 2 == 1)
        return max(1, below + up)

    rows, columns = nearest(height), nearest(width)
    if rows * columns * factor**2 > high:  # the largest n with (n * factor)^2 <= side^2 * high / (height * width)
        square = [Fraction(side**2 * high, height * width * factor**2) for side in (height, width)]
        rows, columns = (max(1, math.isqrt(math.floor(value))) for value in square)
    elif rows * columns * factor**2 < low:  # the smallest n with (n * factor)^2 >= side^2 * low / (height * width)
        square = [Fraction(side**2 * low, height * width * factor**2) for side in (height, width)]
        rows, columns = (math.isqrt(math.ceil(value) - 1) + 1 for value in square)
    return rows * factor, columns * factor


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    factor=st.sampled_from([8, 28, 32]),
    low=st.integers(1, 10**6),
    more=st.integers(0, 10**7),
)
@settings(max_examples=400, deadline=None)
def test_size_rule_against_exact_arithmetic(height, width, factor, low, more):
    high = low + more
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ImageError, match="200 times"):
            smart_resize(height, width, factor=factor, min_pixels=low, max_pixels=high)
        return
    got = smart_resize(height, width, factor=factor, min_pixels=low, max_pixels=high)
    slow = slow_size(height, width, factor, low, high)
    if got != slow:  # a side that falls on a multiple exactly: a floating point root lands on either side of it
        assert all(abs(mine - exact) in (0, factor) for mine, exact in zip(got, slow, strict=True))
        targets = [Fraction(side**2 * bound, height * width) for side in (height, width) for bound in (low, high)]
        assert any(root_is_multiple(target, factor) for target in targets)
    assert all(side % factor == 0 and side >= factor for side in got)
    if min(got) > factor and low >= 16 * factor**2 and high >= 4 * low:
        assert low <= got[0] * got[1] <= high


def root_is_multiple(square: Fraction, factor: int) -> bool:
    root = square / factor**2
    return math.isqrt(math.floor(root)) ** 2 == root


def slow_patches(pixels: np.ndarray, patch: int, mean: list[float], std: list[float]) -> np.ndarray:
    """Loops: one row per patch, top row first; inside a patch channel by channel, line by line."""
    height, width, channels = pixels.shape
    rows = []
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            row = []
            for channel in range(channels):
                for y in range(top, top + patch):
                    for x in range(left, left + patch):
                        value = np.float32(pixels[y, x, channel]) / np.float32(255)
                        row.append((value - np.float32(mean[channel])) / np.float32(std[channel]))
            rows.append(row)
    return np.array(rows, np.float32)


def test_patch_matrix_is_the_loops():
    pixels = drawn("noise", 24, 16)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    assert np.array_equal(patch_matrix(pixels, 8, mean, std), slow_patches(pixels, 8, mean, std))


def test_tokens_of_a_grid():
    assert image_tokens([(1, 4, 6), (1, 2, 2)], 2) == [6, 1]
    assert image_tokens(torch.tensor([[1, 4, 6]]), 2) == [6]
    assert image_tokens(np.empty((0, 3), np.int64), 2) == []
    with pytest.raises(ShapeError, match="multiples of merge_size"):
        image_tokens([(1, 3, 4)], 2)
    with pytest.raises(ShapeError, match=r"\(images, 3\)"):
        image_tokens([1, 4, 6], 2)


def test_training_bound_of_several_pictures():
    bounds = {"min_pixels": 65536, "max_pixels": 1048576}
    assert [shared_max_pixels(n, **bounds) for n in (1, 2, 3, 40)] == [1048576, 1048576, 699050, 65536]
    processor = NeoImageProcessor(patch_size=4, min_pixels=64, max_pixels=1024)
    pictures = [picture(64, 64)] * 4
    alone = processor([pictures])["image_grid_thw"]
    shared = processor([pictures, pictures[:1]], share_pixels=True)["image_grid_thw"]
    assert image_tokens(alone, 2) == [16] * 4
    # Two pictures' worth for four, so half of 1024 pixels each: 16 x 16 fits; a picture of its own keeps the bound.
    assert image_tokens(shared, 2) == [4] * 4 + [16]


def test_every_way_to_pass_pictures(tmp_path):
    processor = NeoImageProcessor(patch_size=4, min_pixels=64, max_pixels=4096)
    image = picture()
    path = tmp_path / "a.png"
    image.save(path)
    expected = processor(image)["pixel_values"]
    for same in (np.asarray(image), path, str(path), path.read_bytes(), [image], [[image]], (image,)):
        assert np.array_equal(processor(same)["pixel_values"], expected)
    both = processor([[image, path], None, [], [image]], return_tensors="pt")
    assert both["pixel_values"].shape == (3 * len(expected), 48) and both["pixel_values"].dtype == torch.float32
    assert both["image_grid_thw"].dtype == torch.int64 and both["image_grid_thw"].shape == (3, 3)
    none = processor([])
    assert none["pixel_values"].shape == (0, 48) and none["image_grid_thw"].shape == (0, 3)
    with pytest.raises(ImageError, match="sample 1: images must all be lists"):
        processor([[image], image])
    with pytest.raises(ImageError, match="sample 0: a list inside"):
        processor([[[image]]])


def test_settings_per_call_do_not_stick():
    processor = NeoImageProcessor(patch_size=4, min_pixels=64, max_pixels=4096)
    small = processor(picture(64, 64), max_pixels=256)
    assert image_tokens(small["image_grid_thw"], 2) == [4]
    assert image_tokens(processor(picture(64, 64))["image_grid_thw"], 2) == [64]
    assert processor.token_grid(64, 64) == (1, 16, 16)


def test_settings_from_a_released_configuration():
    config = json.loads((FIXTURES / "tied" / "config.json").read_text())
    config["vision_config"] |= {"downsample_ratio": [[0.5]], "llm_hidden_size": [[64]], "patch_size": 8}
    processor = NeoImageProcessor.from_config(config, max_pixels=100000)
    assert (processor.patch_size, processor.merge_size, processor.factor) == (8, 2, 16)
    assert (processor.min_pixels, processor.max_pixels) == (65536, 100000)
    del config["vision_config"]["downsample_ratio"]
    config["downsample_ratio"] = 0.25
    assert NeoImageProcessor.from_config(config).merge_size == 4


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"vision_config": None}, "no vision_config"),
        ({"vision_config": {"downsample_ratio": 0.4}}, "1 over a whole number"),
        ({"vision_config": {"downsample_ratio": [0.5, 0.5]}}, "must be a number"),
        ({"vision_config": {"num_channels": 1}}, "num_channels"),
    ],
)
def test_configurations_that_make_no_sense(change, match):
    with pytest.raises(CheckpointError, match=match):
        NeoImageProcessor.from_config({"model_type": "neo_chat", **change})


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"min_pixels": 100, "max_pixels": 10}, "min_pixels <= max_pixels"),
        ({"max_pixel": 10}, "did you mean 'max_pixels'"),
        ({"max_pixels": "many"}, "whole number"),
        ({"image_std": [1.0, 0.0, 1.0]}, "image_std"),
        ({"patch_size": 0}, "must be positive"),
        ({"animated": "loop"}, "'first' or 'reject'"),
    ],
)
def test_settings_that_make_no_sense(setting, match):
    with pytest.raises(ConfigError, match=match):
        NeoImageProcessor(**setting)
    with pytest.raises(ConfigError, match=match):
        NeoImageProcessor()(picture(), **setting)


def test_saved_and_loaded(tmp_path):
    processor = NeoImageProcessor(patch_size=4, min_pixels=64, max_pixels=4096, apply_exif=True)
    processor.save_pretrained(tmp_path)
    assert NeoImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()
    assert NeoImageProcessor.from_pretrained(tmp_path, max_pixels=128).max_pixels == 128
    released = NeoImageProcessor.from_pretrained(FIXTURES / "tied")
    assert released.to_dict() == NeoImageProcessor().to_dict()
