"""Answers of models in this process: what is said is what one full pass per token says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelword.answering import Answerer, load_answerer
from pixelword.answering.answerer import filled
from pixelword.errors import CheckpointError, PromptError
from pixelword.jigsaw import ImageJigsaw, ImageSample, Puzzle
from tests.answering.folders import native_folder, qwen_folder
from tests.jigsaw.pictures import busy

NEW = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {"native": native_folder(place / "native"), "qwen": qwen_folder(place / "qwen")}


def puzzle(seed: int = 0) -> Puzzle:
    made = ImageJigsaw(rows=2, columns=2).puzzle(ImageSample("a", busy(seed)), seed=0)
    assert isinstance(made, Puzzle)
    return made


def slowly(answerer: Answerer, asked: Puzzle) -> str:
    """Greedy decoding spelled out: the whole prompt again for every token."""
    pictures = iter(asked.images)
    (turn,) = asked.messages()
    parts = [{**part, "image": next(pictures)} if part["type"] == "image" else part for part in turn["content"]]
    inputs = answerer.inputs([{**turn, "content": parts}])
    ids, said = inputs.pop("input_ids"), []
    for _ in range(NEW):
        length = ids.shape[1]
        inputs["attention_mask"] = torch.ones_like(ids)
        if "mm_token_type_ids" in inputs:
            types = inputs["mm_token_type_ids"]
            inputs["mm_token_type_ids"] = torch.nn.functional.pad(types, (0, length - types.shape[1]))
        with torch.inference_mode():
            said.append(int(answerer.model(input_ids=ids, **inputs).logits[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([[said[-1]]])], 1)
    return str(answerer.processor.tokenizer.decode(said))


@pytest.mark.parametrize("name", ["native", "qwen"])
def test_an_answer_is_what_one_pass_per_token_says_and_hangs_on_the_pictures(folders, name):
    answerer = load_answerer(folders[name], max_new_tokens=NEW, thinks=True, min_pixels=3136, max_pixels=3136)
    answer = answerer(puzzle().messages(), puzzle().images)
    assert answer.text == slowly(answerer, puzzle())
    assert answer.cut
    assert answer.tokens == NEW
    with torch.inference_mode():
        first, other = (
            answerer.model(**answerer.inputs(filled(puzzle().messages(), puzzle(seed).images))).logits[0, -1]
            for seed in (0, 1)
        )
    assert not torch.equal(first, other)


def test_what_a_model_cannot_take_is_said(folders, tmp_path):
    answerer = load_answerer(folders["native"], max_new_tokens=NEW)
    with pytest.raises(PromptError, match="as_frames"):
        answerer([{"role": "user", "content": [{"type": "video"}]}], [])
    with pytest.raises(PromptError, match="one place"):
        answerer(puzzle().messages(), puzzle().images[:3])
    with pytest.raises(PromptError, match="longer than"):
        answerer([{"role": "user", "content": [{"type": "text", "text": "a" * 5000}]}], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no model that reads pictures"):
        load_answerer(tmp_path / "empty", max_new_tokens=NEW)
    bounded = load_answerer(folders["qwen"], max_new_tokens=NEW, max_pixels=3136)
    assert bounded.processor.image_processor.size["longest_edge"] == 3136
