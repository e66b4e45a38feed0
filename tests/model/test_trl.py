"""What TRL needs of a model and a processor: two steps of GRPO with two images per prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.model.checkpoint import released_name

from .conftest import FIXTURES, IMAGE, small_config

pytest.importorskip("trl")

from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from pixelword.model import NeoForConditionalGeneration, NeoImageProcessor, NeoProcessor


@pytest.fixture(scope="module")
def processor() -> NeoProcessor:
    pictures = NeoImageProcessor(patch_size=4, merge_size=2, min_pixels=16 * 16, max_pixels=64 * 64)
    return NeoProcessor(pictures, AutoTokenizer.from_pretrained(FIXTURES / "tied"))


def puzzles(count: int = 4) -> Dataset:
    random = np.random.default_rng(0)
    question = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "order?"}]
    rows = [
        {
            "prompt": [{"role": "user", "content": question}],
            "images": [
                Image.fromarray(random.integers(0, 255, (16 + 8 * side, 24, 3), dtype=np.uint8)) for side in range(2)
            ],
        }
        for _ in range(count)
    ]
    return Dataset.from_list(rows)


def reward(completions, **_):
    return [float(len(completion[0]["content"]) % 7) for completion in completions]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # TRL 1.16 still says the old name
def test_two_steps_of_grpo_with_two_images_per_prompt(tmp_path, processor, monkeypatch):
    torch.manual_seed(0)
    model = NeoForConditionalGeneration(small_config(patch_size=4, eos_token_id=258))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    images_seen = []
    embed = model.model.vision_model.forward

    def spy(pixel_values, image_grid_thw):
        images_seen.append(len(image_grid_thw))
        return embed(pixel_values, image_grid_thw)

    monkeypatch.setattr(model.model.vision_model, "forward", spy)
    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_generations=2,
        max_steps=2,
        max_completion_length=6,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        logging_steps=1,
        save_strategy="no",
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model, processing_class=processor, reward_funcs=reward, args=arguments, train_dataset=puzzles()
    )
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(steps) == 2 and all(np.isfinite(entry["grad_norm"]) and entry["grad_norm"] > 0 for entry in steps)
    assert images_seen and all(count == 8 for count in images_seen)  # 4 answers, two images each, in every pass
    unmoved = [released_name(name) for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert not unmoved


def test_nested_images_and_the_chat_template_give_the_same_ids(processor):
    rows = puzzles(2)
    conversations = [row["prompt"] for row in rows]
    filled = [
        [{"role": "user", "content": [{"type": "image", "image": image} for image in row["images"]] + [part]}]
        for row, part in ((row, row["prompt"][0]["content"][2]) for row in rows)
    ]
    templated = processor.apply_chat_template(filled, tokenize=True, return_dict=True, add_generation_prompt=True)
    strings = [
        processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        for conversation in conversations
    ]
    called = processor(images=[row["images"] for row in rows], text=strings)
    assert [list(row) for row in templated["input_ids"]] == [list(row) for row in called["input_ids"]]
    assert all(list(row).count(IMAGE) == 15 for row in called["input_ids"])


def test_the_names_that_trl_reads(processor):
    model = NeoForConditionalGeneration(small_config())
    backbone = getattr(model, model.base_model_prefix)
    ids = torch.tensor([[1, 2, 3]])
    assert backbone(input_ids=ids).last_hidden_state.shape == (1, 3, 48)
    assert model.get_output_embeddings() is model.lm_head
    assert model.config.text_config.vocab_size == 384 and model.config.image_token_id == IMAGE
