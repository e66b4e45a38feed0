"""Supervised training on the same puzzles: the right answer, loss on the answer alone. The baseline beside GRPO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, PrinterCallback, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pixelword.posttrain.prompts import PER_TOKEN, Prompts, read_prompt
from pixelword.posttrain.settings import PosttrainRecipe
from pixelword.posttrain.stream import PuzzleStream
from pixelword.posttrain.wording import right_answer
from pixelword.train import checkpoints
from pixelword.train.muon import MuonAdamW

IGNORED = -100


class Numbers(Dataset[int]):
    """Numbers of prompts from 0; puzzles are made where batches are."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> int:
        return number


@dataclass
class AnswerCollator:
    """Numbers of prompts to a batch: prompt and right answer, padded on the right.

    Args:
        stream: gives the puzzles.
        levels: how many difficulties; they are mixed evenly.
    """

    stream: PuzzleStream
    processor: Any
    recipe: PosttrainRecipe

    def __call__(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        tokenizer, recipe = self.processor.tokenizer, self.recipe
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        prompts, rows = Prompts(), []
        for number in numbers:
            puzzle = self.stream.row(number, number % len(self.stream.levels))
            prompt = read_prompt(self.processor, puzzle, longest=recipe.grpo.max_prompt_tokens)
            prompts.add(prompt)
            answer = tokenizer(right_answer(puzzle, recipe.wording), add_special_tokens=False)["input_ids"]
            rows.append((prompt.ids, [*answer, tokenizer.eos_token_id]))
        length = max(len(asked) + len(answer) for asked, answer in rows)
        ids = torch.full((len(rows), length), pad)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for row, (asked, answer) in enumerate(rows):
            end = len(asked) + len(answer)
            ids[row, :end], mask[row, :end] = torch.tensor([*asked, *answer]), 1
            labels[row, len(asked) : end] = torch.tensor(answer)
        media = prompts.fields(range(len(prompts)), length, 0, torch.device("cpu"))
        for name in PER_TOKEN:  # padded on the left there, on the right here
            if name in media:
                media[name] = torch.stack(
                    [values.roll(len(asked), 0) for values, (asked, _) in zip(media[name], rows, strict=True)]
                )
        del media["num_images"]
        media.pop("num_tiles", None)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, **media}


class AnswerTrainer(Trainer):
    """transformers' Trainer with puzzles by number, our optimiser where asked for, and checkpoints that are whole."""

    def __init__(
        self,
        recipe: PosttrainRecipe,
        model: PreTrainedModel,
        processing_class: Any,
        stream: PuzzleStream,
        args: Any,
        **others: Any,
    ) -> None:
        self.recipe = recipe
        super().__init__(
            model=model,
            args=args,
            train_dataset=Numbers(recipe.steps * recipe.sft.puzzles),
            data_collator=AnswerCollator(stream, processing_class, recipe),
            processing_class=processing_class,
            **others,
        )
        self.remove_callback(PrinterCallback)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.recipe.optimizer.name == "muon" and self.optimizer is None:
            assert self.model is not None
            decay = self.recipe.optimizer.weight_decay
            self.optimizer = MuonAdamW(self.model.named_parameters(), self.args.learning_rate, weight_decay=decay)
        return super().create_optimizer()

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        return SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process writes its random state
        if self.args.should_save:
            step = self.state.global_step
            folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
            checkpoints.finish(folder, step, self.args.world_size)
