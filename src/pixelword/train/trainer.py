"""transformers' Trainer with three things changed: the optimiser, the order of data, and checkpoints that are whole."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, PrinterCallback, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pixelword.train.muon import MuonAdamW

COMPLETE = "complete"
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
        super()._save_checkpoint(model, trial)
        folder = Path(str(self.args.output_dir))
        newest = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        (newest / COMPLETE).touch()
        for older in checkpoints(folder):
            if older != newest:
                (older / COMPLETE).unlink(missing_ok=True)
                shutil.rmtree(older)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Through `from_pretrained`, because a NEO's tensors have other names on disk than in memory."""
        target = model or self.model
        assert isinstance(target, PreTrainedModel)
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype)
        target.load_state_dict(saved.state_dict())


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first, cut-off ones included."""
    numbered = [
        (int(match.group(1)), path)
        for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (match := re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name))
    ]
    return [path for _, path in sorted(numbered)]


def newest_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; None when there is none."""
    whole = [path for path in checkpoints(folder) if (path / COMPLETE).exists()]
    return whole[-1] if whole else None
