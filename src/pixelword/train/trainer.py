"""transformers' Trainer with three things changed: the optimiser, the order of data, and checkpoints that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, PrinterCallback, Trainer

from pixelword.train import checkpoints
from pixelword.train.muon import MuonAdamW

"""File that is written into a checkpoint last; without it the checkpoint was cut off."""


class StageTrainer(Trainer):
    """A Trainer for one stage.

    Data comes in the order of its numbers (a world's rows are random already), so a continued run takes up exactly
    where it stopped. The optimiser is `MuonAdamW`. Checkpoints count only once they are whole.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            target = model or self.model
            assert target is not None
            self.optimizer = MuonAdamW(target.named_parameters(), self.args.learning_rate, weight_decay=0.01)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        return SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        run, step = Path(str(self.args.output_dir)), self.state.global_step
        folder = checkpoints.begin(run, step)
        try:
            super()._save_checkpoint(model, trial)
            checkpoints.finish(folder, step, ranks=1)
        except (OSError, RuntimeError, SafetensorError) as error:  # how files, torch.save and safetensors fail
            raise checkpoints.full_disk(folder, error) from error
        checkpoints.remove_older(run, 1)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Through `from_pretrained`, because a NEO's tensors have other names on disk than in memory."""
        target = model or self.model
        assert isinstance(target, PreTrainedModel)
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype)
        target.load_state_dict(saved.state_dict())
