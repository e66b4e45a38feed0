"""Real pictures, read at their own resolutions by the model that has only ever seen drawn shapes.

Nothing is measured here: the point is that any picture becomes a grid of tokens of its own size, and that the same
model takes it.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pixelword.demo.exam import CAPTION_TOKENS
from pixelword.errors import ImageError, InputError, MissingExtra
from pixelword.model import NeoForConditionalGeneration
from pixelword.model.image_reading import read_image
from pixelword.model.processing import NeoProcessor
from pixelword.train import write_json
from pixelword.world import LIST

SHIPPED = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
"""Photographs that are inside scikit-image's wheel, so that no download is needed."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

MOST = 8
"""Photographs of a folder that are read."""

BOUNDS = {"min_pixels": 64 * 64, "max_pixels": 120_000}
"""Pixels of a picture after resizing: up to 1875 tokens of 8 x 8 pixels, which the model's context holds."""


@dataclass(frozen=True)
class Photo:
    """A photograph as the model read it; `said` is what it answered, `refused` why it could not be read."""

    name: str
    file: str
    size: tuple[int, int]
    resized: tuple[int, int]
    rows: int
    columns: int
    seconds: float
    said: str
    refused: str = ""


def find_photos(folder: Path | None) -> list[Path]:
    """The pictures of a folder in the order of their names, or those inside scikit-image.

    Raises:
        InputError: the folder is not there, or holds no picture.
        MissingExtra: scikit-image is not installed.
    """
    if folder is None:
        found = importlib.util.find_spec("skimage")
        if found is None or found.origin is None:
            raise MissingExtra("skimage", "demo")
        shipped = [Path(found.origin).parent / "data" / name for name in SHIPPED]
        return [path for path in shipped if path.exists()]
    if not folder.is_dir():
        raise InputError("--photos must be a folder", got=folder, fix="give a folder of photographs")
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not photos:
        raise InputError(
            "the folder of photographs holds no picture", got=folder, fix=f"put files in it: {', '.join(SUFFIXES)}"
        )
    return photos[:MOST]


def read_photos(
    model: NeoForConditionalGeneration, processor: NeoProcessor, photos: list[Path], out: Path
) -> list[Photo]:
    """Read photographs and write `photos.json` and the resized pictures; one that cannot be read says why."""
    (out / "photos").mkdir(exist_ok=True)
    before = model.config.llm_config._attn_implementation
    model.set_attn_implementation("sdpa")  # thousands of tokens: no table of weights
    read = [
        read_photo(model, processor, path, out / "photos" / f"{number:02d}.png") for number, path in enumerate(photos)
    ]
    model.set_attn_implementation(before)
    write_json(out / "photos.json", [asdict(photo) for photo in read])
    return read


@torch.inference_mode()
def read_photo(model: NeoForConditionalGeneration, processor: NeoProcessor, path: Path, resized: Path) -> Photo:
    """Read one photograph, and keep it as the model got it."""
    try:
        picture = read_image(path)
    except ImageError as error:
        return Photo(path.name, "", (0, 0), (0, 0), 0, 0, 0.0, "", str(error))
    began = time.perf_counter()
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": LIST}]}],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        return_tensors="pt",
        processor_kwargs=BOUNDS,
    )
    with torch.compiler.set_stance("force_eager"):
        produced = model.generate(**inputs, max_new_tokens=CAPTION_TOKENS, do_sample=False)
    seconds = time.perf_counter() - began
    said = processor.decode_answer(produced[0, inputs["input_ids"].shape[1] :])
    patch, merge = processor.image_processor.patch_size, processor.image_processor.merge_size
    _, rows, columns = inputs["image_grid_thw"][0].tolist()
    as_read = (columns * patch, rows * patch)
    picture.resize(as_read).save(resized)
    return Photo(
        name=path.name,
        file=f"{resized.parent.name}/{resized.name}",
        size=picture.size,
        resized=as_read,
        rows=rows // merge,
        columns=columns // merge,
        seconds=round(seconds, 2),
        said=said,
    )
